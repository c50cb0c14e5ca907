//! Receipts: what was stored, signed so that anybody can check it later without asking this server.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use upload_protocol::Receipt;

use crate::token::TokenMaker;

/// What stands before the 32 bytes of a seed in a PKCS #8 key of Ed25519.
/// <https://www.rfc-editor.org/rfc/rfc8410#section-7>
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Longest receipt that is read: a key of 1,024 bytes, escaped, and some hundred more.
const RECEIPT_LENGTH_MAX: usize = 16 * 1024;

/// Signs receipts with a key made of the token secret: all replicas sign alike, and the same twice.
#[derive(Clone)]
pub struct ReceiptSigner {
    key: EncodingKey,
    header: Header,
    public: Jwk,
    issuer: String,
}

/// A receipt is none, or not of these keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// It can't be read.
    #[error("it is no receipt of Holdfast: {reason}")]
    Unreadable {
        /// Why not.
        reason: String,
    },
    /// Its key is none of those given.
    #[error("none of the {keys} keys given is `{kid}`, which signed it")]
    UnknownKey {
        /// Id of its key.
        kid: String,
        /// Keys there are.
        keys: usize,
    },
    /// Its signature doesn't fit: it was changed, or is another's.
    #[error("its signature does not fit")]
    Forged,
}

impl ReceiptSigner {
    /// A signer under a name of its own, which stands in each receipt as `iss`.
    ///
    /// # Panics
    /// Never: every 32 bytes are a key.
    pub fn new(tokens: &TokenMaker, issuer: impl Into<String>) -> Self {
        let seed = tokens.derived_key("holdfast/receipt/v1");
        let key = EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], &seed].concat());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).expect("every seed has a public key");
        let id = public.thumbprint(ThumbprintHash::SHA256);
        let id = id.expect("a public key has a thumbprint");
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(Receipt::TYPE.to_owned());
        header.kid = Some(id);
        Self {
            key,
            header,
            public,
            issuer: issuer.into(),
        }
    }

    /// Who the receipts are of.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The receipt of these claims. The same claims give the same receipt.
    ///
    /// # Panics
    /// Never: every key signs, and claims are strings and numbers.
    pub fn sign(&self, receipt: &Receipt) -> String {
        jsonwebtoken::encode(&self.header, receipt, &self.key).expect("a key made of a seed signs")
    }

    /// The public key, as `/.well-known/jwks.json` answers it.
    pub fn keys(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }
}

impl fmt::Debug for ReceiptSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptSigner")
            .field("issuer", &self.issuer)
            .field("key_id", &self.public.common.key_id)
            .finish_non_exhaustive()
    }
}

/// What a receipt vouches for, provided one of these keys has signed it. Who holds the file compares
/// it with what this answers.
///
/// # Errors
/// [`ReceiptError`] when it is no receipt, or of none of the keys.
pub fn verify_receipt(receipt: &str, keys: &JwkSet) -> Result<Receipt, ReceiptError> {
    let receipt = receipt.trim();
    if receipt.len() > RECEIPT_LENGTH_MAX {
        return Err(unreadable("it is too long"));
    }
    let header = jsonwebtoken::decode_header(receipt).map_err(|error| unreadable(&error.to_string()))?;
    if header.typ.as_deref() != Some(Receipt::TYPE) || header.alg != Algorithm::EdDSA {
        return Err(unreadable("it is a token of another kind"));
    }
    let kid = header.kid.ok_or_else(|| unreadable("it names no key"))?;
    let Some(key) = keys.find(&kid) else {
        let kid = kid.chars().filter(|char| !char.is_control()).take(80).collect();
        let keys = keys.keys.len();
        return Err(ReceiptError::UnknownKey { kid, keys });
    };
    let key = DecodingKey::from_jwk(key).map_err(|error| unreadable(&error.to_string()))?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    // A receipt is for good, and for everybody.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match jsonwebtoken::decode(receipt, &key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::InvalidSignature) => {
            Err(ReceiptError::Forged)
        }
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

fn unreadable(reason: &str) -> ReceiptError {
    ReceiptError::Unreadable {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use upload_protocol::{Crc64Nvme, SessionId};
    use uuid::Uuid;

    use super::*;

    fn signer(byte: u8) -> ReceiptSigner {
        ReceiptSigner::new(&TokenMaker::new(&[byte; 32]).unwrap(), "uploads.example.com")
    }

    fn receipt() -> Receipt {
        Receipt {
            iss: "uploads.example.com".to_owned(),
            upload_session_id: SessionId::new(Uuid::from_u128(7)),
            key: "uploads/local/ü \"😀\".mov".to_owned(),
            bucket: Some("videos".to_owned()),
            size_bytes: 50_000_000_000_000,
            checksum_crc64nvme: Some(Crc64Nvme(u64::MAX)),
            completed_at: "2026-11-22T12:00:00.000Z".to_owned(),
        }
    }

    #[test]
    fn receipt_is_the_same_from_every_replica_and_says_what_was_signed() {
        let signed = signer(1).sign(&receipt());
        assert_eq!(signer(1).sign(&receipt()), signed);
        assert_eq!(verify_receipt(&signed, &signer(1).keys()).unwrap(), receipt());
    }

    #[test]
    fn receipt_of_another_key_or_of_which_a_character_was_changed_is_refused() {
        let keys = signer(1).keys();
        let error = verify_receipt(&signer(2).sign(&receipt()), &keys).unwrap_err();
        assert!(matches!(error, ReceiptError::UnknownKey { .. }), "{error}");
        let signed = signer(1).sign(&receipt());
        for at in 0..signed.len() {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of a piece can have bits that stand for nothing.
            if let Ok(read) = verify_receipt(&changed, &keys) {
                assert_eq!(read, receipt(), "character {at}");
            }
        }
        let [header, _, signature] = signed.split('.').collect::<Vec<_>>()[..] else {
            panic!("{signed}")
        };
        let mut other = receipt();
        other.size_bytes += 1;
        let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        let error = verify_receipt(&format!("{header}.{other}.{signature}"), &keys).unwrap_err();
        assert!(matches!(error, ReceiptError::Forged), "{error}");
    }

    #[test]
    fn token_of_another_kind_is_no_receipt() {
        let signer = signer(1);
        let mut header = signer.header.clone();
        header.typ = Some("JWT".to_owned());
        let other = jsonwebtoken::encode(&header, &receipt(), &signer.key).unwrap();
        let secret = EncodingKey::from_secret(&[1; 32]);
        let symmetric = jsonwebtoken::encode(&Header::default(), &receipt(), &secret).unwrap();
        let unsigned = format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        let long = "a".repeat(RECEIPT_LENGTH_MAX + 1);
        for text in [&other, &symmetric, &unsigned, &long, "", "..", "a.b.c"] {
            let error = verify_receipt(text, &signer.keys()).unwrap_err();
            assert!(
                matches!(error, ReceiptError::Unreadable { .. }),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn signer_prints_no_secret() {
        let text = format!("{:?}", signer(1));
        assert!(
            text.contains("uploads.example.com") && !text.contains("302e"),
            "{text}"
        );
    }
}
