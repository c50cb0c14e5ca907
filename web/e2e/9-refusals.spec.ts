import { randomBytes, randomUUID } from 'node:crypto';
import { crc64nvme } from './support/crc64nvme.ts';
import { MIB } from './support/files.ts';
import type { Stack } from './support/stack.ts';
import { expect, test } from './support/test.ts';

const PART_BYTES = 5 * MIB;
const LAST_PART_BYTES = 4_000;

interface SignedPart {
  readonly url: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

interface Session {
  readonly uploadSessionId: string;
  readonly token: string;
}

/** Starts a session of two parts, as any client can. */
async function startSession(stack: Stack): Promise<Session> {
  const response = await fetch(`${stack.url}/api/upload-sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
    body: JSON.stringify({
      fileName: 'parts.bin',
      sizeBytes: PART_BYTES + LAST_PART_BYTES,
      contentType: 'application/octet-stream',
      partSizeBytes: PART_BYTES,
      checksumAlgorithm: 'CRC64NVME',
    }),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as Session;
}

async function signLastPart(stack: Stack, session: Session, bytes: Uint8Array): Promise<SignedPart> {
  const response = await fetch(`${stack.url}/api/upload-sessions/${session.uploadSessionId}/parts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'upload-token': session.token },
    body: JSON.stringify({ parts: [{ partNumber: 2, checksumCrc64nvme: crc64nvme(bytes) }] }),
  });
  expect(response.status).toBe(200);
  const [part] = ((await response.json()) as { parts: SignedPart[] }).parts;
  if (!part) throw new Error('no URL was answered');
  return part;
}

async function put(part: SignedPart, bytes: Uint8Array, headers = part.headers): Promise<number> {
  const response = await fetch(part.url, {
    method: 'PUT',
    headers: headers.map(({ name, value }): [string, string] => [name, value]),
    body: new Uint8Array(bytes),
  });
  await response.text();
  return response.status;
}

test('the checksum of the tests is CRC-64/NVME', () => {
  expect(Buffer.from(crc64nvme(Buffer.from('123456789')), 'base64').toString('hex')).toBe('ae8b14860a799888');
});

test('a part URL takes its part’s bytes and no others', async ({ scenario }) => {
  const stack = await scenario.start();
  const session = await startSession(stack);
  const bytes = randomBytes(LAST_PART_BYTES);
  const part = await signLastPart(stack, session, bytes);
  const flipped = Buffer.from(bytes);
  flipped[1234] = (flipped[1234] ?? 0) ^ 1;

  expect(await put(part, Buffer.concat([bytes, Buffer.alloc(1)])), 'one byte more').toBe(403);
  expect(await put(part, bytes.subarray(1)), 'one byte less').toBe(403);
  expect(await put(part, flipped), 'a flipped bit').toBe(400);
  const withoutChecksum = part.headers.filter(({ name }) => !name.startsWith('x-amz-checksum'));
  expect(withoutChecksum.length).toBeLessThan(part.headers.length);
  expect([400, 403], 'no checksum header').toContain(await put(part, bytes, withoutChecksum));
  const otherChecksum = part.headers.map(({ name, value }) =>
    name.startsWith('x-amz-checksum') ? { name, value: crc64nvme(flipped) } : { name, value },
  );
  expect(await put(part, flipped, otherChecksum), 'other bytes with their own checksum').toBe(403);
  expect(await put(part, bytes), 'the very bytes').toBe(200);
});

test('a session is refused without its token, and with another’s', async ({ scenario }) => {
  const stack = await scenario.start();
  const [session, other] = [await startSession(stack), await startSession(stack)];
  const url = `${stack.url}/api/upload-sessions/${session.uploadSessionId}`;
  const calls = [
    { method: 'GET', path: '' },
    { method: 'DELETE', path: '' },
    {
      method: 'POST',
      path: '/parts',
      body: { parts: [{ partNumber: 2, checksumCrc64nvme: 'AAAAAAAAAAA=' }] },
    },
    { method: 'POST', path: '/seal', body: { checksumCrc64nvme: 'AAAAAAAAAAA=' } },
    { method: 'POST', path: '/complete', body: { checksumCrc64nvme: 'AAAAAAAAAAA=' } },
  ];
  for (const { method, path, body } of calls) {
    for (const token of [undefined, other.token, `${session.token}x`]) {
      const response = await fetch(url + path, {
        method,
        headers: { 'content-type': 'application/json', ...(token ? { 'upload-token': token } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      expect(response.status, `${method} ${path} with token ${token}`).toBe(403);
      expect(await response.json()).toMatchObject({ code: 'token_refused' });
    }
  }
  const response = await fetch(url, { headers: { 'upload-token': session.token } });
  expect(response.status).toBe(200);
});
