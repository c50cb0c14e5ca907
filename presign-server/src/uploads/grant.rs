//! Grants of the relay: permission to send one part, once, that a page can put into a URL.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use upload_protocol::{Crc64Nvme, PartNumber, SessionId};
use uuid::Uuid;

use crate::token::TokenMaker;

/// First byte of every grant; another one is of another layout.
const VERSION: u8 = 1;

/// Bytes of the payload: version, session, generation, part, size, whether there is a checksum,
/// checksum, end of life, nonce.
const PAYLOAD_LENGTH_BYTES: usize = 1 + 16 + 4 + 4 + 8 + 1 + 8 + 8 + 16;

/// Bytes of HMAC-SHA256.
const MAC_LENGTH_BYTES: usize = 32;

/// What one relay call may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// The session.
    pub(super) session: SessionId,
    /// Its token's generation: revoking the token revokes its grants.
    pub(super) token_generation: u32,
    /// The part.
    pub(super) part_number: PartNumber,
    /// Its exact size.
    pub(super) size_bytes: u64,
    /// Its checksum, where one was told.
    pub(super) crc: Option<Crc64Nvme>,
    /// Last moment at which it may be used, ms since 1970.
    pub(super) expires_at_ms: i64,
    /// Tells it from every other grant.
    pub(super) nonce: Uuid,
}

/// Makes and reads grants: `base64url(payload ‖ HMAC-SHA256(key, payload))`. Kept nowhere.
#[derive(Clone)]
pub(super) struct GrantKey([u8; 32]);

impl GrantKey {
    pub(super) fn new(tokens: &TokenMaker) -> Self {
        Self(tokens.derived_key("holdfast/relay-grant/v1"))
    }

    /// The grant as text for a URL.
    pub(super) fn seal(&self, grant: &Grant) -> String {
        let mut bytes = payload(grant);
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text grants; `None` when it was not made with this key.
    pub(super) fn open(&self, text: &str) -> Option<Grant> {
        if text.len() > 2 * (PAYLOAD_LENGTH_BYTES + MAC_LENGTH_BYTES) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (payload, mac) = bytes.split_at_checked(PAYLOAD_LENGTH_BYTES)?;
        // In a time that tells nothing about it.
        self.mac(payload).verify_slice(mac).ok()?;
        read(payload)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(payload);
        mac
    }
}

impl fmt::Debug for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantKey(…)")
    }
}

fn payload(grant: &Grant) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAYLOAD_LENGTH_BYTES + MAC_LENGTH_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(grant.session.as_uuid().as_bytes());
    bytes.extend_from_slice(&grant.token_generation.to_be_bytes());
    bytes.extend_from_slice(&grant.part_number.value().to_be_bytes());
    bytes.extend_from_slice(&grant.size_bytes.to_be_bytes());
    bytes.push(u8::from(grant.crc.is_some()));
    bytes.extend_from_slice(&grant.crc.map_or(0, |crc| crc.0).to_be_bytes());
    bytes.extend_from_slice(&grant.expires_at_ms.to_be_bytes());
    bytes.extend_from_slice(grant.nonce.as_bytes());
    bytes
}

fn read(payload: &[u8]) -> Option<Grant> {
    let (version, rest) = payload.split_first()?;
    let (session, rest) = rest.split_first_chunk::<16>()?;
    let (token_generation, rest) = rest.split_first_chunk::<4>()?;
    let (part_number, rest) = rest.split_first_chunk::<4>()?;
    let (size_bytes, rest) = rest.split_first_chunk::<8>()?;
    let (has_crc, rest) = rest.split_first()?;
    let (crc, rest) = rest.split_first_chunk::<8>()?;
    let (expires_at_ms, nonce) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then_some(())?;
    Some(Grant {
        session: SessionId::new(Uuid::from_bytes(*session)),
        token_generation: u32::from_be_bytes(*token_generation),
        part_number: PartNumber::new(u32::from_be_bytes(*part_number)).ok()?,
        size_bytes: u64::from_be_bytes(*size_bytes),
        crc: (*has_crc == 1).then_some(Crc64Nvme(u64::from_be_bytes(*crc))),
        expires_at_ms: i64::from_be_bytes(*expires_at_ms),
        nonce: Uuid::from_slice(nonce).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> GrantKey {
        GrantKey::new(&TokenMaker::new(&[byte; 32]).unwrap())
    }

    fn grant(crc: Option<u64>) -> Grant {
        Grant {
            session: SessionId::new(Uuid::from_u128(7)),
            token_generation: 3,
            part_number: PartNumber::new(10_000).unwrap(),
            size_bytes: 5 << 30,
            crc: crc.map(Crc64Nvme),
            expires_at_ms: 1_800_000_000_000,
            nonce: Uuid::from_u128(u128::MAX),
        }
    }

    #[test]
    fn grant_reads_back_with_its_own_key_alone() {
        for crc in [None, Some(0), Some(u64::MAX)] {
            let text = key(1).seal(&grant(crc));
            assert_eq!(key(1).open(&text), Some(grant(crc)));
            assert_eq!(key(2).open(&text), None);
        }
    }

    #[test]
    fn grant_of_which_any_byte_was_changed_is_none() {
        let text = key(1).seal(&grant(Some(5)));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert_eq!(key(1).open(&URL_SAFE_NO_PAD.encode(other)), None, "byte {index}");
        }
        assert_eq!(key(1).open(&text[..text.len() - 2]), None);
    }

    proptest! {
        #[test]
        fn any_other_text_is_no_grant(text in "\\PC{0,300}") {
            prop_assert_eq!(key(1).open(&text), None);
        }
    }
}
