/** The flight recorder: what a page hands out tells another engine the same again. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from './support/files.ts';
import { binaryPath } from './support/processes.ts';
import { expect, test } from './support/test.ts';

test('the report of a disturbed upload holds no secret, and replayed does the same again', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 12 * MIB });
  await stack.storeProxy.configure({
    faults: [{ fault: { kind: 'slowDown' }, match: { method: 'PUT' }, probability: 0.3 }],
  });
  const file = scenario.file('tax return 2026.pdf', 60 * MIB, 190);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasSent(file.name, 0.3);
  const row = page.row(file.name);
  await row.getByTestId('pause').click();
  await page.hasStatus(file.name, 'paused');
  await stack.storeProxy.configure({ uploadBytesPerSecond: null });
  await row.getByTestId('resume').click();
  await scenario.isStored(stack, page, file);

  const report = await page.page.evaluate(() =>
    document.querySelector('holdfast-uploader')?.uploader?.report(),
  );
  expect(report).toBeTruthy();
  const { key } = await page.state(file.name);
  for (const secret of ['tax', 'X-Amz', '127.0.0.1', key ?? '']) {
    expect(report).not.toContain(secret);
    expect(Buffer.from(JSON.parse(report ?? '').data, 'base64').includes(secret)).toBe(false);
  }

  const folder = mkdtempSync(join(tmpdir(), 'holdfast-report-'));
  try {
    const path = join(folder, 'report.json');
    writeFileSync(path, report ?? '');
    const replay = spawnSync(binaryPath('replay'), [path], { encoding: 'utf8' });
    expect(replay.stdout).toContain('SlowDown');
    expect(replay.stdout).toContain('Pause(');
    expect(replay.stdout.trimEnd()).toMatch(/the engine did the same again$/);
    expect(replay.status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
