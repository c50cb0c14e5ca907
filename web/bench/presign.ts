/** Presigned URLs without checksums, as uploaders make them that do not hash. */
import { createHash } from 'node:crypto';
import { encode, type StoreAccess, signingKey, signText } from '../e2e/support/s3.ts';

/** What is to be signed; the shape is that of Uppy's `signRequest`. */
export interface Presignable {
  readonly method: 'PUT' | 'POST' | 'GET' | 'DELETE';
  readonly key: string;
  readonly uploadId?: string;
  readonly partNumber?: number;
}

/** Signs for an hour. A POST without an upload id starts a multipart upload. */
export function presign(store: StoreAccess, endpoint: string, request: Presignable): string {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${time.slice(0, 8)}/${store.region}/s3/aws4_request`;
  const query: Record<string, string> = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${store.accessKey}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': '3600',
    'X-Amz-SignedHeaders': 'host',
    ...(request.uploadId === undefined ? {} : { uploadId: request.uploadId }),
    ...(request.partNumber === undefined ? {} : { partNumber: String(request.partNumber) }),
    ...(request.method === 'POST' && request.uploadId === undefined ? { uploads: '' } : {}),
  };
  const uri = `/${store.bucket}/${request.key}`.split('/').map(encode).join('/');
  const search = Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const { host } = new URL(endpoint);
  const canonical = [request.method, uri, search, `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const digest = createHash('sha256').update(canonical).digest('hex');
  const toSign = ['AWS4-HMAC-SHA256', time, scope, digest].join('\n');
  const signature = signText(signingKey(store, scope), toSign).toString('hex');
  return `${endpoint}${uri}?${search}&X-Amz-Signature=${signature}`;
}
