//! Grants of the relay: permission to send one part, once, that a page can put into a URL.

use serde::{Deserialize, Serialize};
use upload_protocol::{Crc64Nvme, PartNumber, SessionId};
use uuid::Uuid;

use crate::signed::Signer;
use crate::token::TokenMaker;

/// What one relay call may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What signs and reads grants; they are kept nowhere.
pub(super) fn signer(tokens: &TokenMaker) -> Signer {
    Signer::new(tokens, "holdfast/relay-grant/v1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Signer {
        signer(&TokenMaker::new(&[byte; 32]).unwrap())
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
            let text = key(1).sign(&grant(crc));
            assert_eq!(key(1).read(&text), Some(grant(crc)));
            assert_eq!(key(2).read::<Grant>(&text), None);
        }
    }

    #[test]
    fn grant_of_which_any_byte_was_changed_is_none() {
        let text = key(1).sign(&grant(Some(5)));
        for index in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[index] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert_eq!(key(1).read::<Grant>(&other), None, "byte {index}");
        }
        assert_eq!(key(1).read::<Grant>(&text[..text.len() - 2]), None);
    }

    proptest! {
        #[test]
        fn any_other_text_is_no_grant(text in "\\PC{0,300}") {
            prop_assert_eq!(key(1).read::<Grant>(&text), None);
        }
    }
}
