/**
 * The demo's pages: one uploader a page. The address can ask for other settings: `?host=dedicated-worker`
 * for an engine that is not shared, `?part-size-mib=16` for larger parts, `?bandwidth-limit-mib=4` for 4 MiB
 * a second. `#key=…` is sent as credentials: a fragment reaches no server's log.
 */
import { createUploader } from '../client/index.ts';
import '../element/index.ts';

const wanted = new URLSearchParams(location.search);

function wantedBytes(name: string): number | undefined {
  const mib = wanted.get(name);
  return mib === null ? undefined : Number(mib) * 1024 * 1024;
}

const partSizeBytes = wantedBytes('part-size-mib');
const bandwidthLimit = wantedBytes('bandwidth-limit-mib');
function credentials(): Record<string, string> {
  const key = new URLSearchParams(location.hash.slice(1)).get('key');
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

const element = document.querySelector('holdfast-uploader');

if (element) {
  element.uploader = createUploader({
    headers: credentials,
    ...(wanted.get('host') === 'dedicated-worker' ? { host: 'dedicated-worker' } : {}),
    ...(partSizeBytes === undefined ? {} : { partSizeBytes }),
    ...(bandwidthLimit === undefined ? {} : { bandwidthLimit }),
  });
}

// The choice of the address bar stays while moving between the pages.
for (const link of document.querySelectorAll<HTMLAnchorElement>('header a')) {
  if (location.search) link.search = location.search;
  if (location.hash) link.hash = location.hash;
}
