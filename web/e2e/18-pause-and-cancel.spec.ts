import { MIB } from './support/files.ts';
import { leftInBrowser } from './support/left-in-browser.ts';
import { countOpenUploads, listKeys } from './support/s3.ts';
import type { Stack } from './support/stack.ts';
import { expect, test } from './support/test.ts';

/** Parts in flight at most, as the page has it by default. */
const SLOTS = 6;

/** Names of the files whose parts are in flight, one for each part. */
async function namesInFlight(stack: Stack): Promise<string[]> {
  const puts = await stack.storeProxy.putsInFlight();
  return puts.map((put) => decodeURIComponent(put.path.split('/').at(-1) ?? '')).sort();
}

test('a paused upload frees its slots at once for another', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const first = scenario.file('first.bin', 96 * MIB, 181);
  const second = scenario.file('second.bin', 96 * MIB, 182);
  // Whatever is sent stays in flight until the test has looked at it.
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  const allSlotsAreOf = (file: { name: string }) =>
    expect
      .poll(() => namesInFlight(stack), { timeout: 30_000 })
      .toEqual(Array.from({ length: SLOTS }, () => file.name));

  await page.pick(first);
  await allSlotsAreOf(first);
  await page.pick(second);
  await page.hasStatus(second.name, 'queued');
  await page.row(first.name).getByTestId('pause').click();
  await page.hasStatus(first.name, 'paused');
  // A connection is seen to be closed only once what it had sent before is read.
  await stack.storeProxy.configure({ block: { method: 'PUT', pathContains: second.name } });
  await allSlotsAreOf(second);
  const ofFirst = (await stack.storeProxy.puts()).filter((put) => put.path.endsWith(first.name));
  expect(ofFirst.map((put) => put.cutOff)).toEqual(Array.from({ length: SLOTS }, () => true));

  await page.row(second.name).getByTestId('pause').click();
  await page.hasStatus(second.name, 'paused');
  await stack.storeProxy.configure({ block: null });
  await stack.storeIsIdle();
  const sent = await stack.storeProxy.puts();
  expect(sent.filter((put) => put.status === 200)).toEqual([]);

  await page.row(first.name).getByTestId('resume').click();
  await scenario.isStored(stack, page, first);
  await page.hasStatus(second.name, 'paused');
  await page.row(second.name).getByTestId('resume').click();
  await scenario.isStored(stack, page, second);
});

test('a cancelled upload leaves nothing at the store and not a byte in the browser', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 8 * MIB });
  const page = await scenario.visitor(stack).open();
  const large = scenario.file('large.bin', 96 * MIB, 183);
  const small = scenario.file('small.bin', 40_000, 184);
  await page.pick(large);
  await page.hasDurability(large.name, 'safe');
  await page.hasSent(large.name, 0.3);
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  await page.pick(small);
  await page.hasDurability(small.name, 'safe');
  const before = await leftInBrowser(page.page);
  expect(before.files.length, 'files on disk before').toBeGreaterThan(0);
  // Two checkpoints, and the bytes of the small file.
  expect(before.rows, 'rows of uploads before').toBe(3);
  expect(await countOpenUploads(stack.access)).toBe(1);

  for (const file of [large, small]) {
    await page.row(file.name).getByTestId('cancel').click();
    await page.hasStatus(file.name, 'cancelled');
  }
  await stack.storeProxy.configure({ block: null, uploadBytesPerSecond: null });
  await expect.poll(() => countOpenUploads(stack.access), { timeout: 15_000 }).toBe(0);
  await expect.poll(() => leftInBrowser(page.page), { timeout: 15_000 }).toEqual({ files: [], rows: 0 });
  await stack.storeIsIdle();
  expect(await listKeys(stack.access)).toEqual([]);
  expect(await countOpenUploads(stack.access)).toBe(0);
});
