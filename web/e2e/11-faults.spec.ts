import { createReadStream } from 'node:fs';
import { Crc64Nvme } from './support/crc64nvme.ts';
import { MIB, type TestFile } from './support/files.ts';
import type { FaultKind, FaultRule } from './support/proxy.ts';
import { headObject, type ObjectHead } from './support/s3.ts';
import { expect, test } from './support/test.ts';

const UPLOADS = 20;
const FILE_BYTES = 64 * MIB;
const FAILING_SHARE = 0.2;
const COMPLETED_MS_MAX = 240_000;

/** Everything the proxy knows but stalls, which cost half a minute each and are drawn by number. */
const BY_CHANCE: readonly FaultKind[] = [
  { kind: 'delay', ms: 800 },
  { kind: 'slowDown' },
  { kind: 'expiredUrl', cors: true },
  { kind: 'expiredUrl', cors: false },
  { kind: 'forbidden' },
  { kind: 'errorIn200' },
  { kind: 'reset', afterBytes: 3 * MIB },
  { kind: 'loseAnswer' },
  { kind: 'truncateAnswer' },
];
const STALLS = 2;

/** Each kind strikes some part for certain, then all share the chance evenly. */
function faultRules(): FaultRule[] {
  const stall: FaultKind = { kind: 'stall', afterBytes: 2 * MIB };
  const certain = [stall, ...BY_CHANCE].map((fault, index) => ({
    match: { method: 'PUT', partNumber: 1 + (index % 8) },
    fault,
    next: fault === stall ? STALLS : 1,
  }));
  const chance = BY_CHANCE.map((fault, index) => {
    // A rule is asked only when those before it have not struck.
    const left = 1 - (FAILING_SHARE * index) / BY_CHANCE.length;
    return { fault, probability: FAILING_SHARE / BY_CHANCE.length / left };
  });
  return [...certain, ...chance];
}

async function crcOf(file: TestFile): Promise<string> {
  const crc = new Crc64Nvme();
  for await (const bytes of createReadStream(file.path, { highWaterMark: MIB })) crc.update(bytes);
  return crc.digest();
}

declare global {
  interface Window {
    headOnCompleted(name: string, key: string): Promise<void>;
  }
}

test('twenty uploads complete although every fifth request fails in one way or another', async ({
  scenario,
}, testInfo) => {
  test.setTimeout(COMPLETED_MS_MAX + 120_000);
  const stack = await scenario.start();
  const page = await scenario.visitor(stack).open();
  const files = Array.from({ length: UPLOADS }, (_, index) =>
    scenario.file(`faulty-${index}.bin`, FILE_BYTES, 1100 + index),
  );

  const heads = new Map<string, ObjectHead | undefined>();
  await page.page.exposeFunction('headOnCompleted', async (name: string, key: string) => {
    heads.set(name, await headObject(stack.access, key));
  });
  await page.page.evaluate(() => {
    const { uploader } = document.querySelector('holdfast-uploader') ?? {};
    uploader?.on('completed', ({ upload }) => void window.headOnCompleted(upload.name, upload.key ?? ''));
  });
  await stack.storeProxy.configure({ seed: 11, faults: faultRules() });

  const begun = Date.now();
  await page.pick(...files);
  await expect(page.page.locator('[data-testid="upload"][data-status="completed"]')).toHaveCount(UPLOADS, {
    timeout: COMPLETED_MS_MAX,
  });
  const stats = await stack.storeProxy.stats();
  const tookSeconds = (Date.now() - begun) / 1000;
  testInfo.annotations.push({ type: 'faults', description: JSON.stringify({ tookSeconds, ...stats }) });
  for (const [kind, times] of Object.entries(stats.faults)) expect(times, kind).toBeGreaterThan(0);
  const struck = Object.values(stats.faults).reduce((sum, times) => sum + times, 0);
  expect(struck / stats.requests, 'share of requests that failed').toBeGreaterThan(0.1);

  for (const file of files) {
    await scenario.isStored(stack, page, file);
    expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
    expect(heads.get(file.name), `what the store said of ${file.name} at its event`).toEqual({
      sizeBytes: file.sizeBytes,
      crc64nvme: await crcOf(file),
    });
  }
});
