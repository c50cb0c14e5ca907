import { traceBusyTasks } from './support/busy-tasks.ts';
import { launchFirefox } from './support/firefox.ts';
import { addSmallFiles, SMALL_FILE_BYTES, SMALL_FILES, smallFilesAreStored } from './support/small-files.ts';
import { expect, test } from './support/test.ts';

const COMPLETED = '[data-testid="upload"][data-status="completed"]';
const COMPLETED_MS_MAX = 150_000;
const TASK_MS_MAX = 50;
const SMALL = [SMALL_FILES, SMALL_FILE_BYTES] as const;

// Playwright's own trace walks the whole page after every step, in tasks of half a second.
test.use({ trace: 'off' });

test('a thousand small files arrive byte for byte and the page stays quick', async ({
  scenario,
}, testInfo) => {
  test.setTimeout(COMPLETED_MS_MAX + 120_000);
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  await page.engine();
  const endTrace = await traceBusyTasks(page.page);
  // Loading the page is not what is asked here.
  await page.page.evaluate(() => window.holdfastRecord.longTasks.splice(0));
  const begun = Date.now();
  await page.page.evaluate(addSmallFiles, SMALL);
  await expect(page.page.locator(COMPLETED)).toHaveCount(SMALL_FILES, { timeout: COMPLETED_MS_MAX });
  const tookMs = Date.now() - begun;
  const traced = await endTrace(TASK_MS_MAX - 1);
  const { longTasks } = await page.record();
  // Those of the test's own driver are traced too, but the page does not count them.
  const tasks = traced.filter(({ wallMs }) => longTasks.some((ms) => Math.abs(ms - wallMs) <= 1.5));
  testInfo.annotations.push({ type: 'tasks', description: JSON.stringify({ tookMs, longTasks, tasks }) });

  expect(tasks.length).toBeGreaterThanOrEqual(longTasks.length);
  expect(tasks.filter(({ cpuMs }) => cpuMs > TASK_MS_MAX)).toEqual([]);
  await smallFilesAreStored(stack.access, SMALL_FILES);
});

test('a thousand small files arrive byte for byte from Firefox', async ({ scenario }, testInfo) => {
  test.setTimeout(COMPLETED_MS_MAX + 120_000);
  const stack = await scenario.start();
  const firefox = await launchFirefox();
  try {
    const page = await firefox.newPage();
    await page.goto(stack.url);
    await page.waitForSelector('[data-testid="engine"][data-engine-instance]');
    const begun = Date.now();
    await page.evaluate(addSmallFiles, SMALL);
    await page.waitForFunction(
      (selector: string, count: number) => document.querySelectorAll(selector).length === count,
      { timeout: COMPLETED_MS_MAX, polling: 250 },
      COMPLETED,
      SMALL_FILES,
    );
    testInfo.annotations.push({ type: 'ms', description: String(Date.now() - begun) });
    await smallFilesAreStored(stack.access, SMALL_FILES);
  } finally {
    await firefox.close();
  }
});
