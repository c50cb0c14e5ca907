/** A client of the store, independent of the project: Signature Version 4 by hand. */
import { createHash, createHmac } from 'node:crypto';

/** Where the store is and how to sign for it. */
export interface StoreAccess {
  /** `http://127.0.0.1:PORT`, past every proxy. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** What was read back of an object. */
export interface StoredObject {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What a HEAD tells of an object. */
export interface ObjectHead {
  readonly sizeBytes: number;
  readonly crc64nvme: string | null;
}

/** A multipart upload that is neither completed nor aborted. */
export interface OpenUpload {
  readonly key: string;
  readonly uploadId: string;
}

const EMPTY_SHA256 = createHash('sha256').digest('hex');

/** Reads an object to its end; `undefined` when there is none. */
export async function readObject(store: StoreAccess, key: string): Promise<StoredObject | undefined> {
  const response = await signedCall(store, 'GET', objectPath(store, key));
  if (response.status === 404) return undefined;
  if (!response.ok || !response.body)
    throw new Error(`GET ${key}: ${response.status} ${await response.text()}`);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const bytes of response.body) {
    hash.update(bytes);
    sizeBytes += bytes.length;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

/** Asks for an object's size and checksum; `undefined` when there is none. */
export async function headObject(store: StoreAccess, key: string): Promise<ObjectHead | undefined> {
  const response = await signedCall(
    store,
    'HEAD',
    objectPath(store, key),
    {},
    { 'x-amz-checksum-mode': 'ENABLED' },
  );
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`HEAD ${key}: ${response.status}`);
  return {
    sizeBytes: Number(response.headers.get('content-length')),
    crc64nvme: response.headers.get('x-amz-checksum-crc64nvme'),
  };
}

/** Keys of all objects of the bucket. */
export async function listKeys(store: StoreAccess): Promise<string[]> {
  const keys: string[] = [];
  for (let token: string | undefined = ''; token !== undefined; ) {
    const query: Record<string, string> = { 'list-type': '2', ...(token && { 'continuation-token': token }) };
    const xml = await signedText(store, query);
    keys.push(...elements(xml, 'Key'));
    [token] = elements(xml, 'NextContinuationToken');
  }
  return keys;
}

/** The multipart uploads that are neither completed nor aborted, up to a thousand. */
export async function listOpenUploads(store: StoreAccess): Promise<OpenUpload[]> {
  const xml = await signedText(store, { uploads: '' });
  return elements(xml, 'Upload').map((upload) => ({
    key: elements(upload, 'Key')[0] ?? '',
    uploadId: elements(upload, 'UploadId')[0] ?? '',
  }));
}

/** Number of multipart uploads that are neither completed nor aborted. */
export async function countOpenUploads(store: StoreAccess): Promise<number> {
  return (await listOpenUploads(store)).length;
}

/** Deletes an object. */
export async function deleteObject(store: StoreAccess, key: string): Promise<void> {
  const response = await signedCall(store, 'DELETE', objectPath(store, key));
  if (response.status !== 204) throw new Error(`DELETE ${key}: ${response.status} ${await response.text()}`);
}

/** Aborts a multipart upload behind the server's back. */
export async function abortUpload(store: StoreAccess, upload: OpenUpload): Promise<void> {
  const { key, uploadId } = upload;
  const response = await signedCall(store, 'DELETE', objectPath(store, key), { uploadId });
  if (response.status !== 204)
    throw new Error(`abort of ${key}: ${response.status} ${await response.text()}`);
}

function objectPath(store: StoreAccess, key: string): string {
  return `/${store.bucket}/${key}`;
}

/** The contents of every element of this name that holds no other of it. */
function elements(xml: string, name: string): string[] {
  const found = xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'));
  return [...found].map((match) => unescapeXml(match[1] ?? ''));
}

async function signedText(store: StoreAccess, query: Readonly<Record<string, string>>): Promise<string> {
  const response = await signedCall(store, 'GET', `/${store.bucket}`, query);
  const text = await response.text();
  if (!response.ok) throw new Error(`GET ${store.bucket}: ${response.status} ${text}`);
  return text;
}

function signedCall(
  store: StoreAccess,
  method: 'GET' | 'HEAD' | 'DELETE',
  path: string,
  query: Readonly<Record<string, string>> = {},
  extra: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const time = `${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`;
  const scope = `${time.slice(0, 8)}/${store.region}/s3/aws4_request`;
  const uri = path.split('/').map(encode).join('/');
  const search = Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const headers = {
    host: new URL(store.endpoint).host,
    'x-amz-content-sha256': EMPTY_SHA256,
    ...extra,
    'x-amz-date': time,
  };
  const names = Object.keys(headers).join(';');
  const canonical = [
    method,
    uri,
    search,
    ...Object.entries(headers).map(([name, value]) => `${name}:${value}`),
    '',
    names,
    EMPTY_SHA256,
  ].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join(
    '\n',
  );
  const signature = signText(signingKey(store, scope), toSign).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${store.accessKey}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return fetch(`${store.endpoint}${uri}${search ? `?${search}` : ''}`, {
    method,
    headers: { ...headers, authorization },
  });
}

/** The key that signs within a scope: `date/region/s3/aws4_request`. */
export function signingKey(store: StoreAccess, scope: string): string | Buffer {
  return scope
    .split('/')
    .reduce((secret: string | Buffer, text) => signText(secret, text), `AWS4${store.secretKey}`);
}

export function signText(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** RFC 3986, as Signature Version 4 wants it: all but unreserved characters. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function unescapeXml(text: string): string {
  return text
    .replace(/&#x([0-9a-f]+);/gi, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');
}
