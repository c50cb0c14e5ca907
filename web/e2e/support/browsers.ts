import { existsSync } from 'node:fs';
import type { BrowserContext } from '@playwright/test';

/** Where distributions put Chromium. Playwright's own download is not used: setup installs the system's. */
const CHROMIUM_PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Flags for root, a machine without a GPU and a closed network: no request but the test's own. */
export const CHROMIUM_FLAGS: readonly string[] = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The browser to test with: `HOLDFAST_CHROMIUM`, or the first that is installed. */
export function chromiumPath(): string {
  const asked = process.env.HOLDFAST_CHROMIUM;
  if (asked) return asked;
  const found = CHROMIUM_PATHS.find((path) => existsSync(path));
  if (!found) {
    throw new Error(
      `no Chromium at ${CHROMIUM_PATHS.join(', ')}; install it or name it in HOLDFAST_CHROMIUM`,
    );
  }
  return found;
}

/** Tells the browser that the origin may keep only so many bytes. */
export async function limitQuota(context: BrowserContext, origin: string, quotaSize: number): Promise<void> {
  const [page] = context.pages();
  if (!page) throw new Error('the browser has no page');
  const session = await context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize });
}
