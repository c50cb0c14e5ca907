import { describe, expect, it } from 'vitest';
import { view } from '../client/fake-engine.ts';
import type { UploadView } from '../client/port.ts';
import { toUpload, type Upload } from '../client/snapshot.ts';
import { formatBytes, formatPercent, formatTimeLeft } from './format.ts';
import { stripGradient } from './strip.ts';
import {
  type ClosingLine,
  closingLine,
  detailLine,
  refusalLine,
  summarize,
  totalsLine,
  unreadableLine,
} from './wording.ts';

function upload(changes: Partial<UploadView>): Upload {
  return toUpload(view(changes), undefined);
}

function lineOf(uploads: Upload[]): ClosingLine {
  return closingLine(summarize(uploads));
}

function totalsOf(uploads: Upload[]): string {
  return totalsLine(summarize(uploads));
}

describe('closingLine', () => {
  it('says how much is only in the page', () => {
    const one = upload({ sizeBytes: 200e6, confirmedBytes: 40e6, stagedBytes: 28e6, durability: 'partial' });
    expect(lineOf([one])).toEqual({
      level: 'keep',
      text: 'Keep this page open: 132 MB are only in this page.',
    });
  });

  it('says that closing is safe only when it is for every upload', () => {
    const safe = upload({ durability: 'safe' });
    expect(lineOf([safe])).toEqual({
      level: 'safe',
      text: 'Safe to close: it goes on by itself when you come back.',
    });
    expect(lineOf([safe, upload({ durability: 'memory' })]).level).toBe('keep');
  });

  it('says that nothing is stored where the browser stores nothing', () => {
    const line = lineOf([upload({ durability: 'memory', resumable: false, stagedBytes: 0 })]);
    expect(line.text).toContain('the browser stores nothing');
  });

  it('asks for files only when nothing runs', () => {
    const needing = upload({ status: 'needs-file', durability: 'partial' });
    expect(lineOf([needing]).text).toBe('1 upload needs its file again to go on.');
    expect(lineOf([needing, upload({ durability: 'safe' })]).level).toBe('safe');
  });

  it('counts what is done', () => {
    expect(lineOf([upload({ status: 'completed', key: 'k' })]).text).toBe('Done: 1 file is at the store.');
    expect(lineOf([])).toEqual({ level: 'idle', text: '' });
  });
});

describe('unreadableLine', () => {
  it('names what a drop lacks, and counts what would be too many names', () => {
    expect(unreadableLine([])).toBe('');
    expect(unreadableLine(['a.txt'])).toBe('1 dropped item could not be read and is left out: a.txt.');
    expect(unreadableLine(['a', 'b/', 'c', 'd', 'e'])).toBe(
      '5 dropped items could not be read and are left out: a, b/, c and 2 more.',
    );
  });
});

describe('detailLine', () => {
  it('tells amount, speed and time left', () => {
    const line = detailLine(upload({ sizeBytes: 200e6, sentBytes: 80e6, bytesPerSecond: 12e6 }));
    expect(line).toBe('80.0 MB of 200 MB · 12.0 MB/s · 10 s left');
  });

  it('says when the store confirms sizes alone', () => {
    const sizeOnly = view({ status: 'completed', key: 'k', integrity: 'size-only' });
    expect(detailLine(toUpload(sizeOnly, undefined))).toContain('its size confirmed by the store');
    expect(detailLine(upload({ status: 'completed', key: 'k' }))).not.toContain('size confirmed');
  });

  it('tells what a waiting upload waits for', () => {
    expect(detailLine(upload({ status: 'waiting', waitingFor: 'network' }))).toContain('Offline');
    expect(detailLine(upload({ status: 'waiting', waitingFor: 'store' }))).toContain(
      'The store does not answer',
    );
  });
});

it('totalsLine sums up what runs and leaves out what has ended', () => {
  const line = totalsOf([
    upload({ sizeBytes: 100e6, sentBytes: 50e6, bytesPerSecond: 1e6 }),
    upload({ sizeBytes: 100e6, sentBytes: 0, bytesPerSecond: 0, status: 'queued' }),
    upload({ status: 'completed', key: 'k', sizeBytes: 5e9 }),
  ]);
  expect(line).toBe('2 uploads · 50.0 MB of 200 MB · 1.00 MB/s · 3 min left');
});

it('refusalLine says why and that nothing was sent', () => {
  const reason = '`holiday.mov` is not the file of this upload, `thesis.pdf`: it has 7 bytes instead of 9';
  const refusal = { fileName: 'holiday.mov', reason, canUploadAsNew: true };
  const needing = toUpload(view({ name: 'thesis.pdf', status: 'needs-file' }), refusal);
  if (needing.status !== 'needs-file') throw new Error('expected needs-file');
  expect(refusalLine(needing)).toBe(`${reason}. Nothing of it was sent.`);
});

describe('formats', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [209_715_200, '210 MB'],
    [50e12, '50.0 TB'],
    [-5, '0 bytes'],
    [Number.NaN, '0 bytes'],
  ])('formatBytes(%s) is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, 5, ''],
    [5, 0, ''],
    [100, 10, '10 s left'],
    [600, 1, '10 min left'],
    [36_000, 1, '10 h left'],
    [864_000, 1, '10 days left'],
  ])('formatTimeLeft(%s, %s) is %s', (bytes, speed, text) => {
    expect(formatTimeLeft(bytes, speed)).toBe(text);
  });

  it('formatPercent says 100 only for all of it', () => {
    expect([0, 0.5, 0.9999, 1].map(formatPercent)).toEqual(['0 %', '50 %', '99 %', '100 %']);
  });
});

describe('stripGradient', () => {
  it('draws neighbours of one state as one band', () => {
    expect(stripGradient('ccfp', 0.6)).toBe(
      'linear-gradient(90deg, var(--hf-confirmed) 0% 50%, var(--hf-in-flight) 50% 75%, var(--hf-track) 75% 100%)',
    );
  });

  it('fills a file of one part by its progress', () => {
    expect(stripGradient('f', 0.25)).toBe(
      'linear-gradient(90deg, var(--hf-in-flight) 0% 25%, var(--hf-track) 25% 100%)',
    );
  });

  it('draws a cell of an unknown letter as pending', () => {
    expect(stripGradient('??', 0)).toBe('linear-gradient(90deg, var(--hf-track) 0% 100%)');
  });
});
