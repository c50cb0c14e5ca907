import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSecrets, TEST_SECRETS } from './secrets.mjs';

const TOKEN = 'q3yq0bT3m0b1cYJ0F6wq0c4mJb0bD0l8mZ1cWw8g2hM';

for (const [what, line] of [
  ['a signed URL', 'PUT http://s3/b/k?partNumber=1&X-Amz-Signature=0a1b failed'],
  ['an authorization header', 'headers: {"authorization": "Bearer abc"}'],
  ['an API key', 'key hf_k1_0123456789abcdefABCDEF refused'],
  ['a JSON web token', `grant ${['eyJhbGciOiJI', 'eyJzdWIiOiIx', 'c2ln'].join('.')}`],
  ['a grant or ticket', 'POST /api/upload-sessions/x/parts/1/relay?grant=abc 200'],
  ['a webhook secret', 'using whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
  ['a password in a URL', 'cannot reach redis://:hunter2@10.0.0.1:6379'],
  ['a token', `token=${TOKEN}`],
  ['a secret of the tests', `store opened with ${TEST_SECRETS[0]}`],
]) {
  test(`${what} in a log is found, and where`, () => {
    const found = findSecrets(`all is well\n${line}\n`);
    assert.equal(found.length, 1, line);
    assert.equal(found[0].line, 2);
    assert.ok(found[0].what.includes(what), found[0].what);
  });
}

test('what a log is for is no secret', () => {
  const lines = [
    'INFO request{id=3c1d7b8a-9e0f-4a5b-8c6d-7e8f9a0b1c2d}: method=POST path="/api/upload-sessions" status=201 ms=3',
    'path="/api/upload-sessions/0b8f5c1e-6a0e-4d5c-9a3e-2f6c1d7b8a90/parts" status=200',
    'the upload token is missing: send the one that the start answered in the header `Upload-Token`',
    'uploads go to the embedded store at http://127.0.0.1:9000, bucket `holdfast`',
    'uploads/local/2026-11-22/6a0d4f0e-6f7f-4f0e-8d8e-0d8b3f0e6f7f/holiday.mov',
    'sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  ];
  assert.deepEqual(findSecrets(lines.join('\n')), []);
});
