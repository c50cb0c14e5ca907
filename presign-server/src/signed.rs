//! Short-lived statements of this server to itself, carried by somebody else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::token::TokenMaker;

/// Longest statement that is read.
const LENGTH_MAX: usize = 2048;

/// Signs statements of one kind: `base64url(JSON).base64url(HMAC-SHA256)`. Each kind has a key of its
/// own, so that none passes for another.
#[derive(Clone)]
pub(crate) struct Signer {
    key: [u8; 32],
}

impl Signer {
    /// A signer of one kind.
    pub(crate) fn new(tokens: &TokenMaker, label: &'static str) -> Self {
        Self {
            key: tokens.derived_key(label),
        }
    }

    /// The statement, signed.
    pub(crate) fn sign(&self, statement: &impl Serialize) -> String {
        // Strings and numbers always serialize; an empty statement would only be refused.
        let json = serde_json::to_vec(statement).unwrap_or_default();
        let text = URL_SAFE_NO_PAD.encode(json);
        let mac = self.mac(&text).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// What was signed, if this server's secret signed it. Whether it is still good is for the caller
    /// to see.
    pub(crate) fn read<T: DeserializeOwned>(&self, signed: &str) -> Option<T> {
        let (text, mac) = signed.split_once('.').filter(|_| signed.len() <= LENGTH_MAX)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(text).verify_slice(&mac).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        mac
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_is_read_by_its_own_kind_and_secret_alone_and_not_when_changed() {
        let tokens = TokenMaker::new(&[1; 32]).unwrap();
        let signer = Signer::new(&tokens, "one");
        let text_and_mac = signer.sign(&("who", 7));
        assert_eq!(signer.read(&text_and_mac), Some(("who".to_owned(), 7)));
        let others = [
            Signer::new(&tokens, "two"),
            Signer::new(&TokenMaker::new(&[2; 32]).unwrap(), "one"),
        ];
        for other in others {
            assert_eq!(other.read::<(String, u32)>(&text_and_mac), None);
        }
        let (text, mac) = text_and_mac.split_once('.').unwrap();
        let forged = URL_SAFE_NO_PAD.encode(r#"["who",8]"#);
        for text_and_mac in [
            format!("{forged}.{mac}"),
            format!("{text}."),
            text.to_owned(),
            format!("{text}.{mac}A"),
            format!("{text}.!"),
            String::new(),
            "A".repeat(5000),
        ] {
            assert_eq!(
                signer.read::<(String, u32)>(&text_and_mac),
                None,
                "{text_and_mac}"
            );
        }
        assert_eq!(format!("{signer:?}"), "Signer(…)");
    }
}
