import { MIB } from './support/files.ts';
import type { Stack } from './support/stack.ts';
import { expect, type Scenario, test } from './support/test.ts';
import type { UploadsPage } from './support/uploads-page.ts';

const FILE_BYTES = 500 * MIB;
/** So that a hundred parts take several times as long as a URL lives. */
const LINK_BYTES_PER_SECOND = 40 * MIB;
const LIFETIME_SECONDS = 2;
/** What is refused has been sent all the same. */
const COMPLETED_MS_MAX = 240_000;

/** Uploads a hundred parts of 5 MiB and asserts that no person was troubled with it. */
async function uploadsInHundredParts(scenario: Scenario, stack: Stack, seed: number): Promise<UploadsPage> {
  test.setTimeout(COMPLETED_MS_MAX + 60_000);
  const page = await scenario.visitor(stack).open('/?part-size-mib=5');
  const file = scenario.file('expiring.bin', FILE_BYTES, seed);
  await page.pick(file);
  await page.hasStatus(file.name, 'completed', COMPLETED_MS_MAX);
  await scenario.isStored(stack, page, file);
  const stored = (await stack.storeProxy.puts()).filter((put) => put.status === 200);
  expect(stored).toHaveLength(100);
  const [begun, ended] = [stored[0]?.startMs ?? 0, stored.at(-1)?.endMs ?? 0];
  expect(ended - begun).toBeGreaterThan(3 * LIFETIME_SECONDS * 1000);
  expect((await page.recordOf(file.name)).statuses).not.toContain('failed');
  return page;
}

for (const cors of [true, false]) {
  const seen = cors ? 'in words' : 'where the page cannot see it';
  test(`URLs that die after two seconds, refused ${seen}, are replaced until all is sent`, async ({
    scenario,
  }) => {
    const stack = await scenario.start({ uploadBytesPerSecond: LINK_BYTES_PER_SECOND });
    // Judged by the URL's true age, as a store does; the server says that they live an hour.
    const match = { method: 'PUT', urlOlderThanSeconds: LIFETIME_SECONDS };
    await stack.storeProxy.configure({ faults: [{ match, fault: { kind: 'expiredUrl', cors } }] });
    await uploadsInHundredParts(scenario, stack, cors ? 121 : 122);
    const { faults } = await stack.storeProxy.stats();
    expect(faults[cors ? 'expiredUrl' : 'expiredUrlWithoutCors']).toBeGreaterThan(0);
  });
}

test('URLs that live for two seconds, as the server says, are asked for when they are needed', async ({
  scenario,
}) => {
  const stack = await scenario.start({
    uploadBytesPerSecond: LINK_BYTES_PER_SECOND,
    serverEnv: { HOLDFAST_URL_LIFETIME_SECONDS: String(LIFETIME_SECONDS) },
  });
  await uploadsInHundredParts(scenario, stack, 123);
  // None was used that the store had to refuse.
  const puts = await stack.storeProxy.puts();
  expect(puts.filter((put) => put.status === 403)).toHaveLength(0);
});
