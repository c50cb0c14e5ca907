import { describe, expect, it } from 'vitest';
import { droppedFiles } from './dropped-files.ts';

/** A file's entry; one without content can't be read. */
function file(fullPath: string, content?: string): FileSystemEntry {
  return {
    isFile: true,
    fullPath,
    file: (resolve: (file: File) => void, reject: () => void) =>
      content === undefined ? reject() : resolve(new File([content], fullPath)),
  } as unknown as FileSystemEntry;
}

/** A folder's entry; after the batches it ends, or fails. */
function folder(fullPath: string, batches: FileSystemEntry[][], end: 'ends' | 'fails'): FileSystemEntry {
  return {
    isDirectory: true,
    fullPath,
    createReader: () => {
      const left = [...batches];
      return {
        readEntries: (resolve: (entries: FileSystemEntry[]) => void, reject: () => void) => {
          const batch = left.shift();
          if (batch) resolve(batch);
          else if (end === 'ends') resolve([]);
          else reject();
        },
      };
    },
  } as unknown as FileSystemEntry;
}

async function drop(...entries: FileSystemEntry[]) {
  const items = entries.map((entry) => ({ kind: 'file', webkitGetAsEntry: () => entry }));
  const { files, unreadable } = await droppedFiles({ items } as unknown as DataTransfer);
  return { files: files.map((each) => each.name), unreadable };
}

describe('droppedFiles', () => {
  it('answers the files of folders in order, batch by batch', async () => {
    const inner = folder('/a/b', [[file('/a/b/2', 'x')]], 'ends');
    const outer = folder('/a', [[file('/a/1', 'x'), inner], [file('/a/3', 'x')]], 'ends');
    expect(await drop(outer, file('/4', 'x'))).toEqual({
      files: ['/a/1', '/a/b/2', '/a/3', '/4'],
      unreadable: [],
    });
  });

  it('names a file that cannot be read, and answers the others', async () => {
    expect(await drop(file('/gone'), file('/here', 'x'))).toEqual({ files: ['/here'], unreadable: ['gone'] });
  });

  it('names a folder that cannot be read to its end, and answers what was read of it', async () => {
    const broken = folder('/a', [[file('/a/1', 'x')]], 'fails');
    expect(await drop(broken, file('/2', 'x'))).toEqual({ files: ['/a/1', '/2'], unreadable: ['a/'] });
  });
});
