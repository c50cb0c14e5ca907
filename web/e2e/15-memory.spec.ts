import { MIB, type SparseFile } from './support/files.ts';
import { headObject } from './support/s3.ts';
import { expect, test } from './support/test.ts';
import type { UploadsPage } from './support/uploads-page.ts';
import { type WasmMemory, wasmMemory } from './support/wasm-memory.ts';

const GIB = 1024 * MIB;
const HUGE_BYTES = Number(process.env.HOLDFAST_E2E_HUGE_BYTES ?? 10 * GIB);
const LARGE_BYTES = 100 * MIB;
const WASM_BYTES_MAX = 32 * MIB;
/** Of a shared two-core machine, at the least. */
const BYTES_PER_SECOND_MIN = 20 * MIB;

/** Uploads the file and answers what the workers' wasm holds then: such memory grows and never shrinks. */
async function memoryAfter(page: UploadsPage, file: SparseFile): Promise<WasmMemory> {
  await page.pick(file);
  await page.hasStatus(file.name, 'completed', (file.sizeBytes / BYTES_PER_SECOND_MIN) * 1000 + 60_000);
  return wasmMemory(page.page);
}

test('a file of 10 GiB takes no more memory in wasm than one of 100 MiB', async ({ scenario }, testInfo) => {
  test.setTimeout((HUGE_BYTES / BYTES_PER_SECOND_MIN) * 1000 + 180_000);
  const stack = await scenario.start({ sink: true, pastStoreProxy: true });
  const page = await scenario.visitor(stack).open();
  await page.engine();

  const large = await memoryAfter(page, scenario.sparseFile('large.bin', LARGE_BYTES));
  const begun = Date.now();
  const huge = await memoryAfter(page, scenario.sparseFile('huge.bin', HUGE_BYTES));
  const seconds = (Date.now() - begun) / 1000;
  testInfo.annotations.push({ type: 'wasm memory', description: JSON.stringify({ large, huge, seconds }) });

  const head = await headObject(stack.access, (await page.state('huge.bin')).key ?? '');
  expect(head?.sizeBytes).toBe(HUGE_BYTES);
  expect(huge.staging).toBe(large.staging);
  expect(huge.engine).toBe(large.engine);
  expect(huge.engine).toBeLessThanOrEqual(WASM_BYTES_MAX);
  expect(huge.staging).toBeLessThanOrEqual(WASM_BYTES_MAX);
});
