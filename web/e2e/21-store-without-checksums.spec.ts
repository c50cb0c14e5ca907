import { MIB } from './support/files.ts';
import { expect, test } from './support/test.ts';

test('a store that keeps no checksums takes files by their sizes, and the page says so', async ({
  scenario,
}) => {
  // Garage keeps none: by its profile the server asks the store for none, and accepts none.
  const stack = await scenario.start({ serverEnv: { HOLDFAST_S3_PROFILE: 'garage' } });
  const large = scenario.file('large.bin', 40 * MIB, 210);
  const small = scenario.file('small.bin', 10_000, 211);
  const page = await scenario.visitor(stack).open();
  await page.pick(large, small);
  for (const file of [large, small]) {
    await scenario.isStored(stack, page, file);
    await expect(page.row(file.name)).toContainText('its size confirmed by the store');
  }
  const integrity = await page.page.evaluate(() =>
    document
      .querySelector('holdfast-uploader')
      ?.uploader?.getSnapshot()
      .uploads.map((upload) => upload.integrity),
  );
  expect(integrity).toEqual(['size-only', 'size-only']);
});
