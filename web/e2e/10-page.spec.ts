import { MIB } from './support/files.ts';
import { expect, test } from './support/test.ts';

test('a dropped folder uploads every file in it and in its folders', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const files = [
    scenario.file('album/cover.jpg', 2000, 101),
    scenario.file('album/disc 1/track.flac', 3000, 101),
    scenario.file('album/disc 1/scans/back.png', 4000, 101),
  ];
  const folder = files[0]?.path.replace(/\/cover\.jpg$/, '') ?? '';
  const box = await page.page.locator('holdfast-uploader').boundingBox();
  if (!box) throw new Error('the uploader is not to be seen');
  const [x, y] = [box.x + box.width / 2, box.y + 40];
  const session = await page.page.context().newCDPSession(page.page);
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', {
      type,
      x,
      y,
      data: { items: [], files: [folder], dragOperationsMask: 1 },
    });
  }
  for (const file of files) {
    const name = file.name.split('/').at(-1) ?? '';
    await scenario.isStored(stack, page, { ...file, name });
  }
  expect(await page.rows()).toHaveLength(files.length);
});

test('the keyboard alone pauses and resumes, and screen readers are told how far it is', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 6 * MIB });
  const page = await scenario.visitor(stack).open();
  const file = scenario.file('keys.bin', 40 * MIB, 102);
  await page.page.getByTestId('file-input').focus();
  await page.pick(file);
  await page.hasSent(file.name, 0.1);
  const progress = page.page.getByRole('progressbar', { name: 'Progress of keys.bin' });
  await expect(progress).toHaveAttribute('aria-valuetext', /^\d+ %$/);

  await page.page.keyboard.press('Tab');
  await expect(page.page.getByRole('button', { name: 'Pause keys.bin' })).toBeFocused();
  await page.page.keyboard.press('Enter');
  await page.hasStatus(file.name, 'paused');
  await expect(page.page.getByRole('button', { name: 'Resume keys.bin' })).toBeFocused();
  await page.page.keyboard.press('Enter');
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });
  await scenario.isStored(stack, page, file);
  await expect(page.page.getByRole('status')).toContainText('keys.bin uploaded');
});

test('the line about closing follows the upload from keep open to done', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const file = scenario.file('line.bin', 40 * MIB, 103);
  const closing = page.page.getByTestId('closing');
  await expect(closing).toHaveAttribute('data-level', 'idle');
  // Nothing reaches the store, so all of it must come to lie on the disk first.
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  await page.pick(file);
  await expect(closing).toHaveText(/^Keep this page open: .* only in this page\.$/);
  await expect(closing).toHaveText('Safe to close: it goes on by itself when you come back.', {
    timeout: 30_000,
  });
  expect((await page.state(file.name)).durability).toBe('safe');
  await stack.storeProxy.configure({ block: null });
  await scenario.isStored(stack, page, file);
  await expect(closing).toHaveText('Done: 1 file is at the store.');
});

test('a page whose engine cannot be loaded says so', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario
    .visitor(stack, (context) => context.route('**/*.wasm', (route) => route.abort()))
    .open();
  await expect(page.page.getByTestId('problem')).toContainText('Uploading does not work');
  await expect(page.page.getByRole('alert')).toBeVisible();
});

test('the second page shows the same uploads in short', async ({ scenario }) => {
  const stack = await scenario.start();
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  const file = scenario.file('seen twice.bin', 9 * MIB, 104);
  await first.pick(file);
  await scenario.isStored(stack, first, file);
  await first.page.getByTestId('second-page').click();
  await expect(first.page.getByTestId('file-input')).toBeHidden();
  await first.hasStatus(file.name, 'completed');
  expect((await first.engine()).host).toBe('shared-worker');
});
