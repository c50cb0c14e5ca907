//! Signatures of hooks, as <https://www.standardwebhooks.com> has them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a secret starts with.
const PREFIX: &str = "whsec_";

/// Shortest and longest secret in bytes.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme>
const LENGTH_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret shared with those who receive hooks.
#[derive(Clone)]
pub struct WebhookSecret {
    key: Vec<u8>,
}

/// The text is no secret of hooks. Doesn't repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `whsec_` and the base64 of 24 to 64 random bytes: make one with `echo whsec_$(openssl rand -base64 32)`"
)]
pub struct InvalidWebhookSecret;

impl WebhookSecret {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// [`InvalidWebhookSecret`] when it is anything else, or too short.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(InvalidWebhookSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret)?;
        LENGTH_BYTES
            .contains(&key.len())
            .then_some(Self { key })
            .ok_or(InvalidWebhookSecret)
    }

    /// The header `webhook-signature` of a message.
    pub(crate) fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries:
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/javascript/src/index.test.ts>
    #[test]
    fn signature_is_that_of_the_specification() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            secret.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn secret_of_another_form_or_too_short_is_refused_and_none_is_printed() {
        for text in [
            "",
            "secret",
            "whsec_",
            "whsec_c2hvcnQ=",
            "whsec_not base64",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(
                WebhookSecret::parse(text).unwrap_err(),
                InvalidWebhookSecret,
                "{text}"
            );
        }
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
    }
}
