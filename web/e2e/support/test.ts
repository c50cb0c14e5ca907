/** `test` with everything a scenario needs, made for it alone and cleared away after it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, test as base, expect } from '@playwright/test';
import { makeSparseFile, type SparseFile, type TestFile, writeTestFile } from './files.ts';
import { readObject } from './s3.ts';
import { Stack, type StackOptions } from './stack.ts';
import type { UploadsPage } from './uploads-page.ts';
import { Visitor } from './visitor.ts';

export interface Scenario {
  /** Starts store, proxy and server. */
  readonly start: (options?: StackOptions) => Promise<Stack>;
  /** A person with a browser profile of their own. */
  readonly visitor: (stack: Stack, prepare?: (context: BrowserContext) => Promise<unknown>) => Visitor;
  /** A file whose content follows from its seed. */
  readonly file: (name: string, sizeBytes: number, seed: number) => TestFile;
  /** A file that takes no room on disk, of zeros. */
  readonly sparseFile: (name: string, sizeBytes: number) => SparseFile;
  /** Asserts that the upload of the file is completed and the store holds it byte for byte. */
  readonly isStored: (stack: Stack, page: UploadsPage, file: TestFile) => Promise<void>;
}

export const test = base.extend<{ scenario: Scenario }>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the names of fixtures from the pattern.
  scenario: async ({}, use, testInfo) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-e2e-'));
    const stacks: Stack[] = [];
    const visitors: Visitor[] = [];
    await use({
      start: async (options) => {
        const stack = await Stack.start(join(folder, `stack-${stacks.length}`), options);
        stacks.push(stack);
        return stack;
      },
      visitor: (stack, prepare) => {
        const visitor = new Visitor(join(folder, `profile-${visitors.length}`), stack.url, prepare);
        visitors.push(visitor);
        return visitor;
      },
      file: (name, sizeBytes, seed) => writeTestFile(join(folder, 'files'), name, sizeBytes, seed),
      sparseFile: (name, sizeBytes) => makeSparseFile(join(folder, 'files'), name, sizeBytes),
      isStored,
    });
    const failed = testInfo.status !== testInfo.expectedStatus;
    for (const [index, stack] of stacks.entries()) {
      if (failed) await testInfo.attach(`stack-${index}`, { body: stack.output });
      if (failed)
        await testInfo.attach(`requests-${index}`, { body: JSON.stringify(await stack.storeProxy.log()) });
    }
    for (const page of visitors.flatMap((visitor) => visitor.pages)) {
      if (failed) await testInfo.attach('page', { body: await page.screenshot(), contentType: 'image/png' });
    }
    for (const visitor of visitors) await visitor.quit();
    for (const stack of stacks) await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  },
});

async function isStored(stack: Stack, page: UploadsPage, file: TestFile): Promise<void> {
  await page.hasStatus(file.name, 'completed');
  const { key, progress } = await page.state(file.name);
  expect(progress).toBe(1);
  expect(key).toBeTruthy();
  const { sha256, sizeBytes } = file;
  expect(await readObject(stack.access, key ?? '')).toEqual({ sha256, sizeBytes });
}

export { expect };
