/** Every sentence the element says about uploads. Pure. */
import { bytesOnlyInPage } from '../client/leave-guard.ts';
import { hasEnded, type Upload } from '../client/snapshot.ts';
import { count, formatBytes, formatTimeLeft } from './format.ts';

/** All uploads in numbers, counted in one pass: a thousand are summed up each frame. */
export interface Summary {
  /** Neither ended nor waiting for their file. */
  readonly running: number;
  readonly paused: number;
  readonly needingFile: number;
  readonly completed: number;
  readonly ended: number;
  /** Of the running ones. */
  readonly sizeBytes: number;
  readonly sentBytes: number;
  readonly bytesPerSecond: number;
  /** Bytes that closing the page would lose. */
  readonly bytesOnlyInPage: number;
  /** The browser stores nothing of some running upload. */
  readonly unstored: boolean;
}

/** Counts the uploads. */
export function summarize(uploads: readonly Upload[]): Summary {
  const sum = {
    running: 0,
    paused: 0,
    needingFile: 0,
    completed: 0,
    ended: 0,
    sizeBytes: 0,
    sentBytes: 0,
    bytesPerSecond: 0,
    bytesOnlyInPage: 0,
    unstored: false,
  };
  for (const upload of uploads) {
    if (upload.status === 'completed') sum.completed += 1;
    if (hasEnded(upload)) sum.ended += 1;
    else if (upload.status === 'needs-file') sum.needingFile += 1;
    else {
      sum.running += 1;
      if (upload.status === 'paused') sum.paused += 1;
      // The speed of a paused one is what it was.
      else sum.bytesPerSecond += upload.bytesPerSecond;
      sum.sizeBytes += upload.sizeBytes;
      sum.sentBytes += upload.sentBytes;
      sum.bytesOnlyInPage += bytesOnlyInPage(upload);
      sum.unstored ||= !upload.resumable && upload.durability === 'memory' && upload.status !== 'queued';
    }
  }
  return sum;
}

/** Whether the page may be closed, in one line. `level` is also the line's `data-level`. */
export interface ClosingLine {
  readonly level: 'idle' | 'keep' | 'safe' | 'needs-file' | 'done';
  readonly text: string;
}

/** The line that says when closing is safe. */
export function closingLine(sum: Summary): ClosingLine {
  if (sum.bytesOnlyInPage > 0) {
    if (sum.unstored) {
      return {
        level: 'keep',
        text: 'Keep this page open until it is done: the browser stores nothing for later.',
      };
    }
    const are = sum.bytesOnlyInPage === 1 ? 'is' : 'are';
    return {
      level: 'keep',
      text: `Keep this page open: ${formatBytes(sum.bytesOnlyInPage)} ${are} only in this page.`,
    };
  }
  if (sum.running > 0) {
    const theyGoOn = sum.running === 1 ? 'it goes on by itself' : 'they go on by themselves';
    return { level: 'safe', text: `Safe to close: ${theyGoOn} when you come back.` };
  }
  if (sum.needingFile > 0) {
    const need = count(sum.needingFile, 'upload needs its file', 'uploads need their files');
    return { level: 'needs-file', text: `${need} again to go on.` };
  }
  if (sum.completed > 0) {
    return { level: 'done', text: `Done: ${count(sum.completed, 'file is', 'files are')} at the store.` };
  }
  return { level: 'idle', text: '' };
}

/** Totals of what is running: `2 uploads · 96 MB of 240 MB · 12 MB/s · 12 s left`. */
export function totalsLine(sum: Summary): string {
  if (sum.running === 0) return '';
  return joined([
    count(sum.running, 'upload'),
    `${formatBytes(sum.sentBytes)} of ${formatBytes(sum.sizeBytes)}`,
    sum.bytesPerSecond > 0 ? `${formatBytes(sum.bytesPerSecond)}/s` : '',
    formatTimeLeft(sum.sizeBytes - sum.sentBytes, sum.bytesPerSecond),
  ]);
}

/** What one upload is doing, under its name. */
export function detailLine(upload: Upload): string {
  const amount = `${formatBytes(upload.sentBytes)} of ${formatBytes(upload.sizeBytes)}`;
  switch (upload.status) {
    case 'queued':
      return joined([formatBytes(upload.sizeBytes), 'Waiting for its turn']);
    case 'uploading':
      return joined([
        amount,
        upload.bytesPerSecond > 0 ? `${formatBytes(upload.bytesPerSecond)}/s` : '',
        formatTimeLeft(upload.sizeBytes - upload.sentBytes, upload.bytesPerSecond),
      ]);
    case 'paused':
      return joined([amount, 'Paused']);
    case 'waiting':
      return joined([amount, WAITING[upload.waitingFor]]);
    case 'needs-file':
      return joined([
        `${formatBytes(upload.confirmedBytes)} of ${formatBytes(upload.sizeBytes)} at the store`,
        'The rest needs the file again',
      ]);
    case 'completing':
      return joined([
        formatBytes(upload.sizeBytes),
        `Sent; the store is confirming ${upload.integrity === 'size-only' ? 'its size' : 'size and checksum'}`,
      ]);
    case 'completed':
      return joined([
        formatBytes(upload.sizeBytes),
        `Uploaded, ${upload.integrity === 'size-only' ? 'its size ' : ''}confirmed by the store`,
      ]);
    case 'failed':
      return joined([amount, 'Failed']);
    case 'cancelled':
      return joined([formatBytes(upload.sizeBytes), 'Cancelled']);
  }
}

/** The chip beside an upload: what closing the page would lose of it. Nothing once it has ended. */
export function durabilityChip(upload: Upload): string {
  if (hasEnded(upload) || upload.status === 'needs-file' || upload.status === 'completing') return '';
  return DURABILITY[upload.durability];
}

/** Why the last file was refused. The engine's reason names both files. */
export function refusalLine(upload: Upload & { status: 'needs-file' }): string {
  return upload.refusal ? `${upload.refusal.reason}. Nothing of it was sent.` : '';
}

/** What could not be read of a drop. Nothing when all could. */
export function unreadableLine(paths: readonly string[]): string {
  if (paths.length === 0) return '';
  const named = paths.slice(0, UNREADABLE_NAMED_MAX);
  const more = paths.length > named.length ? ` and ${paths.length - named.length} more` : '';
  const items = count(paths.length, 'dropped item');
  return `${items} could not be read and ${paths.length === 1 ? 'is' : 'are'} left out: ${named.join(', ')}${more}.`;
}

/** Items that could not be read named at most; the others are counted. */
const UNREADABLE_NAMED_MAX = 3;

const WAITING = {
  network: 'Offline; goes on when the network is back',
  server: 'The server does not answer; trying again',
  store: 'The store does not answer; trying again',
  credentials: 'Not signed in at the server; goes on once you are',
} as const;

const DURABILITY = {
  memory: 'Only in this page',
  partial: 'Partly saved',
  safe: 'Safe to close',
} as const;

function joined(pieces: string[]): string {
  return pieces.filter((piece) => piece !== '').join(' · ');
}
