import { MIB } from './support/files.ts';
import { sleep } from './support/processes.ts';
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

/** Gives the page a file of that size made of one block of random bytes again and again. */
async function addMadeFile(page: UploadsPage, name: string, sizeBytes: number): Promise<void> {
  await page.page.evaluate(
    async ([name, sizeBytes]) => {
      const block = new Uint8Array(64 * 1024 * 1024);
      for (let at = 0; at < block.length; at += 65_536) {
        crypto.getRandomValues(block.subarray(at, at + 65_536));
      }
      const blob = new Blob([block]);
      const blocks = Math.ceil(sizeBytes / block.length);
      const file = new File([new Blob(Array.from({ length: blocks }, () => blob)).slice(0, sizeBytes)], name);
      await document.querySelector('holdfast-uploader')?.uploader?.add([file]);
    },
    [name, sizeBytes] as const,
  );
}

/** Uploads such a file and answers the most that the workers' wasm has held meanwhile. */
async function peakOf(page: UploadsPage, name: string, sizeBytes: number): Promise<WasmMemory> {
  const timeoutMs = (sizeBytes / BYTES_PER_SECOND_MIN) * 1000 + 60_000;
  await addMadeFile(page, name, sizeBytes);
  const completed = page.hasStatus(name, 'completed', timeoutMs).then(() => true);
  let peak = { engine: 0, staging: 0 };
  for (let ended = false; !ended; ) {
    ended = await Promise.race([completed, sleep(2_000).then(() => false)]);
    const { engine, staging } = await wasmMemory(page.page);
    peak = { engine: Math.max(peak.engine, engine), staging: Math.max(peak.staging, staging) };
  }
  return peak;
}

test('a file of 10 GiB takes no more memory in wasm than one of 100 MiB', async ({ scenario }, testInfo) => {
  test.setTimeout((HUGE_BYTES / BYTES_PER_SECOND_MIN) * 1000 + 180_000);
  const stack = await scenario.start({ sink: true, pastStoreProxy: true });
  const page = await scenario.visitor(stack).open();
  await page.engine();

  const large = await peakOf(page, 'large.bin', LARGE_BYTES);
  const begun = Date.now();
  const huge = await peakOf(page, 'huge.bin', HUGE_BYTES);
  const seconds = (Date.now() - begun) / 1000;
  testInfo.annotations.push({ type: 'wasm memory', description: JSON.stringify({ large, huge, seconds }) });

  const head = await headObject(stack.access, (await page.state('huge.bin')).key ?? '');
  expect(head?.sizeBytes).toBe(HUGE_BYTES);
  expect(huge).toEqual(large);
  expect(huge.engine).toBeLessThanOrEqual(WASM_BYTES_MAX);
  expect(huge.staging).toBeLessThanOrEqual(WASM_BYTES_MAX);
});
