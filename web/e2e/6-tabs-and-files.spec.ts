import { createHash } from 'node:crypto';
import { MIB } from './support/files.ts';
import { forwardedBytes } from './support/proxy.ts';
import { countOpenUploads, listKeys, readObject } from './support/s3.ts';
import { expect, test } from './support/test.ts';

const PART_BYTES = 8 * MIB;

test('two tabs share one engine and show the same progress', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  const file = scenario.file('shared.bin', 72 * MIB, 61);
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  const second = await visitor.open();
  expect(await second.engine()).toEqual(await first.engine());

  await first.pick(file);
  await second.hasStatus(file.name, 'uploading');
  for (const share of [0.2, 0.5]) {
    await first.hasSent(file.name, share);
    const [here, there] = await Promise.all([first.state(file.name), second.state(file.name)]);
    expect(there.id).toBe(here.id);
    // Two readings of a moving thing: not further apart than a second of the link.
    expect(Math.abs(there.sentBytes - here.sentBytes)).toBeLessThan(12 * MIB);
  }
  await scenario.isStored(stack, first, file);
  await second.hasStatus(file.name, 'completed');
  expect(await second.state(file.name)).toEqual(await first.state(file.name));
  expect(forwardedBytes(await stack.storeProxy.puts())).toBe(file.sizeBytes);
});

test('the tab that did not pick the file goes on when the other is closed', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  const file = scenario.file('orphan.bin', 48 * MIB, 62);
  const visitor = scenario.visitor(stack);
  const first = await visitor.open();
  const second = await visitor.open();
  await first.pick(file);
  await second.hasSent(file.name, 0.2);
  await first.page.close();
  await scenario.isStored(stack, second, file);
  expect(forwardedBytes(await stack.storeProxy.puts())).toBe(file.sizeBytes);
});

test('files of three sizes at once, and those around nothing and a part, arrive whole', async ({
  scenario,
}) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const files = [
    scenario.file('nothing.bin', 0, 630),
    scenario.file('one byte.bin', 1, 631),
    scenario.file('a part.bin', PART_BYTES, 632),
    scenario.file('a part and a byte.bin', PART_BYTES + 1, 633),
    scenario.file('a byte less than a part.bin', PART_BYTES - 1, 634),
    scenario.file('three parts.bin', 3 * PART_BYTES, 635),
  ];
  await page.pick(...files);
  for (const file of files) await scenario.isStored(stack, page, file);
});

test('three large files at once arrive whole', async ({ scenario }) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const files = [0, 1, 2].map((index) =>
    scenario.file(`large-${index}.bin`, (30 + index) * MIB, 640 + index),
  );
  await page.pick(...files);
  for (const file of files) await scenario.isStored(stack, page, file);
});

test('names with emoji, spaces, traversal and a newline arrive under keys of their own', async ({
  scenario,
}) => {
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const names = [
    '🎉 party photo (1).jpg',
    '../../etc/passwd',
    'two\nlines.txt',
    '  spaces  .txt',
    'Ünïcode + 100%.pdf',
  ];
  const files = names.map((name, index) => ({ name, bytes: Buffer.from(`content ${index} of ${name}`) }));
  await page.pickMade(...files);
  await expect(page.page.locator('[data-testid="upload"][data-status="completed"]')).toHaveCount(
    files.length,
    {
      timeout: 60_000,
    },
  );
  const rows = await page.rows();
  for (const { name, bytes } of files) {
    const key = rows.find((row) => row.name === name)?.key ?? '';
    expect(key.split('/')).not.toContain('..');
    expect(key).not.toMatch(/\p{Cc}/u);
    expect(await readObject(stack.access, key)).toEqual({
      sha256: createHash('sha256').update(bytes).digest('hex'),
      sizeBytes: bytes.length,
    });
  }
  expect(new Set(rows.map((row) => row.key)).size).toBe(files.length);
});

test('an upload pauses, resumes and, when cancelled, leaves nothing at the store', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  const page = await scenario.visitor(stack).open();
  const kept = scenario.file('kept.bin', 40 * MIB, 65);
  await page.pick(kept);
  await page.hasSent(kept.name, 0.2);
  await page.row(kept.name).getByTestId('pause').click();
  await page.hasStatus(kept.name, 'paused');
  await stack.storeIsIdle();
  await page.row(kept.name).getByTestId('resume').click();
  await scenario.isStored(stack, page, kept);

  const dropped = scenario.file('dropped.bin', 40 * MIB, 66);
  await page.pick(dropped);
  await page.hasSent(dropped.name, 0.2);
  await page.row(dropped.name).getByTestId('cancel').click();
  await page.hasStatus(dropped.name, 'cancelled');
  await expect.poll(() => countOpenUploads(stack.access), { timeout: 15_000 }).toBe(0);
  expect(await listKeys(stack.access)).toEqual([(await page.state(kept.name)).key]);
});
