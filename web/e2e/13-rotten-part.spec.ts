import { MIB } from './support/files.ts';
import type { ProxiedRequest } from './support/proxy.ts';
import { listKeys } from './support/s3.ts';
import { rotStagedPart } from './support/staged-parts.ts';
import { expect, test } from './support/test.ts';

const PART_BYTES = 8 * MIB;
const FILE_BYTES = 12 * PART_BYTES;
/** A part from the middle, which is not among the first to be sent. */
const PART_NUMBER = 10;

function refusals(puts: readonly ProxiedRequest[]): ProxiedRequest[] {
  return puts.filter((put) => put.partNumber === PART_NUMBER && put.status === 400);
}

test('a copy that rotted while the browser was dead is refused, asked for, and then right', async ({
  scenario,
}) => {
  const stack = await scenario.start();
  const file = scenario.file('rotten.bin', FILE_BYTES, 131);
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  await first.pick(file);
  await first.hasDurability(file.name, 'safe');
  await visitor.kill();
  rotStagedPart(visitor.profile, file, { partNumber: PART_NUMBER, partSizeBytes: PART_BYTES });
  await stack.storeProxy.configure({ block: null });

  const second = await visitor.open();
  await second.hasStatus(file.name, 'needs-file');
  await stack.storeIsIdle();
  const puts = await stack.storeProxy.puts();
  expect(refusals(puts).length, 'refusals of the rotten part').toBeGreaterThan(0);
  expect(puts.filter((put) => put.status === 200)).toHaveLength(FILE_BYTES / PART_BYTES - 1);
  expect(await listKeys(stack.access)).toEqual([]);

  await second.row(file.name).getByTestId('choose-file').setInputFiles(file.path);
  await scenario.isStored(stack, second, file);
  const stored = (await stack.storeProxy.puts()).filter((put) => put.status === 200);
  expect(stored).toHaveLength(FILE_BYTES / PART_BYTES);
});

test('a copy that rots while its file is still at hand is read again without asking', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 8 * MIB });
  const file = scenario.file('rotting.bin', FILE_BYTES, 132);
  const visitor = scenario.visitor(stack);
  const page = await visitor.open();
  await page.pick(file);
  await page.hasDurability(file.name, 'safe');
  await page.row(file.name).getByTestId('pause').click();
  await page.hasStatus(file.name, 'paused');
  rotStagedPart(visitor.profile, file, { partNumber: PART_NUMBER, partSizeBytes: PART_BYTES });
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });
  await page.row(file.name).getByTestId('resume').click();

  await scenario.isStored(stack, page, file);
  expect(refusals(await stack.storeProxy.puts()).length, 'refusals of the rotten part').toBeGreaterThan(0);
  expect((await page.recordOf(file.name)).statuses).not.toContain('needs-file');
});
