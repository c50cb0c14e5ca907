import { defineConfig } from '@playwright/test';
import { CHROMIUM_FLAGS, chromiumPath } from './support/browsers.ts';

/** Long enough for an upload of hundreds of MiB over a capped link on a busy two-core machine. */
const TEST_TIMEOUT_MS = 180_000;

export default defineConfig({
  testDir: '.',
  outputDir: '../../test-results/e2e',
  timeout: TEST_TIMEOUT_MS,
  // Servers, proxies and browsers share the machine: one test at a time keeps their timing honest.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath: chromiumPath(), args: [...CHROMIUM_FLAGS] },
    trace: 'retain-on-failure',
  },
});
