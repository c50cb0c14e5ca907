/** Child processes of a test: started, waited for, ended, and killed with everything they started. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';

/** A running program of this project. */
export interface Running {
  readonly child: ChildProcess;
  /** Everything it has printed, standard output and error together. */
  readonly output: () => string;
  /** Ends at once, as a power cut would. Resolves when it is gone. */
  readonly kill: () => Promise<void>;
}

const START_MS_MAX = 20_000;

/** Where cargo puts the binaries that the tests run; benchmarks set `HOLDFAST_TEST_PROFILE=release`. */
export function binaryPath(name: string): string {
  const cache = process.env.HOLDFAST_CACHE_DIR ?? join(homedir(), '.cache/holdfast');
  const profile = process.env.HOLDFAST_TEST_PROFILE ?? 'debug';
  const path = join(process.env.CARGO_TARGET_DIR ?? join(cache, 'target'), profile, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run cargo build, or npm run test:e2e`);
  return path;
}

/** Starts a binary of this project and waits until `isReady` finds what it looks for. */
export function start<Ready>(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  isReady: (output: string) => Ready | undefined | Promise<Ready | undefined>,
): Promise<Running & { readonly ready: Ready }> {
  return startProgram(binaryPath(name), args, env, isReady);
}

/** The same with any program. */
export async function startProgram<Ready>(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  isReady: (output: string) => Ready | undefined | Promise<Ready | undefined>,
): Promise<Running & { readonly ready: Ready }> {
  const name = basename(program);
  const log = logFile(name);
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      printed += text;
      if (log) appendFileSync(log, text);
    });
  }
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const running: Running = {
    child,
    output: () => printed,
    kill: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
  const ready = await poll(
    async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${printed}`);
      return await isReady(printed);
    },
    START_MS_MAX,
    () => `${name} is not ready:\n${printed}`,
  ).catch(async (error) => {
    await running.kill();
    throw error;
  });
  return { ...running, ready };
}

/** Where a program's output is kept beside the test, for what is checked of all logs together. */
function logFile(name: string): string | undefined {
  const folder = process.env.HOLDFAST_TEST_LOGS;
  if (!folder) return undefined;
  mkdirSync(folder, { recursive: true });
  return join(folder, `${name}-${randomUUID()}.log`);
}

/** Asks again until there is an answer. */
export async function poll<Answer>(
  ask: () => Answer | undefined | Promise<Answer | undefined>,
  timeoutMs: number,
  what: () => string,
): Promise<Answer> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`after ${timeoutMs} ms: ${what()}`);
    await sleep(25);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A port of 127.0.0.1 that is free now: for programs that must come back at the same address. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port of 127.0.0.1 is free');
  return address.port;
}

/** SIGKILLs the process and all it started, and those of them that were started by these. */
export function killTree(root: number): void {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const doomed = [root];
  for (const pid of doomed) doomed.push(...(children.get(pid) ?? []));
  for (const pid of doomed) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone by itself since it was listed.
    }
  }
}

/** The process whose command line contains the text and whose parent's does not: the root of its tree. */
export function findProcess(text: string): number | undefined {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.find((pid) => {
    const parent = parentOf(pid);
    return commandLine(pid).includes(text) && parent !== undefined && !commandLine(parent).includes(text);
  });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function parentOf(pid: number): number | undefined {
  try {
    // The name in parentheses may contain spaces; state and parent come after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}
