/**
 * What a page may say to {@link createUploader}, and the one place where it is checked and completed.
 * Everything behind this file works with {@link UploaderConfig} and checks nothing again.
 */

/** Where the upload engine runs. */
export type EngineHost = 'shared-worker' | 'dedicated-worker';

/** Headers by name, as `fetch` takes them. */
export type UploaderHeaders = Readonly<Record<string, string>>;

/** Options of {@link createUploader}. */
export interface UploaderOptions {
  /**
   * Where the Holdfast server answers, absolute or relative to the page. Default: the page's origin.
   */
  readonly endpoint?: string | URL;
  /**
   * Stable opaque id of the signed-in person. Uploads of another scope are invisible and idle. Up to
   * 128 characters. Default: the empty scope, one for everybody who uses this browser profile.
   */
  readonly scope?: string;
  /**
   * Headers for every call to the server, such as `{ authorization: 'Bearer …' }`; never sent to the
   * store. A function is called at the start, and again whenever the server wants other credentials (at
   * most every five seconds): uploads wait until it gives some that are accepted. Kept in memory alone.
   * Default: none.
   */
  readonly headers?: UploaderHeaders | (() => UploaderHeaders | Promise<UploaderHeaders>);
  /**
   * Most parts in flight over all uploads and tabs, 1 to 64. Default: 6, as many connections as a
   * browser opens to one HTTP/1.1 host.
   */
  readonly concurrency?: number;
  /**
   * Wished part size in bytes, whole MiB from 5 MiB to 5 GiB. Default: the server's, 8 MiB.
   */
  readonly partSizeBytes?: number;
  /**
   * Most bytes a second over all uploads and tabs, as an average: parts start no faster, and each is sent
   * as fast as the line allows. At least 1. Default: no limit.
   */
  readonly bandwidthLimit?: number;
  /**
   * Where the engine should run. Default: a shared worker where the browser has it, so that uploads go
   * on while pages of this origin come and go; else a dedicated one.
   */
  readonly host?: EngineHost;
}

/** Options after checking: complete, absolute, and never changed again. */
export interface UploaderConfig {
  readonly endpoint: string;
  readonly scope: string;
  /** Asks the page for headers. Rejects when it has none, or none that can be sent. */
  readonly headers: (() => Promise<[name: string, value: string][]>) | undefined;
  readonly host: EngineHost;
  readonly concurrency: number | undefined;
  readonly partSizeBytes: number | undefined;
  readonly bandwidthLimit: number | undefined;
}

/** The part of the page that options are completed from. */
export interface PageEnvironment {
  readonly baseUrl: string;
  readonly hasSharedWorker: boolean;
}

/** Headers that calls of the uploader carry themselves. */
const OWN_HEADERS = new Set(['content-type', 'idempotency-key', 'upload-token']);
const MIB = 1024 * 1024;
const SCOPE_LENGTH_MAX = 128;
const CONCURRENCY_MAX = 64;
const PART_SIZE_BYTES_MIN = 5 * MIB;
const PART_SIZE_BYTES_MAX = 5 * 1024 * MIB;

/**
 * Checks options and fills in what was left out.
 *
 * @throws TypeError naming the option, its value and what it may be.
 */
export function normalizeOptions(options: UploaderOptions, page: PageEnvironment): UploaderConfig {
  return {
    endpoint: normalizeEndpoint(options.endpoint ?? new URL('/', page.baseUrl), page.baseUrl),
    scope: normalizeScope(options.scope ?? ''),
    headers: normalizeHeaders(options.headers),
    host: normalizeHost(options.host ?? 'shared-worker', page.hasSharedWorker),
    concurrency: wholeNumber('concurrency', options.concurrency, 1, CONCURRENCY_MAX),
    partSizeBytes: normalizePartSize(options.partSizeBytes),
    bandwidthLimit: wholeNumber('bandwidthLimit', options.bandwidthLimit, 1, Number.MAX_SAFE_INTEGER),
  };
}

/** The absolute URL without a slash at its end: one server, one spelling, one set of stored uploads. */
function normalizeEndpoint(value: string | URL, baseUrl: string): string {
  let url: URL;
  try {
    url = new URL(value, baseUrl);
  } catch {
    throw new TypeError(
      `endpoint is ${quoted(value)}, which is no URL: use one like https://uploads.example.com`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError(`endpoint is ${quoted(value)}, but must start with http:// or https://`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new TypeError('endpoint must not contain a user name, a password, a query or a fragment');
  }
  return url.href.replace(/\/+$/, '');
}

function normalizeScope(value: string): string {
  if (typeof value !== 'string' || value.length > SCOPE_LENGTH_MAX) {
    throw new TypeError(`scope must be a string of at most ${SCOPE_LENGTH_MAX} characters`);
  }
  return value;
}

function normalizeHeaders(value: UploaderOptions['headers']): UploaderConfig['headers'] {
  if (value === undefined) return undefined;
  if (typeof value === 'function') return async () => checkedHeaders(await value());
  // Wrong ones are told at once, not at the first call.
  const headers = checkedHeaders(value);
  return async () => headers;
}

/** Headers that `fetch` will take, without those that are the uploader's own. */
function checkedHeaders(value: unknown): [name: string, value: string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('headers must be an object such as { authorization: "Bearer …" }');
  }
  const headers = new Headers();
  for (const [name, text] of Object.entries(value)) {
    if (OWN_HEADERS.has(name.toLowerCase())) throw new TypeError(`headers must not contain ${quoted(name)}`);
    if (typeof text !== 'string') throw new TypeError(`header ${quoted(name)} must be a string`);
    try {
      headers.set(name, text);
    } catch {
      // The value may be a secret: it is not repeated.
      throw new TypeError(`header ${quoted(name)} has a name or value that no request can carry`);
    }
  }
  return [...headers];
}

function normalizeHost(value: EngineHost, hasSharedWorker: boolean): EngineHost {
  if (value !== 'shared-worker' && value !== 'dedicated-worker') {
    throw new TypeError(`host is ${quoted(value)}, but must be 'shared-worker' or 'dedicated-worker'`);
  }
  return hasSharedWorker ? value : 'dedicated-worker';
}

function normalizePartSize(value: number | undefined): number | undefined {
  const bytes = wholeNumber('partSizeBytes', value, PART_SIZE_BYTES_MIN, PART_SIZE_BYTES_MAX);
  if (bytes !== undefined && bytes % MIB !== 0) {
    throw new TypeError(`partSizeBytes is ${bytes}, but must be whole MiB, a multiple of ${MIB}`);
  }
  return bytes;
}

function wholeNumber(name: string, value: number | undefined, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new TypeError(`${name} is ${quoted(value)}, but must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function quoted(value: unknown): string {
  return typeof value === 'number' ? String(value) : `'${String(value)}'`;
}
