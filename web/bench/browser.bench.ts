/** Holdfast beside raw PUTs and Uppy: the same browser, files, store and concurrency, in turns. */
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Page } from '@playwright/test';
import { build } from 'vite';
import { MIB, type TestFile } from '../e2e/support/files.ts';
import { sleep } from '../e2e/support/processes.ts';
import { deleteObject, headObject, listKeys } from '../e2e/support/s3.ts';
import type { Stack } from '../e2e/support/stack.ts';
import { expect, type Scenario, test } from '../e2e/support/test.ts';
import { type Job, prepare, uploadByHoldfast, uploadByUppy, uploadRaw } from './page.ts';
import { type Presignable, presign } from './presign.ts';
import { type Series, table, writeReport } from './report.ts';

const QUICK = process.env.HOLDFAST_BENCH_QUICK === '1';
const ONLY = process.env.HOLDFAST_BENCH_ONLY;
const ROUNDS = Number(process.env.HOLDFAST_BENCH_ROUNDS ?? (QUICK ? 1 : 5));
const REPORT = fileURLToPath(new URL('../../test-results/bench/browser.json', import.meta.url));
const UPPY_ENTRY = fileURLToPath(new URL('./uppy-in-page.ts', import.meta.url));

const PART_BYTES = 8 * MIB;
const CONCURRENCY = 6;

interface Case {
  readonly name: string;
  readonly fileBytes?: number;
  readonly made?: { readonly count: number; readonly sizeBytes: number };
  /** Shape of every link of the page; without it as fast as the machine. */
  readonly link?: { readonly bytesPerSecond: number; readonly latencyMs: number };
}

const CASES: readonly Case[] = [
  { name: QUICK ? '128 MiB' : '1 GiB', fileBytes: (QUICK ? 128 : 1024) * MIB },
  {
    name: `${QUICK ? 64 : 256} MiB, 200 Mbit/s, 50 ms`,
    fileBytes: (QUICK ? 64 : 256) * MIB,
    link: { bytesPerSecond: 25_000_000, latencyMs: 50 },
  },
  {
    name: `${QUICK ? 64 : 256} MiB, 1 Gbit/s, 50 ms`,
    fileBytes: (QUICK ? 64 : 256) * MIB,
    link: { bytesPerSecond: 125_000_000, latencyMs: 50 },
  },
  { name: `${QUICK ? 100 : 1000} × 10 KiB`, made: { count: QUICK ? 100 : 1000, sizeBytes: 10 * 1024 } },
];

const PEERS = { raw: uploadRaw, holdfast: uploadByHoldfast, uppy: uploadByUppy } as const;

async function startStack(scenario: Scenario, link: Case['link']): Promise<Stack> {
  if (!link) return scenario.start({ pastStoreProxy: true });
  const stack = await scenario.start({ serverProxy: true });
  const { bytesPerSecond, latencyMs } = link;
  const delays = { latencyMs, connectionLatencyMs: latencyMs };
  await stack.storeProxy.configure({ uploadBytesPerSecond: bytesPerSecond, ...delays });
  await stack.serverProxy?.configure(delays);
  return stack;
}

/** Puts into a fresh page what the peers need; their signing costs what a call to a server costs. */
async function preparePage(page: Page, stack: Stack, link: Case['link'], uppy: string): Promise<void> {
  await page.evaluate(prepare);
  await page.exposeFunction('benchSign', async (requests: Presignable[]) => {
    await sleep(link?.latencyMs ?? 0);
    return requests.map((request) => presign(stack.access, stack.publicStoreUrl, request));
  });
  await page.evaluate(uppy);
}

async function bundleUppy(): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'warn',
    build: { write: false, lib: { entry: UPPY_ENTRY, formats: ['iife'], name: 'benchUppyBundle' } },
  });
  const [bundle] = [output].flat();
  if (!bundle || !('output' in bundle)) throw new Error('the bundler gave nothing');
  return bundle.output[0].code;
}

/** Asserts that everything has arrived, by the number of objects and the size of one, then empties the store. */
async function checkAndEmpty(stack: Stack, sizes: readonly number[]): Promise<void> {
  const keys = await listKeys(stack.access);
  expect(keys).toHaveLength(sizes.length);
  const head = await headObject(stack.access, keys[0] ?? '');
  expect(head?.sizeBytes).toBe(sizes[0]);
  for (const key of keys) await deleteObject(stack.access, key);
}

test('browser', async ({ scenario }) => {
  const uppy = await bundleUppy();
  const series: Series[] = [];
  for (const each of CASES.filter(({ name }) => !ONLY || name.includes(ONLY))) {
    const stack = await startStack(scenario, each.link);
    const file: TestFile | undefined = each.fileBytes
      ? scenario.file('bench.bin', each.fileBytes, each.fileBytes)
      : undefined;
    const sizes = each.made
      ? Array.from({ length: each.made.count }, () => each.made?.sizeBytes ?? 0)
      : [each.fileBytes ?? 0];
    const job: Job = {
      ...(each.made ? { made: each.made } : {}),
      partSizeBytes: PART_BYTES,
      concurrency: CONCURRENCY,
      prefix: 'bench',
    };
    const byPeer = Object.keys(PEERS).map((peer): Series => ({ name: each.name, peer, ms: [] }));
    series.push(...byPeer);
    // In turns, so that what else the machine does falls on all of them alike.
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const { peer, ms } of byPeer) {
        const visitor = scenario.visitor(stack);
        const { page, engine } = await opened(visitor);
        await engine;
        await preparePage(page, stack, each.link, uppy);
        if (file) await page.locator('#bench-input').setInputFiles(file.path);
        ms.push(await page.evaluate(PEERS[peer as keyof typeof PEERS], job));
        await visitor.quit();
        await checkAndEmpty(stack, sizes);
      }
    }
    console.log(`\n${table(byPeer)}`);
    await stack.stop();
  }
  console.log(`\n${table(series)}\n\nwritten to ${REPORT}`);
  writeReport(REPORT, series, {
    at: new Date().toISOString(),
    quick: QUICK,
    rounds: ROUNDS,
    cores: cpus().length,
    processor: cpus()[0]?.model,
  });
});

async function opened(visitor: ReturnType<Scenario['visitor']>) {
  const uploads = await visitor.open();
  return { page: uploads.page, engine: uploads.engine() };
}
