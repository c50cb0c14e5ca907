import { fileURLToPath } from 'node:url';
import { MIB } from './support/files.ts';
import { test } from './support/test.ts';

const PICTURE = fileURLToPath(new URL('../../docs/images/upload.png', import.meta.url));

test('the README’s picture shows several uploads in different states', async ({ scenario }) => {
  const stack = await scenario.start();
  const visitor = scenario.visitor(stack);
  const page = await visitor.open();
  await page.pick(scenario.file('Invoice 2026-114.pdf', 2 * MIB, 91));
  await page.hasStatus('Invoice 2026-114.pdf', 'completed');

  await stack.storeProxy.configure({ uploadBytesPerSecond: 14 * MIB });
  const backup = scenario.file('database-backup.sql.gz', 96 * MIB, 92);
  await page.pick(backup);
  await page.hasSent(backup.name, 0.8);
  await page.row(backup.name).getByTestId('pause').click();
  await page.hasStatus(backup.name, 'paused');

  const recording = scenario.file('Conference recording.mov', 380 * MIB, 93);
  await page.pick(recording);
  await page.hasSent(recording.name, 0.4);
  await page.pick(scenario.file('Holiday photos.zip', 240 * MIB, 94));
  await page.hasSent('Holiday photos.zip', 0.05);
  await page.page.mouse.move(0, 0);
  await page.page.screenshot({ path: PICTURE, fullPage: true });
});
