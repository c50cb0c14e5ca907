import { expect, test } from './support/test.ts';

const FILES = 60;
const KIB = 1024;

test('many small files, safe before a byte of them was sent, survive a killed browser', async ({
  scenario,
}) => {
  const stack = await scenario.start();
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  const files = Array.from({ length: FILES }, (_, index) =>
    scenario.file(`note-${index}.txt`, 10 * KIB, 2000 + index),
  );
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  await first.pick(...files);
  await expect(first.page.locator('[data-testid="upload"][data-durability="safe"]')).toHaveCount(FILES, {
    timeout: 60_000,
  });
  await visitor.kill();
  expect((await stack.storeProxy.puts()).filter((put) => put.status === 200)).toEqual([]);

  await stack.storeProxy.configure({ block: null });
  const second = await visitor.open();
  for (const file of files) await scenario.isStored(stack, second, file);
});
