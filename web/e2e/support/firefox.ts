/** Firefox for the scenarios that need a second engine: driven by WebDriver BiDi. */
import { existsSync } from 'node:fs';
import puppeteer, { type Browser } from 'puppeteer-core';

/** Where distributions put Firefox. */
const FIREFOX_PATHS = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

/** The browser to test with: `HOLDFAST_FIREFOX`, or the first that is installed. */
function firefoxPath(): string {
  const asked = process.env.HOLDFAST_FIREFOX;
  if (asked) return asked;
  const found = FIREFOX_PATHS.find((path) => existsSync(path));
  if (!found) {
    throw new Error(`no Firefox at ${FIREFOX_PATHS.join(', ')}; install it or name it in HOLDFAST_FIREFOX`);
  }
  return found;
}

/** Starts Firefox without a window on a profile of its own. To be closed by the caller. */
export function launchFirefox(): Promise<Browser> {
  return puppeteer.launch({ browser: 'firefox', executablePath: firefoxPath(), headless: true });
}
