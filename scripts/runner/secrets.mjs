/**
 * What no log may hold. The tests give their servers the secrets named here; everything else is known by
 * its form: whatever a server hands out that opens something.
 */

/** Secrets that the tests give to servers and stores. */
export const TEST_SECRETS = [
  'holdfast-e2e-secret-key',
  'token-secret-of-the-e2e-tests',
  'a secret that both replicas have',
  'secret-of-the-tests-store',
];

const FORMS = [
  ['a signed URL', /X-Amz-(Signature|Security-Token)=/i],
  ['an authorization header', /\b(Bearer|AWS4-HMAC-SHA256)\s+[A-Za-z0-9._~+/=-]{3,}/i],
  ['an API key', /\bhf_[A-Za-z0-9]+_[A-Za-z0-9_-]{16,}/],
  ['a JSON web token', /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/],
  ['a grant or ticket', /[?&](grant|ticket|token)=[A-Za-z0-9._~-]/i],
  ['a webhook secret', /\bwhsec_[A-Za-z0-9+/=]+/],
  ['a password in a URL', /\b[a-z][a-z0-9+.-]*:\/\/[^\s/@:]*:[^\s/@]+@/i],
  // 32 bytes in base64url: upload tokens, and the secrets that a server makes for itself.
  [
    'a token',
    /(?<![A-Za-z0-9_/+-])(?=[A-Za-z0-9_-]*[A-Z])(?=[A-Za-z0-9_-]*[a-z])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_/+-])/,
  ],
];

/** Every line of a log that holds a secret, with what it holds: `{line, what}`, lines from 1. */
export function findSecrets(text) {
  return text.split('\n').flatMap((line, index) => {
    const what = [
      ...TEST_SECRETS.filter((secret) => line.includes(secret)).map(() => 'a secret of the tests'),
      ...FORMS.filter(([, form]) => form.test(line)).map(([name]) => name),
    ];
    return what.length > 0 ? [{ line: index + 1, what: what.join(', ') }] : [];
  });
}
