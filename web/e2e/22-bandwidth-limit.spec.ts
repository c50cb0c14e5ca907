import { MIB } from './support/files.ts';
import { expect, test } from './support/test.ts';

test('a bandwidth limit spreads the parts of a file over time', async ({ scenario }) => {
  const stack = await scenario.start();
  const file = scenario.file('large.bin', 48 * MIB, 220);
  const page = await scenario.visitor(stack).open('/?bandwidth-limit-mib=8');
  await page.pick(file);
  await scenario.isStored(stack, page, file);
  const starts = (await stack.storeProxy.puts()).map((put) => put.startMs).sort((a, b) => a - b);
  expect(starts).toHaveLength(6);
  // A second's worth is saved up at the beginning, so two parts start at once and four are paid for.
  const spreadMs = (starts.at(-1) ?? 0) - (starts[0] ?? 0);
  expect(spreadMs).toBeGreaterThan(3_500);
});
