/** The release server over an S3 server that answers at once, with many sessions going on at it. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { binaryPath, freePort, poll, start } from '../e2e/support/processes.ts';

const ACCESS_KEY = 'bench';
const SECRET_KEY = 'bench-secret';
const REDIS_START_MS_MAX = 10_000;

/** How the sessions behave. */
export interface Pace {
  readonly name: string;
  readonly sessions: number;
  readonly pauseMs: number;
  readonly seconds: number;
}

/** What `session-load` tells of one kind of call. */
interface CallTimes {
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  readonly failures: Readonly<Record<string, number>>;
}

export interface Measured {
  readonly store: string;
  readonly pace: Pace;
  readonly calls: Readonly<Record<'start' | 'parts of 100', CallTimes>>;
}

/** The session stores to measure: those asked for, otherwise all that the server knows. */
export function storesOfServer(asked: string | undefined): readonly string[] {
  const known = ['memory', 'sqlite'];
  const { stdout } = spawnSync(binaryPath('presign-server'), ['--help'], { encoding: 'utf8' });
  if (stdout.includes('redis://')) known.push('redis');
  const stores = asked ? asked.split(',') : known;
  for (const store of stores) {
    if (!known.includes(store))
      throw new Error(`no session store "${store}"; there are: ${known.join(', ')}`);
  }
  return stores;
}

/** A server of its own for each measurement. The store of objects keeps its files in `fastFolder`. */
export async function measureStore(
  store: string,
  pace: Pace,
  folder: string,
  fastFolder: string,
): Promise<Measured> {
  const [s3Port, serverPort] = [await freePort(), await freePort()];
  const data = mkdtempSync(join(folder, `${store}-`));
  const objects = mkdtempSync(join(fastFolder, 'objects-'));
  const ends: (() => unknown)[] = [() => rmSync(objects, { recursive: true, force: true })];
  try {
    const s3 = await start(
      's3-sink',
      ['--listen', `127.0.0.1:${s3Port}`, '--data-dir', objects],
      { HOLDFAST_EMBEDDED_S3_ACCESS_KEY: ACCESS_KEY, HOLDFAST_EMBEDDED_S3_SECRET_KEY: SECRET_KEY },
      (printed) => (printed.includes('"listen"') ? true : undefined),
    );
    ends.push(s3.kill);
    let sessionStore = store;
    if (store === 'redis') {
      const redis = await startRedis(data);
      ends.push(redis.kill);
      sessionStore = redis.url;
    }
    const server = await start(
      'presign-server',
      [],
      {
        RUST_LOG: 'warn',
        // All the load comes from one address.
        HOLDFAST_RATE_LIMIT_PER_SECOND: '0',
        HOLDFAST_TOKEN_SECRET: 'a secret of the benchmark alone',
        HOLDFAST_LISTEN: `127.0.0.1:${serverPort}`,
        HOLDFAST_DATA_DIR: data,
        HOLDFAST_SESSION_STORE: sessionStore,
        HOLDFAST_S3_BUCKET: 'holdfast',
        HOLDFAST_S3_REGION: 'us-east-1',
        HOLDFAST_S3_PROFILE: 'embedded',
        HOLDFAST_S3_ENDPOINT: `http://127.0.0.1:${s3Port}`,
        AWS_ACCESS_KEY_ID: ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      },
      (printed) => (printed.includes('Holdfast is at') ? true : undefined),
    );
    ends.push(server.kill);
    const { start: starts, parts } = await load(`http://127.0.0.1:${serverPort}`, pace);
    return { store, pace, calls: { start: starts, 'parts of 100': parts } };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function load(url: string, pace: Pace): Promise<{ start: CallTimes; parts: CallTimes }> {
  const args = [
    '--server',
    url,
    '--sessions',
    pace.sessions,
    '--seconds',
    pace.seconds,
    '--pause-ms',
    pace.pauseMs,
  ];
  const child = spawn(binaryPath('session-load'), args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`session-load ended with ${code}`);
  const told: { start: CallTimes | null; parts: CallTimes | null } = JSON.parse(printed);
  if (!told.start || !told.parts) throw new Error(`session-load measured no call of one kind: ${printed}`);
  return { start: told.start, parts: told.parts };
}

/** Every write on disk before it is answered, as docs/operations.md recommends. */
async function startRedis(folder: string): Promise<{ url: string; kill: () => Promise<void> }> {
  const port = await freePort();
  const settings = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', appendfsync: 'always' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', [...args, '--save', ''], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await poll(
    () => (printed.includes('Ready to accept connections') ? true : undefined),
    REDIS_START_MS_MAX,
    () => `redis-server is not ready:\n${printed}`,
  );
  return {
    url: `redis://127.0.0.1:${port}`,
    kill: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
