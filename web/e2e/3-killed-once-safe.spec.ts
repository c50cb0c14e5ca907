import { MIB } from './support/files.ts';
import { forwardedBytes, storedTwice } from './support/proxy.ts';
import { expect, test } from './support/test.ts';

const FILE_BYTES = 96 * MIB;
const LINK_BYTES_PER_SECOND = 6 * MIB;

/** How much is sent at the kill, as a share of the way from being safe to this share of the file. */
const LAST_KILL_SHARE = 0.92;
const KILL_POINTS = Array.from({ length: 5 }, (_, index) => (index + Math.random()) / 5);

for (const [index, point] of KILL_POINTS.entries()) {
  test(`a browser killed once safe, random point ${index + 1} of 5, goes on by opening the page`, async ({
    scenario,
  }, testInfo) => {
    const stack = await scenario.start({ uploadBytesPerSecond: LINK_BYTES_PER_SECOND });
    const file = scenario.file('backup.tar', FILE_BYTES, 30 + index);
    const visitor = scenario.visitor(stack);
    const first = await visitor.open();
    await first.pick(file);
    await first.hasDurability(file.name, 'safe');
    const { progress: safeAt } = await first.state(file.name);
    const killAt = safeAt + point * (LAST_KILL_SHARE - safeAt);
    testInfo.annotations.push({ type: 'killed', description: `safe at ${safeAt}, killed at ${killAt}` });
    expect(safeAt).toBeLessThan(LAST_KILL_SHARE);
    await first.hasSent(file.name, killAt);
    await visitor.kill();

    await stack.storeIsIdle();
    const inFlight = (await stack.storeProxy.puts()).filter((put) => put.cutOff);
    expect(inFlight.length, 'parts in flight at the kill').toBeGreaterThan(0);
    expect(inFlight.length, 'parts in flight at the kill').toBeLessThanOrEqual(6);
    await stack.storeProxy.configure({ uploadBytesPerSecond: null });
    const second = await visitor.open();
    await scenario.isStored(stack, second, file);

    expect((await second.rows())[0]).toMatchObject({ resumed: true });
    const puts = await stack.storeProxy.puts();
    const inFlightBytes = inFlight.reduce((sum, put) => sum + (put.contentLength ?? 0), 0);
    const sentAgain = forwardedBytes(puts) - file.sizeBytes;
    testInfo.annotations.push({
      type: 'sent again',
      description: `${sentAgain} of ${inFlightBytes} bytes in flight`,
    });
    expect(sentAgain).toBeLessThanOrEqual(inFlightBytes);
    expect(storedTwice(puts)).toEqual([]);
  });
}
