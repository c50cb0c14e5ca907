/** The files of a drop, those in dropped folders included. */

/** What a drop holds. */
export interface Dropped {
  readonly files: readonly File[];
  /** Paths of files, and of folders with a slash at the end, that vanished or may not be read. */
  readonly unreadable: readonly string[];
}

/**
 * Every file of the drop, folders walked to their end, in the order the browser lists them. What can't be
 * read is left out and named: the others must not fail for it.
 *
 * Must be called in the drop event itself: the browser empties the transfer right after it.
 */
export function droppedFiles(transfer: DataTransfer): Promise<Dropped> {
  const roots: (FileSystemEntry | File)[] = [];
  for (const item of transfer.items) {
    if (item.kind !== 'file') continue;
    const root = item.webkitGetAsEntry() ?? item.getAsFile();
    if (root) roots.push(root);
  }
  return filesOf(roots);
}

async function filesOf(roots: readonly (FileSystemEntry | File)[]): Promise<Dropped> {
  const files: File[] = [];
  const unreadable: string[] = [];
  // A stack of its own: a folder tree may be deeper than calls can nest.
  const open = [...roots].reverse();
  for (let next = open.pop(); next; next = open.pop()) {
    if (next instanceof File) {
      files.push(next);
    } else if (next.isFile) {
      const file = await fileOf(next as FileSystemFileEntry);
      if (file) files.push(file);
      else unreadable.push(pathOf(next));
    } else if (next.isDirectory) {
      const { entries, complete } = await entriesOf(next as FileSystemDirectoryEntry);
      if (!complete) unreadable.push(`${pathOf(next)}/`);
      open.push(...entries.reverse());
    }
  }
  return { files, unreadable };
}

/** Within the drop: the browser starts it with a slash. */
function pathOf(entry: FileSystemEntry): string {
  return entry.fullPath.replace(/^\//, '');
}

function fileOf(entry: FileSystemFileEntry): Promise<File | undefined> {
  return new Promise((resolve) => entry.file(resolve, () => resolve(undefined)));
}

/** A folder's entries, as far as it can be read. Chromium hands them out 100 at a time, an empty batch is the end. */
async function entriesOf(
  folder: FileSystemDirectoryEntry,
): Promise<{ entries: FileSystemEntry[]; complete: boolean }> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[] | undefined>((resolve) =>
      reader.readEntries(resolve, () => resolve(undefined)),
    );
    if (!batch?.length) return { entries, complete: batch !== undefined };
    entries.push(...batch);
  }
}
