/** The demo's pages: one uploader a page, and `?host=dedicated-worker` to try the engine without sharing. */
import { createUploader } from '../client/index.ts';
import '../element/index.ts';

const wanted = new URLSearchParams(location.search).get('host');
const element = document.querySelector('holdfast-uploader');

if (element) {
  element.uploader = createUploader(wanted === 'dedicated-worker' ? { host: wanted } : {});
}

// The choice of the address bar stays while moving between the pages.
if (location.search) {
  for (const link of document.querySelectorAll<HTMLAnchorElement>('header a')) link.search = location.search;
}
