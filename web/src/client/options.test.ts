import { describe, expect, it } from 'vitest';
import { normalizeOptions } from './options.ts';

const PAGE = { baseUrl: 'https://app.example/docs/page.html', hasSharedWorker: true };

describe('normalizeOptions', () => {
  it('takes the page’s origin when nothing is said', () => {
    expect(normalizeOptions({}, PAGE)).toEqual({
      endpoint: 'https://app.example',
      scope: '',
      headers: undefined,
      host: 'shared-worker',
      concurrency: undefined,
      partSizeBytes: undefined,
      bandwidthLimit: undefined,
    });
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53])('refuses the bandwidth limit %s', (bandwidthLimit) => {
    expect(() => normalizeOptions({ bandwidthLimit }, PAGE)).toThrow('bandwidthLimit');
  });

  it('spells one endpoint in one way', () => {
    const spellings = [
      '/uploads',
      '/uploads/',
      'https://app.example/uploads//',
      new URL('https://app.example/uploads'),
    ];
    const endpoints = spellings.map((endpoint) => normalizeOptions({ endpoint }, PAGE).endpoint);
    expect(new Set(endpoints)).toEqual(new Set(['https://app.example/uploads']));
  });

  it.each([
    ['ftp://files.example', 'must start with http'],
    ['https://', 'no URL'],
    ['https://me:secret@app.example', 'must not contain'],
    ['https://app.example/?a=1', 'must not contain'],
    ['https://app.example/#a', 'must not contain'],
  ])('refuses the endpoint %s', (endpoint, why) => {
    expect(() => normalizeOptions({ endpoint }, PAGE)).toThrow(why);
  });

  it('takes headers as they are, or asks a function for them each time', async () => {
    const fixed = normalizeOptions({ headers: { Authorization: 'Bearer 1' } }, PAGE).headers;
    expect(await fixed?.()).toEqual([['authorization', 'Bearer 1']]);
    let calls = 0;
    const asked = normalizeOptions({ headers: async () => ({ authorization: `Bearer ${++calls}` }) }, PAGE);
    expect(await asked.headers?.()).toEqual([['authorization', 'Bearer 1']]);
    expect(await asked.headers?.()).toEqual([['authorization', 'Bearer 2']]);
  });

  it.each([
    [{ 'Upload-Token': 'x' }, 'must not contain'],
    [{ 'content-type': 'x' }, 'must not contain'],
    [{ authorization: 5 }, 'must be a string'],
    [{ authorization: 'secret\r\nx: y' }, 'no request can carry'],
    [['authorization'], 'must be an object'],
    [null, 'must be an object'],
  ])('refuses the headers %j without repeating a value', async (headers, why) => {
    const wrong = headers as unknown as Record<string, string>;
    expect(() => normalizeOptions({ headers: wrong }, PAGE)).toThrow(why);
    await expect(normalizeOptions({ headers: () => wrong }, PAGE).headers?.()).rejects.toThrow(why);
    expect(() => normalizeOptions({ headers: wrong }, PAGE)).not.toThrow(/secret/);
  });

  it('falls back to the dedicated worker where shared ones are missing', () => {
    expect(normalizeOptions({}, { ...PAGE, hasSharedWorker: false }).host).toBe('dedicated-worker');
    expect(normalizeOptions({ host: 'dedicated-worker' }, PAGE).host).toBe('dedicated-worker');
  });

  it('refuses a host that is none', () => {
    expect(() => normalizeOptions({ host: 'service-worker' as 'shared-worker' }, PAGE)).toThrow(
      "'service-worker'",
    );
  });

  it.each([0, 65, 1.5, Number.NaN, -1])('refuses a concurrency of %s', (concurrency) => {
    expect(() => normalizeOptions({ concurrency }, PAGE)).toThrow(`concurrency is ${concurrency}`);
  });

  it.each([1, 6, 64])('takes a concurrency of %s', (concurrency) => {
    expect(normalizeOptions({ concurrency }, PAGE).concurrency).toBe(concurrency);
  });

  it.each([5 * 1024 ** 2 - 1, 5 * 1024 ** 2 + 1, 5 * 1024 ** 3 + 1024 ** 2])(
    'refuses a part size of %s bytes',
    (partSizeBytes) => {
      expect(() => normalizeOptions({ partSizeBytes }, PAGE)).toThrow(String(partSizeBytes));
    },
  );

  it('takes part sizes at both ends of what S3 allows', () => {
    for (const partSizeBytes of [5 * 1024 ** 2, 5 * 1024 ** 3]) {
      expect(normalizeOptions({ partSizeBytes }, PAGE).partSizeBytes).toBe(partSizeBytes);
    }
  });

  it('refuses a scope that is longer than 128 characters', () => {
    expect(normalizeOptions({ scope: 'a'.repeat(128) }, PAGE).scope).toHaveLength(128);
    expect(() => normalizeOptions({ scope: 'a'.repeat(129) }, PAGE)).toThrow('128 characters');
  });
});
