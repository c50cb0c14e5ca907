import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from './support/files.ts';
import { binaryPath } from './support/processes.ts';
import { expect, test } from './support/test.ts';

let folder: string;
let clientsFile: string;
let key: string;

test.beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-clients-'));
  clientsFile = join(folder, 'clients.yaml');
  const args = ['keys', 'create', '--clients-file', clientsFile, '--client', 'shop'];
  key = execFileSync(binaryPath('presign-server'), args, { encoding: 'utf8' }).trim();
});

test.afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('an upload waits until its page has credentials, and then goes on by itself', async ({ scenario }) => {
  const stack = await scenario.start({ serverEnv: { HOLDFAST_CLIENTS_FILE: clientsFile } });
  const file = scenario.file('signed-in.bin', 12 * MIB, 241);
  const page = await scenario.visitor(stack).open();
  await page.pick(file);
  await page.hasStatus(file.name, 'waiting');
  await expect(page.row(file.name)).toContainText('Not signed in');

  await page.page.evaluate((secret) => {
    location.hash = `key=${secret}`;
  }, key);

  await scenario.isStored(stack, page, file);
  expect((await page.state(file.name)).key).toContain('/shop/');
});

test('a browser uploads with a grant that its own backend has fetched for it', async ({ scenario }) => {
  const stack = await scenario.start({ serverEnv: { HOLDFAST_CLIENTS_FILE: clientsFile } });
  const answer = await fetch(`${stack.url}/api/grants`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ scope: 'user-4711', uploadsMax: 1 }),
  });
  expect(answer.status).toBe(201);
  const { grant } = (await answer.json()) as { grant: string };
  const page = await scenario.visitor(stack).open(`/#key=${grant}`);
  const first = scenario.file('first.bin', 12 * MIB, 242);
  await page.pick(first);
  await scenario.isStored(stack, page, first);

  const second = scenario.file('second.bin', 6 * MIB, 243);
  await page.pick(second);
  await page.hasStatus(second.name, 'failed');
});
