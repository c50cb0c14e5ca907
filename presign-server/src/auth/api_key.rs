//! API keys: what they look like, and what is kept of them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// What every key begins with: found by those who look for leaked secrets.
pub(crate) const API_KEY_PREFIX: &str = "hf_";

/// Random bytes of a key's id: 16 hexadecimal digits.
const ID_LENGTH_BYTES: usize = 8;

/// Random bytes of a key's secret: 43 URL-safe characters.
const SECRET_LENGTH_BYTES: usize = 32;

/// A key as its holder has it: `hf_{id}_{secret}`. Prints without its secret.
#[derive(Clone)]
pub struct ApiKey {
    id: String,
    secret: SecretString,
}

impl ApiKey {
    /// A new one.
    pub fn random() -> Self {
        use fmt::Write as _;
        let mut id = String::with_capacity(2 * ID_LENGTH_BYTES);
        for byte in rand::random::<[u8; ID_LENGTH_BYTES]>() {
            // Writing into a string can't fail.
            let _ = write!(id, "{byte:02x}");
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_LENGTH_BYTES]>());
        Self {
            id,
            secret: secret.into(),
        }
    }

    /// Reads `hf_{id}_{secret}`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(API_KEY_PREFIX)?.split_once('_')?;
        (is_key_id(id) && !secret.is_empty()).then(|| Self {
            id: id.to_owned(),
            secret: secret.to_owned().into(),
        })
    }

    /// Its id: no secret, and what revokes it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole of it, for the one time that it is shown.
    pub fn expose(&self) -> String {
        format!("{API_KEY_PREFIX}{}_{}", self.id, self.secret.expose_secret())
    }

    /// What is kept: SHA-256 of the secret.
    ///
    /// A slow hash guards what people choose, which can be guessed; this is 256 random bits, which
    /// can't, at any speed. So each call costs a microsecond, and floods of wrong keys cost no more.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose_secret()).into()
    }
}

/// Whether a text can be a key's id.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({API_KEY_PREFIX}{}_…)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_reads_back_whole_and_prints_without_its_secret() {
        let key = ApiKey::random();
        let text = key.expose();
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!((read.id(), read.hash()), (key.id(), key.hash()));
        assert_eq!(text.len(), 3 + 16 + 1 + 43);
        let shown = format!("{key:?}");
        assert!(shown.contains(key.id()) && !text.ends_with(shown.trim_end_matches(')')));
        assert!(!shown.contains(&text[20..]));
    }

    #[test]
    fn secret_may_hold_what_separates_it_from_the_id() {
        let key = ApiKey::parse("hf_0123_a_b-c").unwrap();
        assert_eq!(key.id(), "0123");
        assert_eq!(key.expose(), "hf_0123_a_b-c");
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in [
            "",
            "hf_",
            "hf_abc",
            "hf__x",
            "hf_abc_",
            "hf_a b_c",
            "xx_abc_def",
            "HF_abc_def",
        ] {
            assert!(ApiKey::parse(text).is_none(), "{text}");
        }
    }
}
