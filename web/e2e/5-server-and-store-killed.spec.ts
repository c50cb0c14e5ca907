import { MIB } from './support/files.ts';
import { sleep } from './support/processes.ts';
import { expect, test } from './support/test.ts';

/** How long the killed one stays away, in ms. */
const AWAY_MS = 1_500;

test('a server killed and started again mid-upload costs a short wait and nothing else', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 16 * MIB });
  const file = scenario.file('server.bin', 64 * MIB, 51);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasSent(file.name, 0.2);

  await stack.killServer();
  await sleep(AWAY_MS);
  await stack.startServer();

  await scenario.isStored(stack, page, file);
  expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
});

test('a server that is away at the end completes the upload when it is back', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 16 * MIB });
  const file = scenario.file('late.bin', 32 * MIB, 52);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasSent(file.name, 0.3);

  await stack.killServer();
  await stack.storeIsIdle();
  await sleep(AWAY_MS);
  await stack.startServer();

  await scenario.isStored(stack, page, file);
  expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
});

test('a store killed and started again mid-upload costs a short wait and nothing else', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 16 * MIB });
  const file = scenario.file('store.bin', 64 * MIB, 53);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasSent(file.name, 0.3);

  await stack.killStore();
  await sleep(AWAY_MS);
  await stack.startStore();

  await scenario.isStored(stack, page, file);
  expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
});
