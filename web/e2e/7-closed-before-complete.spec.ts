import { MIB } from './support/files.ts';
import { poll } from './support/processes.ts';
import { listKeys, readObject } from './support/s3.ts';
import { expect, test } from './support/test.ts';

test('a tab closed after the last part and before complete leaves the rest to the server', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 20 * MIB, serverProxy: true });
  const file = scenario.file('sealed.bin', 40 * MIB, 7);
  const visitor = scenario.visitor(stack);
  const page = await visitor.open();
  // Complete is asked for and never heard: the server can only go by the seal.
  await stack.serverProxy?.configure({ block: { method: 'POST', pathContains: '/complete' } });
  await page.pick(file);
  const sealed = () =>
    stack.serverProxy?.log().then((log) => log.some((call) => call.path.endsWith('/seal')));
  await poll(
    async () => {
      const stored = (await stack.storeProxy.puts()).filter((put) => put.status === 200);
      return stored.length === 5 && (await sealed()) ? true : undefined;
    },
    60_000,
    () => 'the upload is not sealed with all its parts stored',
  );
  await visitor.kill();

  const key = await poll(
    async () => (await listKeys(stack.access))[0],
    30_000,
    () => 'the server did not complete it',
  );
  const { sha256, sizeBytes } = file;
  expect(await readObject(stack.access, key)).toEqual({ sha256, sizeBytes });

  await stack.serverProxy?.configure({ block: null });
  const again = await visitor.open();
  await scenario.isStored(stack, again, file);
  expect(await stack.storeProxy.puts()).toHaveLength(5);
});
