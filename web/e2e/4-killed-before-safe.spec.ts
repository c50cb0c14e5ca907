import { limitQuota } from './support/browsers.ts';
import { MIB, type TestFile } from './support/files.ts';
import { poll } from './support/processes.ts';
import { partOf, storedTwice } from './support/proxy.ts';
import type { Stack } from './support/stack.ts';
import { expect, type Scenario, test } from './support/test.ts';
import type { UploadsPage } from './support/uploads-page.ts';
import type { Visitor } from './support/visitor.ts';

const FILE_BYTES = 120 * MIB;
/** So little room on the device that most of the file can't be kept there. */
const QUOTA_BYTES = 32 * MIB;

/** An upload that was killed while its bytes were neither all on disk nor all at the store. */
async function killedBeforeSafe(
  scenario: Scenario,
): Promise<{ stack: Stack; visitor: Visitor; file: TestFile; stored: string[] }> {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  const file = scenario.file('thesis.pdf', FILE_BYTES, 4);
  let limited = false;
  const visitor = scenario.visitor(stack, async (context) => {
    if (!limited) await limitQuota(context, stack.url, QUOTA_BYTES);
    limited = true;
  });
  const page = await visitor.open();
  await page.pick(file);
  await page.hasDurability(file.name, 'partial');
  const stored = await poll(
    async () => {
      const done = (await stack.storeProxy.puts()).filter((put) => put.status === 200).map(partOf);
      return done.length >= 3 ? done : undefined;
    },
    60_000,
    () => 'no three parts are stored',
  );
  expect((await page.state(file.name)).durability).toBe('partial');
  await visitor.kill();
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });
  return { stack, visitor, file, stored };
}

async function choose(page: UploadsPage, original: TestFile, chosen: TestFile): Promise<void> {
  await page.row(original.name).getByTestId('choose-file').setInputFiles(chosen.path);
}

test('an upload killed before it is safe asks for its file and sends only what the store lacks', async ({
  scenario,
}) => {
  const { stack, visitor, file, stored } = await killedBeforeSafe(scenario);
  const page = await visitor.open();
  await page.hasStatus(file.name, 'needs-file');

  await choose(page, file, file);
  await scenario.isStored(stack, page, file);
  const puts = await stack.storeProxy.puts();
  expect(storedTwice(puts)).toEqual([]);
  for (const part of stored) expect(puts.filter((put) => partOf(put) === part)).toHaveLength(1);
});

test('another file is refused by name, and nothing of it is sent', async ({ scenario }) => {
  const { stack, visitor, file } = await killedBeforeSafe(scenario);
  const page = await visitor.open();
  await page.hasStatus(file.name, 'needs-file');
  await stack.storeIsIdle();
  const before = await stack.storeProxy.puts();

  const sameSize = scenario.file('holiday.mov', FILE_BYTES, 5);
  await choose(page, file, sameSize);
  const refusal = page.row(file.name).getByTestId('refusal');
  await expect(refusal).toContainText(file.name);
  await expect(refusal).toContainText(sameSize.name);
  const shorter = scenario.file('thesis draft.pdf', FILE_BYTES - 1, 6);
  await choose(page, file, shorter);
  await expect(refusal).toContainText(shorter.name);
  await page.hasStatus(file.name, 'needs-file');
  await stack.storeIsIdle();
  expect(await stack.storeProxy.puts()).toEqual(before);

  await page.row(file.name).getByTestId('upload-as-new').click();
  await scenario.isStored(stack, page, shorter);
  await choose(page, file, file);
  await scenario.isStored(stack, page, file);
});

test('picking the file again in the ordinary way continues the upload that needs it', async ({
  scenario,
}) => {
  const { stack, visitor, file } = await killedBeforeSafe(scenario);
  const page = await visitor.open();
  await page.hasStatus(file.name, 'needs-file');

  await page.pick(file);
  await scenario.isStored(stack, page, file);
  expect(await page.rows()).toHaveLength(1);
  expect(storedTwice(await stack.storeProxy.puts())).toEqual([]);
});
