/** The files of a drop, those in dropped folders included. */

/**
 * Every file of the drop, folders walked to their end, in the order the browser lists them.
 *
 * Must be called in the drop event itself: the browser empties the transfer right after it.
 */
export function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  const roots: (FileSystemEntry | File)[] = [];
  for (const item of transfer.items) {
    if (item.kind !== 'file') continue;
    const root = item.webkitGetAsEntry() ?? item.getAsFile();
    if (root) roots.push(root);
  }
  return filesOf(roots);
}

async function filesOf(roots: readonly (FileSystemEntry | File)[]): Promise<File[]> {
  const files: File[] = [];
  // A stack of its own: a folder tree may be deeper than calls can nest.
  const open = [...roots].reverse();
  for (let next = open.pop(); next; next = open.pop()) {
    if (next instanceof File) {
      files.push(next);
    } else if (next.isFile) {
      const file = await fileOf(next as FileSystemFileEntry);
      if (file) files.push(file);
    } else if (next.isDirectory) {
      open.push(...(await entriesOf(next as FileSystemDirectoryEntry)).reverse());
    }
  }
  return files;
}

/** A file that vanished or may not be read is left out: the others must not fail for it. */
function fileOf(entry: FileSystemFileEntry): Promise<File | undefined> {
  return new Promise((resolve) => entry.file(resolve, () => resolve(undefined)));
}

/** All entries of a folder. Chromium hands them out 100 at a time, an empty batch is the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve) =>
      reader.readEntries(resolve, () => resolve([])),
    );
    if (batch.length === 0) return entries;
    entries.push(...batch);
  }
}
