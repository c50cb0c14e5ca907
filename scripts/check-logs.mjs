// No log of the whole test run may hold a secret. The tests put the output of every server they start into
// HOLDFAST_TEST_LOGS.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findSecrets } from './runner/secrets.mjs';

const folder = process.env.HOLDFAST_TEST_LOGS;
if (!folder) throw new Error('HOLDFAST_TEST_LOGS is not set: it names the folder of the logs');

/** A run that logs less than this has not logged what it did. */
const LINES_MIN = 1_000;

const logs = readdirSync(folder).filter((name) => name.endsWith('.log'));
let lines = 0;
let secrets = 0;
for (const name of logs) {
  const text = readFileSync(join(folder, name), 'utf8');
  lines += text.split('\n').length - 1;
  for (const { line, what } of findSecrets(text)) {
    secrets += 1;
    // Not the line itself: this output is a log, too.
    console.error(`${name}:${line} holds ${what}`);
  }
}
console.log(`${lines} lines of ${logs.length} logs hold ${secrets} secrets`);
if (lines < LINES_MIN) console.error(`${lines} lines are fewer than ${LINES_MIN}: the run was not logged`);
process.exit(secrets > 0 || lines < LINES_MIN ? 1 : 0);
