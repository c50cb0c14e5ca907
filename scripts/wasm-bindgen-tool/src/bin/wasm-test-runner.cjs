/**
 * Runs the tests of the module beside it. What wasm-bindgen-test asks of its runner: the console
 * goes through its hooks, which keep what a test printed, and each test is an export `__wbgt_…`.
 */

const wasm = require('./tests.js');

const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const isWanted = (test) => filters.length === 0 || filters.some((filter) => test.includes(filter));
const all = Object.keys(wasm.__wasm).filter((name) => name.startsWith('__wbgt_'));
const tests = all.filter(isWanted);

globalThis.__wbgtest_og_console_log = console.log;
globalThis.__wbgtest_og_console_error = console.error;
globalThis.__wbg_test_invoke = (test) => test();
for (const method of ['debug', 'log', 'info', 'warn', 'error']) {
  console[method] = (...texts) => wasm[`__wbgtest_console_${method}`](texts);
}

const context = new wasm.WasmBindgenTestContext(false);
context.filtered_count(all.length - tests.length);
context.run(tests.map((name) => wasm.__wasm[name])).then(
  (passed) => process.exit(passed ? 0 : 1),
  (thrown) => {
    globalThis.__wbgtest_og_console_error(thrown);
    process.exit(1);
  },
);
