/**
 * The browser's module may import nothing but its own generated glue. An import from `env` or
 * `wasi_snapshot_preview1` means that some crate expects an operating system: the browser would
 * refuse to load the module, but only at run time.
 */

import { readFileSync } from 'node:fs';

const MODULE = 'web/src/wasm/holdfast_bg.wasm';
const GLUE = './holdfast_bg.js';

const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(MODULE)));
const foreign = imports.filter(({ module }) => module !== GLUE);
for (const { module, name, kind } of foreign) {
  console.error(`${MODULE} imports the ${kind} "${name}" from "${module}"; only ${GLUE} can be there`);
}
if (foreign.length === 0) console.log(`${MODULE}: ${imports.length} imports, all from ${GLUE}`);
process.exitCode = foreign.length > 0 ? 1 : 0;
