/**
 * The demo's pages: one uploader a page. The address can ask for other settings: `?host=dedicated-worker`
 * for an engine that is not shared, `?part-size-mib=16` for larger parts.
 */
import { createUploader } from '../client/index.ts';
import '../element/index.ts';

const wanted = new URLSearchParams(location.search);
const partSizeMib = wanted.get('part-size-mib');
const element = document.querySelector('holdfast-uploader');

if (element) {
  element.uploader = createUploader({
    ...(wanted.get('host') === 'dedicated-worker' ? { host: 'dedicated-worker' } : {}),
    ...(partSizeMib === null ? {} : { partSizeBytes: Number(partSizeMib) * 1024 * 1024 }),
  });
}

// The choice of the address bar stays while moving between the pages.
if (location.search) {
  for (const link of document.querySelectorAll<HTMLAnchorElement>('header a')) link.search = location.search;
}
