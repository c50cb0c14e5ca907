import { MIB } from './support/files.ts';
import { sleep } from './support/processes.ts';
import { forwardedBytes, storedTwice } from './support/proxy.ts';
import { expect, test } from './support/test.ts';

const FILE_BYTES = 64 * MIB;
const LINK_BYTES_PER_SECOND = 8 * MIB;

/** Between the moment of being safe and nearly the end, drawn anew in each run and named in the title. */
const KILL_DELAYS_MS = Array.from({ length: 5 }, (_, index) => Math.round((index + Math.random()) * 1_000));

for (const [index, delayMs] of KILL_DELAYS_MS.entries()) {
  test(`a browser killed once safe, random point ${index + 1} of 5, goes on by opening the page`, async ({
    scenario,
  }, testInfo) => {
    testInfo.annotations.push({ type: 'killed', description: `${delayMs} ms after being safe` });
    const stack = await scenario.start({ uploadBytesPerSecond: LINK_BYTES_PER_SECOND });
    const file = scenario.file('backup.tar', FILE_BYTES, 30 + index);
    const visitor = scenario.visitor(stack);
    const first = await visitor.open();
    await first.pick(file);
    await first.hasDurability(file.name, 'safe');
    await sleep(delayMs);
    const atKill = await stack.storeProxy.puts();
    await visitor.kill();

    const sentBefore = await stack.storeProxy.puts();
    expect(
      sentBefore.some((put) => put.cutOff),
      'parts were in flight',
    ).toBe(true);
    await stack.storeProxy.configure({ uploadBytesPerSecond: null });
    const second = await visitor.open();
    await scenario.isStored(stack, second, file);

    expect((await second.rows())[0]).toMatchObject({ resumed: true });
    const puts = await stack.storeProxy.puts();
    const inFlight = sentBefore.filter((put) => put.cutOff);
    const inFlightBytes = inFlight.reduce((sum, put) => sum + (put.contentLength ?? 0), 0);
    const sentAgain = forwardedBytes(puts) - file.sizeBytes;
    testInfo.annotations.push({
      type: 'sent again',
      description: `${sentAgain} of ${inFlightBytes} bytes in flight`,
    });
    expect(sentAgain).toBeLessThanOrEqual(inFlightBytes);
    expect(storedTwice(puts)).toEqual([]);
    expect(inFlight.length).toBeLessThanOrEqual(6);
    expect(atKill.length).toBeLessThanOrEqual(sentBefore.length);
  });
}
