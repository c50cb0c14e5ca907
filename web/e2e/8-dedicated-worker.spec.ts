import type { BrowserContext } from '@playwright/test';
import { MIB } from './support/files.ts';
import { storedTwice } from './support/proxy.ts';
import { expect, test } from './support/test.ts';

async function withoutSharedWorker(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    Reflect.deleteProperty(window, 'SharedWorker');
  });
}

test('without shared workers a file uploads through a dedicated one', async ({ scenario }) => {
  const stack = await scenario.start();
  const file = scenario.file('alone.bin', 40 * MIB, 81);
  const page = await scenario.visitor(stack, withoutSharedWorker).open();
  expect((await page.engine()).host).toBe('dedicated-worker');
  await page.pick(file);
  await scenario.isStored(stack, page, file);
});

test('without shared workers a killed browser goes on by opening the page', async ({ scenario }) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 10 * MIB });
  const file = scenario.file('alone again.bin', 64 * MIB, 82);
  const visitor = scenario.visitor(stack, withoutSharedWorker);
  const first = await visitor.open();
  await first.pick(file);
  await first.hasDurability(file.name, 'safe');
  await first.hasSent(file.name, 0.3);
  await visitor.kill();

  await stack.storeProxy.configure({ uploadBytesPerSecond: null });
  const second = await visitor.open();
  await scenario.isStored(stack, second, file);
  expect((await second.state(file.name)).resumed).toBe(true);
  expect(storedTwice(await stack.storeProxy.puts())).toEqual([]);
});

test('without shared workers two tabs still have one engine, and the second takes over', async ({
  scenario,
}) => {
  const stack = await scenario.start({ uploadBytesPerSecond: 10 * MIB });
  const file = scenario.file('handed over.bin', 64 * MIB, 83);
  const visitor = scenario.visitor(stack, withoutSharedWorker);
  const first = await visitor.open();
  const second = await visitor.open();
  await first.pick(file);
  await first.hasDurability(file.name, 'safe');
  expect(await second.engine()).toEqual(await first.engine());
  await second.hasSent(file.name, 0.2);
  await first.page.close();
  await scenario.isStored(stack, second, file);
});

test('the address can ask for the dedicated worker', async ({ scenario }) => {
  const stack = await scenario.start();
  const file = scenario.file('asked.bin', 9 * MIB, 84);
  const page = await scenario.visitor(stack).open('/?host=dedicated-worker');
  expect((await page.engine()).host).toBe('dedicated-worker');
  await page.pick(file);
  await scenario.isStored(stack, page, file);
});
