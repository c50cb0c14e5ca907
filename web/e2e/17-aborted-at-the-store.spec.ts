import { limitQuota } from './support/browsers.ts';
import { MIB } from './support/files.ts';
import { sleep } from './support/processes.ts';
import { abortUpload, listOpenUploads } from './support/s3.ts';
import type { Stack } from './support/stack.ts';
import { expect, test } from './support/test.ts';

const FILE_BYTES = 96 * MIB;

/** Somebody with the keys of the store aborts the only upload there is, as a lifecycle rule would. */
async function abortAtTheStore(stack: Stack): Promise<string> {
  const uploads = await listOpenUploads(stack.access);
  expect(uploads).toHaveLength(1);
  for (const upload of uploads) await abortUpload(stack.access, upload);
  return uploads[0]?.key ?? '';
}

test('an upload aborted at the store begins again by itself from the file at hand', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 16 * MIB });
  const page = await scenario.visitor(stack).open();
  const file = scenario.file('aborted.bin', FILE_BYTES, 171);
  await page.pick(file);
  await page.hasSent(file.name, 0.3);
  const key = await abortAtTheStore(stack);
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });

  await scenario.isStored(stack, page, file);
  expect((await page.state(file.name)).key).not.toBe(key);
  const { statuses } = await page.recordOf(file.name);
  expect(statuses).not.toContain('failed');
  expect(statuses).not.toContain('needs-file');
});

test('an upload aborted at the store while the browser was dead begins again from what is on disk', async ({
  scenario,
}) => {
  const stack = await scenario.start();
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  const file = scenario.file('aborted while away.bin', FILE_BYTES, 172);
  // Nothing is confirmed, so all of it comes to lie on the disk.
  await stack.storeProxy.configure({ block: { method: 'PUT' } });
  await first.pick(file);
  await first.hasDurability(file.name, 'safe');
  await visitor.kill();
  const key = await abortAtTheStore(stack);
  await stack.storeProxy.configure({ block: null });

  const second = await visitor.open();
  await scenario.isStored(stack, second, file);
  expect((await second.state(file.name)).key).not.toBe(key);
  expect((await second.recordOf(file.name)).statuses).not.toContain('needs-file');
});

test('an upload aborted at the store that is nowhere whole asks for its file and then completes', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  let limited = false;
  const visitor = scenario.visitor(stack, async (context) => {
    if (!limited) await limitQuota(context, stack.url, 32 * MIB);
    limited = true;
  });
  const first = await visitor.open();
  const file = scenario.file('nowhere whole.bin', FILE_BYTES, 173);
  await first.pick(file);
  await first.hasDurability(file.name, 'partial');
  await first.hasSent(file.name, 0.3);
  await visitor.kill();
  await stack.storeIsIdle();
  await abortAtTheStore(stack);
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });

  const second = await visitor.open();
  await second.hasStatus(file.name, 'needs-file');
  // It waits: nothing may be completed from half of its bytes.
  await sleep(1_000);
  await second.hasStatus(file.name, 'needs-file');
  await second.row(file.name).getByTestId('choose-file').setInputFiles(file.path);
  await scenario.isStored(stack, second, file);
});
