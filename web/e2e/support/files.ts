/** Files to upload: any size, never twice the same content, the same in every run. */
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A file on disk and what the store must hold of it. */
export interface TestFile {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A file that takes no room on disk: nobody has written its bytes, which read as zeros. */
export type SparseFile = Omit<TestFile, 'sha256'>;

export const MIB = 1024 * 1024;

/** Writes a file whose bytes follow from the seed alone: the key stream of a cipher. */
export function writeTestFile(folder: string, name: string, sizeBytes: number, seed: number): TestFile {
  const path = join(folder, String(seed), name);
  mkdirSync(dirname(path), { recursive: true });
  const key = createHash('sha256').update(`seed ${seed}`).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(MIB);
  const hash = createHash('sha256');
  const file = openSync(path, 'w');
  try {
    for (let at = 0; at < sizeBytes; at += zeros.length) {
      const bytes = cipher.update(zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)));
      hash.update(bytes);
      writeSync(file, bytes);
    }
  } finally {
    closeSync(file);
  }
  return { path, name, sizeBytes, sha256: hash.digest('hex') };
}

/** Makes a file of that size without writing it. */
export function makeSparseFile(folder: string, name: string, sizeBytes: number): SparseFile {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  closeSync(file);
  return { path, name, sizeBytes };
}
