//! Upload tokens: made of a secret, kept nowhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use upload_protocol::{SessionId, UploadToken};

/// Shortest secret in bytes.
pub const TOKEN_SECRET_LENGTH_BYTES_MIN: usize = 16;

/// Makes and checks the token of a session: `base64url(HMAC-SHA256(secret, id ‖ generation))`.
///
/// A repeated start gives the same token though no store has it; whoever reads the session store
/// learns none; all replicas with one secret agree. Raising a session's generation revokes its token.
#[derive(Clone)]
pub struct TokenMaker {
    secret: Vec<u8>,
}

/// The secret is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token secret has {length_bytes} bytes, below the {TOKEN_SECRET_LENGTH_BYTES_MIN}-byte minimum")]
pub struct WeakSecret {
    /// Its length.
    pub length_bytes: usize,
}

impl TokenMaker {
    /// A maker with its secret.
    ///
    /// # Errors
    /// [`WeakSecret`] when it is shorter than 16 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, WeakSecret> {
        let length_bytes = secret.len();
        if length_bytes < TOKEN_SECRET_LENGTH_BYTES_MIN {
            return Err(WeakSecret { length_bytes });
        }
        Ok(Self {
            secret: secret.to_vec(),
        })
    }

    /// The session's token.
    pub fn make(&self, id: SessionId, generation: u32) -> UploadToken {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(id.as_uuid().as_bytes());
        mac.update(&generation.to_be_bytes());
        UploadToken::new(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// A key of its own for another purpose, which says nothing of the secret nor of any other such key.
    ///
    /// What is hashed is longer than the 20 bytes that tokens are made of, so no label gives a token.
    pub(crate) fn derived_key(&self, label: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(b"holdfast derived key: ");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Whether a token is the session's, in a time that tells nothing about it.
    pub fn is_valid(&self, token: &str, id: SessionId, generation: u32) -> bool {
        let expected = self.make(id, generation);
        expected.expose().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl fmt::Debug for TokenMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenMaker(…)")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn token_fits_one_session_one_generation_and_one_secret() {
        let maker = TokenMaker::new(&[1; 32]).unwrap();
        let (id, other) = (
            SessionId::new(Uuid::from_u128(1)),
            SessionId::new(Uuid::from_u128(2)),
        );
        let token = maker.make(id, 0);
        assert_eq!(token, maker.make(id, 0));
        assert!(maker.is_valid(token.expose(), id, 0));
        assert!(!maker.is_valid(token.expose(), other, 0));
        assert!(!maker.is_valid(token.expose(), id, 1));
        assert!(!TokenMaker::new(&[2; 32]).unwrap().is_valid(token.expose(), id, 0));
        assert!(!maker.is_valid("", id, 0));
        assert_eq!(token.expose().len(), 43);
    }

    #[test]
    fn derived_keys_differ_by_label_and_secret() {
        let (one, two) = (
            TokenMaker::new(&[1; 32]).unwrap(),
            TokenMaker::new(&[2; 32]).unwrap(),
        );
        assert_eq!(one.derived_key("a"), one.derived_key("a"));
        assert_ne!(one.derived_key("a"), one.derived_key("b"));
        assert_ne!(one.derived_key("a"), two.derived_key("a"));
    }

    #[test]
    fn short_secret_is_refused_and_none_is_printed() {
        assert_eq!(
            TokenMaker::new(b"short").unwrap_err(),
            WeakSecret { length_bytes: 5 }
        );
        assert_eq!(
            format!("{:?}", TokenMaker::new(&[7; 16]).unwrap()),
            "TokenMaker(…)"
        );
    }
}
