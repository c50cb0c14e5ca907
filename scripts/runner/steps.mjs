/**
 * What `npm test` runs, in order. A step is one check, unless `counts` says how to read the number
 * of its tests. `needs` names the steps whose success it depends on; without them it is not run and
 * counts as failed. `minutes` bounds it: a hang must not eat the other steps' time.
 */

import { cargoCounts, nodeCounts, playwrightCounts, vitestCounts } from './counts.mjs';

/** Folder of logs and reports, relative to the repository; not kept in git. */
export const RESULTS = 'test-results';

const VITEST_REPORT = `${RESULTS}/vitest.json`;
const PLAYWRIGHT_REPORT = `${RESULTS}/playwright.json`;

/** Where the tests put the output of the servers they start. */
const LOGS = { HOLDFAST_TEST_LOGS: `${RESULTS}/logs` };

export const STEPS = [
  {
    name: 'scripts',
    command: ['node', '--test', 'scripts/runner/counts.test.mjs', 'scripts/runner/secrets.test.mjs'],
    counts: { from: 'output', read: nodeCounts },
    minutes: 2,
  },
  { name: 'rustfmt', command: ['cargo', 'fmt', '--all', '--check'], minutes: 2 },
  { name: 'determinism', command: ['bash', 'scripts/check-determinism.sh'], minutes: 2 },
  { name: 'promises', command: ['node', 'scripts/check-semantics.mjs'], minutes: 1 },
  { name: 'biome', command: ['biome', 'ci', '--max-diagnostics=100', '.'], minutes: 2 },
  { name: 'wasm', command: ['bash', 'scripts/build-wasm.sh'], minutes: 20 },
  { name: 'wasm-imports', command: ['node', 'scripts/check-wasm-imports.mjs'], needs: ['wasm'], minutes: 1 },
  { name: 'types', command: ['tsc', '--noEmit'], needs: ['wasm'], minutes: 5 },
  {
    name: 'web-unit',
    command: ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${VITEST_REPORT}`],
    needs: ['wasm'],
    counts: { from: VITEST_REPORT, read: vitestCounts },
    minutes: 10,
  },
  { name: 'page', command: ['vite', 'build', '--logLevel', 'warn'], needs: ['wasm'], minutes: 5 },
  { name: 'clippy', command: ['bash', 'scripts/clippy.sh'], minutes: 30 },
  {
    name: 'rust',
    command: ['cargo', 'test', '--locked', '--workspace', '--no-fail-fast'],
    environment: LOGS,
    counts: { from: 'output', read: cargoCounts },
    minutes: 40,
  },
  {
    name: 'wasm-tests',
    command: ['bash', 'scripts/test-wasm.sh'],
    counts: { from: 'output', read: cargoCounts },
    minutes: 15,
  },
  {
    name: 'rustdoc',
    command: ['cargo', 'doc', '--locked', '--workspace', '--no-deps', '--document-private-items'],
    environment: { RUSTDOCFLAGS: '-D warnings' },
    minutes: 10,
  },
  {
    name: 'binaries',
    // With the store and the proxy that the end-to-end tests start beside it.
    command: [
      'cargo',
      'build',
      '--locked',
      '-p',
      'presign-server',
      '-p',
      'embedded-s3',
      '-p',
      'upload-testkit',
    ],
    needs: ['page'],
    minutes: 20,
  },
  { name: 'openapi', command: ['bash', 'scripts/check-openapi.sh'], needs: ['binaries'], minutes: 10 },
  {
    name: 'e2e',
    command: ['playwright', 'test', '--config', 'web/e2e/playwright.config.ts', '--reporter=list,json'],
    environment: { PLAYWRIGHT_JSON_OUTPUT_FILE: PLAYWRIGHT_REPORT, ...LOGS },
    needs: ['binaries'],
    counts: { from: PLAYWRIGHT_REPORT, read: playwrightCounts },
    minutes: 40,
  },
  {
    name: 'secrets',
    command: ['node', 'scripts/check-logs.mjs'],
    environment: LOGS,
    needs: ['rust', 'e2e'],
    minutes: 2,
  },
];

/** The steps of these names and all that they need, in running order; all steps for no names. */
export function select(names, steps = STEPS) {
  if (names.length === 0) return steps;
  const known = new Map(steps.map((step) => [step.name, step]));
  const wanted = new Set();
  const want = (name) => {
    const step = known.get(name);
    if (!step) throw new Error(`no step is called "${name}"; there are: ${[...known.keys()].join(', ')}`);
    wanted.add(step);
    for (const need of step.needs ?? []) want(need);
  };
  for (const name of names) want(name);
  return steps.filter((step) => wanted.has(step));
}
