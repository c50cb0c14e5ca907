import type { Page } from '@playwright/test';

/** What the page's origin keeps in the browser: files by their paths in OPFS, and rows of IndexedDB. */
export interface LeftInBrowser {
  readonly files: string[];
  readonly rows: number;
}

/** Walks all of OPFS and counts the rows of every IndexedDB database, as the page sees them. */
export function leftInBrowser(page: Page): Promise<LeftInBrowser> {
  return page.evaluate(async () => {
    const files: string[] = [];
    const walk = async (folder: FileSystemDirectoryHandle, path: string): Promise<void> => {
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind === 'file') files.push(`${path}/${name}`);
        else await walk(handle as FileSystemDirectoryHandle, `${path}/${name}`);
      }
    };
    await walk(await navigator.storage.getDirectory(), '');

    const answer = <Result>(request: IDBRequest<Result>): Promise<Result> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    let rows = 0;
    for (const { name } of await indexedDB.databases()) {
      if (name === undefined) continue;
      const database = await answer(indexedDB.open(name));
      for (const store of database.objectStoreNames) {
        rows += await answer(database.transaction(store).objectStore(store).count());
      }
      database.close();
    }
    return { files: files.sort(), rows };
  });
}
