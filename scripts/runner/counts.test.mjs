import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cargoCounts, nodeCounts, playwrightCounts, vitestCounts } from './counts.mjs';

test('cargo counts are the sum over crates, colours or not', () => {
  const output = [
    'running 2 tests',
    'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s',
    'test result: \u001b[31mFAILED\u001b[0m. 5 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out',
  ].join('\n');
  assert.deepEqual(cargoCounts(output), { passed: 7, failed: 1 });
});

test('cargo output without a result line is an error, not zero tests', () => {
  assert.throws(() => cargoCounts('error: could not compile `upload-engine`'), /no "test result" line/);
});

test('node counts come from the closing lines of either reporter', () => {
  assert.deepEqual(nodeCounts('# tests 4\n# pass 3\n# fail 1\n'), { passed: 3, failed: 1 });
  assert.deepEqual(nodeCounts('ℹ tests 2\nℹ pass 2\nℹ fail 0\n'), { passed: 2, failed: 0 });
  assert.throws(() => nodeCounts('SyntaxError'), /no totals/);
});

test('vitest counts include a file that could not be loaded', () => {
  const report = {
    numPassedTests: 4,
    numFailedTests: 1,
    testResults: [
      { status: 'failed', assertionResults: [{}] },
      { status: 'failed', assertionResults: [] },
      { status: 'passed', assertionResults: [{}, {}, {}, {}] },
    ],
  };
  assert.deepEqual(vitestCounts(JSON.stringify(report)), { passed: 4, failed: 2 });
});

test('playwright counts take flaky, skipped and global errors as failures', () => {
  const stats = { expected: 9, unexpected: 1, flaky: 1, skipped: 1 };
  const report = JSON.stringify({ stats, errors: [{ message: 'no tests found' }] });
  assert.deepEqual(playwrightCounts(report), { passed: 9, failed: 4 });
});

test('a report that is not one is an error', () => {
  assert.throws(() => vitestCounts('{}'), /numPassedTests/);
  assert.throws(() => playwrightCounts('{}'), /stats/);
  assert.throws(() => playwrightCounts(''));
});
