/** The engine in wasm: loads the module into the page and connects through its `PageHost`. */
import { PageHost } from '../wasm/holdfast.js';
import engineWorkerUrl from './engine-worker.ts?worker&url';
import type { UploaderConfig } from './options.ts';
import type { HostPort, PageMessage } from './port.ts';
import stagingWorkerUrl from './staging-worker.ts?worker&url';
import { loadModule } from './wasm-module.ts';

/** Connects to the engine; rejects when the module or the browser does not allow for one. */
export async function connectWasmHost(
  config: UploaderConfig,
  onMessage: (message: PageMessage) => void,
): Promise<HostPort> {
  await loadModule();
  return new PageHost(
    {
      ...config,
      engineWorkerUrl: new URL(engineWorkerUrl, import.meta.url).href,
      stagingWorkerUrl: new URL(stagingWorkerUrl, import.meta.url).href,
    },
    onMessage,
  );
}
