/** Very many small files, made in the page: picking them would keep the browser itself busy. */
import { createHash } from 'node:crypto';
import { listKeys, readObject, type StoreAccess } from './s3.ts';
import { expect } from './test.ts';

export const SMALL_FILE_BYTES = 10 * 1024;
export const SMALL_FILES = 1_000;

/** Objects read at a time. */
const READERS = 8;

/** Hands the files over to the page's uploader. Runs in the page: it must stand alone. */
export async function addSmallFiles([count, sizeBytes]: readonly [number, number]): Promise<void> {
  const files = Array.from({ length: count }, (_, index) => {
    const line = `small file ${index}\n`;
    const text = line.repeat(Math.ceil(sizeBytes / line.length)).slice(0, sizeBytes);
    return new File([text], `small-${index}.txt`);
  });
  await document.querySelector('holdfast-uploader')?.uploader?.add(files);
}

/** Asserts that the store holds each of them, byte for byte, under a key of its own, and nothing else. */
export async function smallFilesAreStored(store: StoreAccess, count: number): Promise<void> {
  const keys = await listKeys(store);
  expect(keys).toHaveLength(count);
  const names = keys.map((key) => key.split('/').at(-1) ?? '');
  expect(new Set(names).size).toBe(count);
  const left = [...keys.entries()];
  const readOn = async () => {
    for (let next = left.pop(); next; next = left.pop()) {
      const [at, key] = next;
      const line = `small file ${names[at]?.replace(/^small-(\d+)\.txt$/, '$1')}\n`;
      const text = line.repeat(Math.ceil(SMALL_FILE_BYTES / line.length)).slice(0, SMALL_FILE_BYTES);
      expect(await readObject(store, key), key).toEqual({
        sha256: createHash('sha256').update(text).digest('hex'),
        sizeBytes: SMALL_FILE_BYTES,
      });
    }
  };
  await Promise.all(Array.from({ length: READERS }, readOn));
}
