/** The copies of parts that a browser keeps in its profile, as plain files: found by what is in them. */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TestFile } from './files.ts';

/**
 * Flips one bit in the middle of the profile's copy of a part.
 *
 * The browser names the files its own way, so the copy is known by its size and first bytes. Throws when
 * there is not exactly one.
 */
export function rotStagedPart(
  profile: string,
  file: TestFile,
  part: { readonly partNumber: number; readonly partSizeBytes: number },
): string {
  const offset = (part.partNumber - 1) * part.partSizeBytes;
  const sizeBytes = Math.min(part.partSizeBytes, file.sizeBytes - offset);
  const head = bytesAt(file.path, offset, 64);
  const copies = filesBelow(profile).filter(
    (path) => sizeOf(path) === sizeBytes && bytesAt(path, 0, head.length).equals(head),
  );
  const [copy] = copies;
  if (copy === undefined || copies.length > 1) {
    throw new Error(`${copies.length} copies of part ${part.partNumber} in ${profile}`);
  }
  const middle = Math.floor(sizeBytes / 2);
  const [byte] = bytesAt(copy, middle, 1);
  const handle = openSync(copy, 'r+');
  writeSync(handle, Buffer.from([(byte ?? 0) ^ 1]), 0, 1, middle);
  closeSync(handle);
  return copy;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function sizeOf(path: string): number {
  // Others of the browser's files come and go.
  return statSync(path, { throwIfNoEntry: false })?.size ?? -1;
}

function bytesAt(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const handle = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(handle, bytes, 0, length, offset));
  } finally {
    closeSync(handle);
  }
}
