import { defineConfig } from '@playwright/test';
import base from '../e2e/playwright.config.ts';

/** `npm run bench -- browser`: no trace and no time limit of a test, since both are what is measured. */
export default defineConfig({
  ...base,
  testDir: '.',
  testMatch: '*.bench.ts',
  outputDir: '../../test-results/bench/artifacts',
  timeout: 0,
  use: { ...base.use, trace: 'off' },
});
