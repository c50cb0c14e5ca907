import { defineConfig } from '@playwright/test';
import base from './playwright.config.ts';

/** `npm run screenshot`: takes the README's picture anew, of a real upload. */
export default defineConfig({ ...base, testMatch: 'screenshot.ts' });
