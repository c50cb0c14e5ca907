import { MIB } from './support/files.ts';
import { forwardedBytes, storedTwice } from './support/proxy.ts';
import { expect, test } from './support/test.ts';

test('leaving for the second page and coming back keeps the engine and sends nothing twice', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  const file = scenario.file('album.zip', 96 * MIB, 2);
  const uploads = await scenario.visitor(stack).open();
  const before = await uploads.engine();
  expect(before.host).toBe('shared-worker');

  await uploads.pick(file);
  await uploads.hasSent(file.name, 0.1);
  await uploads.page.getByTestId('second-page').click();
  await expect(uploads.page).toHaveURL(/second/);
  await uploads.hasStatus(file.name, 'uploading');
  expect(await uploads.engine()).toEqual(before);
  await uploads.hasSent(file.name, 0.4);
  await uploads.page.getByTestId('first-page').click();
  await expect(uploads.page).not.toHaveURL(/second/);
  await uploads.hasStatus(file.name, 'uploading');
  expect(await uploads.engine()).toEqual(before);

  await scenario.isStored(stack, uploads, file);
  const puts = await stack.storeProxy.puts();
  expect(forwardedBytes(puts)).toBe(file.sizeBytes);
  expect(storedTwice(puts)).toEqual([]);
});
