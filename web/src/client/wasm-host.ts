/** The engine in wasm: loads the module into the page and connects through its `PageHost`. */
import init, { PageHost } from '../wasm/holdfast.js';
import wasmUrl from '../wasm/holdfast_bg.wasm?url';
import engineWorkerUrl from './engine-worker.ts?worker&url';
import type { UploaderConfig } from './options.ts';
import type { HostPort, PageMessage } from './port.ts';
import stagingWorkerUrl from './staging-worker.ts?worker&url';

/** Connects to the engine; rejects when the module or the browser does not allow for one. */
export async function connectWasmHost(
  config: UploaderConfig,
  onMessage: (message: PageMessage) => void,
): Promise<HostPort> {
  await init({ module_or_path: new URL(wasmUrl, import.meta.url) });
  return new PageHost({ ...config, engineWorkerUrl, stagingWorkerUrl }, onMessage);
}
