/** The server: its signer beside that of AWS's SDK for JavaScript, and its answers to many at once. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@playwright/test';
import { binaryPath } from '../e2e/support/processes.ts';
import { columns, median } from './report.ts';
import { type Measured, measureStore, type Pace, storesOfServer } from './server-load.ts';

const QUICK = process.env.HOLDFAST_BENCH_QUICK === '1';
const ROUNDS = Number(process.env.HOLDFAST_BENCH_ROUNDS ?? (QUICK ? 1 : 5));
const SIGNING_SECONDS = QUICK ? 1 : 3;
const REPORT = fileURLToPath(new URL('../../test-results/bench/server.json', import.meta.url));
const PRESIGNER = fileURLToPath(new URL('./presigner-rate.mjs', import.meta.url));

/** Sessions that upload at once, a call a second each; and as fast as the server answers. */
const PACES: readonly Pace[] = [
  { name: 'a call a second each', pauseMs: 1000, sessions: 500, seconds: QUICK ? 5 : 20 },
  { name: 'without a pause', pauseMs: 0, sessions: 500, seconds: QUICK ? 5 : 20 },
];

/** What a signer prints. */
interface Rate {
  readonly urlsPerSecond: number;
  readonly urlsPerCoreSecond: number;
  readonly sample: string;
}

type Signer = (seconds: number, unixTime: number) => Rate;

/** Each on one thread of a process of its own. */
const SIGNERS: Readonly<Record<string, Signer>> = {
  'Holdfast, presign_parts': (seconds, unixTime) =>
    run(binaryPath('examples/signing_rate'), [String(seconds), String(unixTime)]),
  's3-request-presigner, getSignedUrl': (seconds, unixTime) =>
    run(process.execPath, [PRESIGNER, 'getSignedUrl', String(seconds), String(unixTime)]),
  's3-request-presigner, S3RequestPresigner': (seconds, unixTime) =>
    run(process.execPath, [PRESIGNER, 'presign', String(seconds), String(unixTime)]),
};

test('server', async () => {
  const signing = compareSigners();
  console.log(`\n${signing.table}\n`);
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const fastFolder = fastFolderOr(folder);
  const measured: Measured[] = [];
  try {
    for (const store of storesOfServer(process.env.HOLDFAST_BENCH_STORES)) {
      for (const pace of PACES) measured.push(await measureStore(store, pace, folder, fastFolder));
    }
  } finally {
    for (const each of [folder, fastFolder]) rmSync(each, { recursive: true, force: true });
  }
  console.log(`\n${loadTable(measured)}\n\nwritten to ${REPORT}`);
  mkdirSync(dirname(REPORT), { recursive: true });
  const about = {
    at: new Date().toISOString(),
    quick: QUICK,
    rounds: ROUNDS,
    cores: cpus().length,
    processor: cpus()[0]?.model,
    node: process.version,
  };
  writeFileSync(
    REPORT,
    `${JSON.stringify({ ...about, signing: signing.rates, load: measured }, undefined, 2)}\n`,
  );
  for (const { calls } of measured) {
    for (const call of Object.values(calls)) expect(call.failures).toEqual({});
  }
});

/** In turns, so that what else the machine does falls on all of them alike. */
function compareSigners() {
  const unixTime = Math.floor(Date.now() / 1000);
  const rates = Object.keys(SIGNERS).map((signer) => ({ signer, urlsPerCoreSecond: [] as number[] }));
  const samples: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { signer, urlsPerCoreSecond } of rates) {
      const rate = SIGNERS[signer]?.(SIGNING_SECONDS, unixTime);
      if (!rate) continue;
      urlsPerCoreSecond.push(rate.urlsPerCoreSecond);
      samples.push(rate.sample);
    }
  }
  // A comparison is one only if all sign the same.
  for (const sample of samples) expect(meaning(sample)).toEqual(meaning(samples[0] ?? ''));
  expect(meaning(samples[0] ?? '')['X-Amz-SignedHeaders']).toBe(
    'content-length;host;x-amz-checksum-crc64nvme',
  );
  const ours = median(rates[0]?.urlsPerCoreSecond ?? []);
  const rows = rates.map(({ signer, urlsPerCoreSecond: all }) => [
    signer,
    Math.round(median(all)).toLocaleString('en'),
    `${Math.round(Math.min(...all)).toLocaleString('en')}–${Math.round(Math.max(...all)).toLocaleString('en')}`,
    (ours / median(all)).toFixed(1),
  ]);
  return { rates, table: columns([['part URLs a second and core', 'median', 'min–max', 'ours ×'], ...rows]) };
}

/** A URL as what it means: where it leads, and its parameters but for the signature itself. */
function meaning(url: string): Record<string, string> {
  const { origin, pathname, searchParams } = new URL(url);
  const parameters = Object.fromEntries(searchParams);
  delete parameters['X-Amz-Signature'];
  // Said by one of them, meant by all: the body is bound by its checksum header.
  delete parameters['X-Amz-Content-Sha256'];
  return { ...parameters, target: origin + pathname };
}

function loadTable(measured: readonly Measured[]): string {
  const rows = measured.flatMap(({ store, pace, calls }) =>
    Object.entries(calls).map(([call, told]) => [
      store,
      `${pace.sessions} sessions, ${pace.name}`,
      call,
      told.callsPerSecond.toFixed(0),
      told.p50Ms?.toFixed(1) ?? '',
      told.p99Ms?.toFixed(1) ?? '',
      told.maxMs?.toFixed(1) ?? '',
    ]),
  );
  return columns([['session store', 'load', 'call', 'calls/s', 'p50 ms', 'p99 ms', 'max ms'], ...rows]);
}

/** Where a write costs nothing, for what only stands in for S3. */
function fastFolderOr(otherwise: string): string {
  return existsSync('/dev/shm') ? mkdtempSync('/dev/shm/holdfast-bench-') : otherwise;
}

function run(program: string, args: readonly string[]): Rate {
  const env = { ...process.env, NODE_NO_WARNINGS: '1', NODE_OPTIONS: '' };
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${error ?? stderr}`);
  return JSON.parse(stdout);
}
