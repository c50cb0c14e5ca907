import { guardLeaving, sharedWorkerOutlivesPage } from './leave-guard.ts';
import { normalizeOptions, type UploaderOptions } from './options.ts';
import { openUploader, type Uploader } from './uploader.ts';
import { connectWasmHost } from './wasm-host.ts';

/**
 * Connects this page to the upload engine of its endpoint and scope, and starts it when there is none.
 *
 * Uploads of earlier visits appear in the snapshot and go on by themselves. One uploader a page is
 * enough; several of the same endpoint and scope, in one page or many, show the same uploads.
 *
 * @throws TypeError when an option is wrong; see {@link UploaderOptions}. A browser that cannot run the
 * engine is no exception but a snapshot of state `broken`.
 */
export function createUploader(options: UploaderOptions = {}): Uploader {
  const config = normalizeOptions(options, {
    baseUrl: document.baseURI,
    hasSharedWorker: typeof SharedWorker !== 'undefined',
  });
  const uploader = openUploader(config, connectWasmHost);
  const guard = guardLeaving(window, sharedWorkerOutlivesPage());
  uploader.subscribe(() => {
    const snapshot = uploader.getSnapshot();
    guard(snapshot.state === 'closed' ? undefined : snapshot);
  });
  return uploader;
}
