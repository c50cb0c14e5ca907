import { MIB } from './support/files.ts';
import { forwardedBytes, storedTwice } from './support/proxy.ts';
import { expect, test } from './support/test.ts';

test('a 200 MiB file uploads and its page shows every state on the way without a long task', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 25 * MIB });
  const file = scenario.file('recording.mov', 200 * MIB, 1);
  const page = await scenario.visitor(stack).open();

  await page.pick(file);
  await scenario.isStored(stack, page, file);

  const { statuses, durabilities } = await page.recordOf(file.name);
  expect(statuses).toEqual(['queued', 'uploading', 'completing', 'completed']);
  expect(durabilities).toEqual(['memory', 'partial', 'safe']);
  const { longTasks } = await page.record();
  expect(longTasks, 'tasks of the main thread longer than 50 ms').toEqual([]);
  const puts = await stack.storeProxy.puts();
  expect(forwardedBytes(puts)).toBe(file.sizeBytes);
  expect(storedTwice(puts)).toEqual([]);
});

test('a thousand small files upload without a long task', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const files = Array.from({ length: 1000 }, (_, index) =>
    scenario.file(`note-${index}.txt`, 10 * 1024, 1000 + index),
  );

  await page.pick(...files);
  await expect(page.page.locator('[data-testid="upload"][data-status="completed"]')).toHaveCount(1000, {
    timeout: 120_000,
  });

  const { longTasks } = await page.record();
  expect(longTasks, 'tasks of the main thread longer than 50 ms').toEqual([]);
  const keys = (await page.rows()).map((row) => row.key);
  expect(new Set(keys).size).toBe(1000);
});
