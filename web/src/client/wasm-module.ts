/** Loads the wasm module into this context, page or worker, from the URL that the bundler gives it. */
import init from '../wasm/holdfast.js';
import wasmUrl from '../wasm/holdfast_bg.wasm?url';

export async function loadModule(): Promise<void> {
  await init({ module_or_path: new URL(wasmUrl, import.meta.url) });
}
