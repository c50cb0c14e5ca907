/**
 * How many tests a step ran, read from what its runner printed or wrote. Each function answers
 * `{ passed, failed }`, and throws when there is nothing to read: a runner that died before its
 * first test must not look like one with nothing to do.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours start with the escape character
const COLOURS = /\u001b\[[0-9;]*m/g;

/** Sums the `test result:` lines of `cargo test`, one for each crate, test file and doc test. */
export function cargoCounts(output) {
  const lines = output.replace(COLOURS, '').matchAll(/^test result: .*?(\d+) passed; (\d+) failed;/gm);
  return sum([...lines], 'cargo test printed no "test result" line');
}

/** Reads the closing lines of Node's own test runner (`# pass 3` or `ℹ pass 3`). */
export function nodeCounts(output) {
  const plain = output.replace(COLOURS, '');
  const passed = /^(?:#|ℹ) pass (\d+)$/m.exec(plain);
  const failed = /^(?:#|ℹ) fail (\d+)$/m.exec(plain);
  if (!passed || !failed) throw new Error('node --test printed no totals');
  return { passed: Number(passed[1]), failed: Number(failed[1]) };
}

/** Reads Vitest's JSON report. A file that could not be loaded counts as one failure. */
export function vitestCounts(report) {
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(report);
  if (!Number.isInteger(numPassedTests)) throw new Error('the report of vitest has no numPassedTests');
  const unloaded = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  return { passed: numPassedTests, failed: numFailedTests + unloaded.length };
}

/** Reads Playwright's JSON report. A test that passed only when tried again has failed. */
export function playwrightCounts(report) {
  const { stats, errors } = JSON.parse(report);
  if (!stats) throw new Error('the report of playwright has no stats');
  return { passed: stats.expected, failed: stats.unexpected + stats.flaky + stats.skipped + errors.length };
}

function sum(matches, nothing) {
  if (matches.length === 0) throw new Error(nothing);
  const total = { passed: 0, failed: 0 };
  for (const match of matches) {
    total.passed += Number(match[1]);
    total.failed += Number(match[2]);
  }
  return total;
}
