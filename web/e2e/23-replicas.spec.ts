import { MIB } from './support/files.ts';
import { sleep } from './support/processes.ts';
import { addSmallFiles, SMALL_FILE_BYTES, smallFilesAreStored } from './support/small-files.ts';
import { expect, test } from './support/test.ts';

/** How long what was killed stays away, in ms. */
const AWAY_MS = 3_000;

/** Small files, beside the large ones. */
const FILES = 200;

test('two replicas answer in turn, one is killed half-way, and every upload completes', async ({
  scenario,
}) => {
  const stack = await scenario.start({ replicas: 2, uploadBytesPerSecond: 16 * MIB });
  const large = [1, 2].map((seed) => scenario.file(`large-${seed}.bin`, 40 * MIB, 230 + seed));
  const page = await scenario.visitor(stack).open();
  for (const file of large) await page.pick(file);
  for (const file of large) await page.hasSent(file.name, 0.3);

  await stack.killServer(0);

  for (const file of large) await scenario.isStored(stack, page, file);
  for (const file of large) expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
});

test('two hundred small files go through two replicas, one of which is killed', async ({ scenario }) => {
  const stack = await scenario.start({ replicas: 2, serverEnv: { HOLDFAST_KEY_PREFIX: 'small' } });
  const page = await scenario.visitor(stack).open();
  const adding = page.page.evaluate(addSmallFiles, [FILES, SMALL_FILE_BYTES] as const);
  await sleep(300);
  await stack.killServer(1);
  await adding;
  await page.allCompleted(FILES);
  await smallFilesAreStored(stack.access, FILES);
});

test('a Redis that is away costs a wait, and one that restarts costs nothing', async ({ scenario }) => {
  const stack = await scenario.start({ replicas: 2, uploadBytesPerSecond: 12 * MIB });
  const file = scenario.file('redis.bin', 64 * MIB, 233);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasSent(file.name, 0.3);

  await stack.killRedis();
  const answer = await fetch(`${stack.url}/ready`);
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  // A file picked while nobody can start it waits, and says for what.
  const later = scenario.file('later.bin', 9 * MIB, 234);
  await page.pick(later);
  await expect.poll(async () => (await page.state(later.name)).status).toBe('waiting');
  await sleep(AWAY_MS);
  await stack.startRedis();

  await scenario.isStored(stack, page, file);
  await scenario.isStored(stack, page, later);
  for (const each of [file, later]) {
    expect((await page.recordOf(each.name)).statuses).not.toContain('failed');
  }
});
