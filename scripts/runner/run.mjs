/**
 * Runs the steps of `npm test` and prints, as the last line, `N passed, N failed` over all of them.
 * Exits non-zero when anything failed. Called by scripts/test.sh, which prepares the environment.
 *
 *   node scripts/runner/run.mjs [--only STEP[,STEP...]]
 */

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { RESULTS, select } from './steps.mjs';

const MINUTE_MS = 60_000;
/** How long a step that ran out of time may take to clean up before it is killed. */
const GRACE_MS = 5_000;

/** Runs one command to its end: `{ ok, output, trouble }`, with everything it prints shown and logged. */
function execute(step) {
  const [file, ...args] = step.command;
  const log = createWriteStream(join(RESULTS, `${step.name}.log`));
  // A process group of its own, so that a hung step is ended with all it started.
  const child = spawn(file, args, {
    detached: true,
    env: { ...process.env, ...absolute(step.environment), CARGO_TERM_PROGRESS_WHEN: 'never' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  };
  const interrupted = () => {
    kill('SIGTERM');
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);

  return new Promise((done) => {
    const texts = [];
    let trouble = '';
    const limit = setTimeout(() => {
      trouble = `took longer than ${step.minutes} minutes`;
      kill('SIGTERM');
      setTimeout(kill, GRACE_MS, 'SIGKILL').unref();
    }, step.minutes * MINUTE_MS);
    const keep = (text) => {
      texts.push(text);
      log.write(text);
      process.stdout.write(text);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    const finish = (ok) => {
      clearTimeout(limit);
      process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
      log.end();
      done({ ok, output: texts.join(''), trouble });
    };
    child.on('error', (error) => {
      trouble = `could not be started: ${error.message}`;
      finish(false);
    });
    child.on('close', (code, signal) => {
      if (code !== 0) trouble ||= signal ? `was ended by ${signal}` : `exited with ${code}`;
      finish(code === 0 && trouble === '');
    });
  });
}

/** Paths in the environment are absolute, since tools disagree on what they are relative to. */
function absolute(environment = {}) {
  const entries = Object.entries(environment).map(([name, value]) => [
    name,
    value.startsWith(RESULTS) ? resolve(value) : value,
  ]);
  return Object.fromEntries(entries);
}

/** What a finished step adds to the totals. Whoever exits with an error has failed at least once. */
function score(step, { ok, output, trouble }) {
  if (!step.counts) return { passed: Number(ok), failed: Number(!ok), trouble };
  try {
    const { from, read } = step.counts;
    const counts = read(from === 'output' ? output : readFileSync(from, 'utf8'));
    if (counts.passed + counts.failed === 0) return { passed: 0, failed: 1, trouble: 'ran no test' };
    if (ok || counts.failed > 0) return { ...counts, trouble };
    return { ...counts, failed: 1, trouble };
  } catch (error) {
    return { passed: 0, failed: 1, trouble: trouble || error.message };
  }
}

async function main() {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const steps = select(values.only ? values.only.split(',') : []);
  // Old reports must not be taken for this run's.
  rmSync(RESULTS, { recursive: true, force: true });
  mkdirSync(RESULTS, { recursive: true });

  const results = new Map();
  for (const step of steps) {
    const unmet = (step.needs ?? []).filter((name) => results.get(name).failed > 0);
    const started = Date.now();
    console.log(
      `\n==> ${step.name}: ${unmet.length > 0 ? `not run, ${unmet} failed` : step.command.join(' ')}`,
    );
    const result =
      unmet.length > 0
        ? { passed: 0, failed: 1, trouble: `not run, it needs ${unmet}` }
        : score(step, await execute(step));
    results.set(step.name, { ...result, seconds: Math.round((Date.now() - started) / 1000) });
  }
  report(results);
}

function report(results) {
  let passed = 0;
  let failed = 0;
  console.log('\n==> Summary');
  for (const [name, result] of results) {
    passed += result.passed;
    failed += result.failed;
    const counts = `${result.passed} passed, ${result.failed} failed`;
    const why = result.failed > 0 ? `  FAILED: ${result.trouble}` : '';
    console.log(`    ${name.padEnd(14)} ${counts.padEnd(24)} ${String(result.seconds).padStart(5)} s${why}`);
  }
  if (failed > 0) console.log(`    The log of each step that ran is in ${RESULTS}/.`);
  process.exitCode = failed > 0 ? 1 : 0;
  console.log(`\n${passed} passed, ${failed} failed`);
}

await main();
