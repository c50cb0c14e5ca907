//! The three ids that must never be mixed, and the values that travel with them.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::PART_COUNT_MAX;

/// The client's name for an upload: a UUID it makes when a file is picked. It names the folder of
/// staged parts, the checkpoint, and (with the generation) the idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientUploadId(Uuid);

impl ClientUploadId {
    /// Wraps a UUID the host has made; this crate draws no randomness.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Reads the hyphenated form. `None` when it isn't a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for ClientUploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The server's id of a session, `uploadSessionId` on the wire. Random and unguessable, but no
/// credential: calls need the [`UploadToken`] as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// Wraps a UUID the server has made.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Reads the hyphenated form. `None` when it isn't a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// S3's id of a multipart upload, `uploadId` on the wire. Told to clients for their information and
/// never taken from one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MultipartUploadId(pub String);

impl fmt::Display for MultipartUploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret that alone continues one session, sent as the header `Upload-Token`. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadToken(String);

impl UploadToken {
    /// The header's name.
    pub const HEADER: &'static str = "upload-token";

    /// Wraps a token.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the request header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UploadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadToken(…)")
    }
}

/// A URL whose query is a credential: `Debug` and `Display` leave the query out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PresignedUrl(String);

impl PresignedUrl {
    /// Wraps a signed URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, signature included, for the request itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((path, _)) => write!(f, "{path}?…"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresignedUrl({self})")
    }
}

/// The header `Idempotency-Key` of a start call: the client's upload id, and the generation once the
/// store lost the first session (`{uuid}` or `{uuid}/{generation}`). The same key by the same owner
/// always answers the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey {
    /// The upload.
    pub client_upload_id: ClientUploadId,
    /// 0 for the first session of an upload, one more each time it had to start afresh.
    pub generation: u32,
}

impl IdempotencyKey {
    /// The header's name.
    pub const HEADER: &'static str = "idempotency-key";
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => self.client_upload_id.fmt(f),
            generation => write!(f, "{}/{generation}", self.client_upload_id),
        }
    }
}

/// The text is no idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("idempotency key `{0}` is neither a UUID nor `uuid/generation`")]
pub struct InvalidIdempotencyKey(pub String);

impl std::str::FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidIdempotencyKey(text.chars().take(80).collect());
        let (id, generation) = match text.split_once('/') {
            None => (text, 0),
            Some((id, generation)) => (id, generation.parse().map_err(|_| invalid())?),
        };
        let client_upload_id = ClientUploadId::parse(id).ok_or_else(invalid)?;
        Ok(Self {
            client_upload_id,
            generation,
        })
    }
}

/// A part's number as S3 counts: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartNumber(NonZeroU16);

/// The number is outside 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("part number {0} is outside 1 to {PART_COUNT_MAX}")]
pub struct InvalidPartNumber(pub u32);

impl PartNumber {
    /// The first part.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// A number from 1 to 10,000.
    ///
    /// # Errors
    /// [`InvalidPartNumber`] outside that range.
    pub fn new(number: u32) -> Result<Self, InvalidPartNumber> {
        if number > PART_COUNT_MAX {
            return Err(InvalidPartNumber(number));
        }
        u16::try_from(number)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(InvalidPartNumber(number))
    }

    /// The part at a 0-based index.
    ///
    /// # Panics
    /// When `index` is 10,000 or more: an index always comes from a layout, which has no such part.
    pub fn from_index(index: u32) -> Self {
        Self::new(index.saturating_add(1)).expect("a layout has at most 10,000 parts")
    }

    /// The number, from 1.
    pub const fn value(self) -> u32 {
        self.0.get() as u32
    }

    /// The 0-based index.
    pub const fn index(self) -> u32 {
        self.value() - 1
    }
}

impl TryFrom<u32> for PartNumber {
    type Error = InvalidPartNumber;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        Self::new(number)
    }
}

impl From<PartNumber> for u32 {
    fn from(number: PartNumber) -> Self {
        number.value()
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_number_outside_1_to_10000_is_refused_with_its_value() {
        assert_eq!(PartNumber::new(0), Err(InvalidPartNumber(0)));
        assert_eq!(PartNumber::new(10_001), Err(InvalidPartNumber(10_001)));
        assert_eq!(PartNumber::new(65_537), Err(InvalidPartNumber(65_537)));
        assert_eq!(PartNumber::new(10_000).map(PartNumber::index), Ok(9_999));
        assert_eq!(
            InvalidPartNumber(0).to_string(),
            "part number 0 is outside 1 to 10000"
        );
    }

    #[test]
    fn presigned_url_hides_its_signature_when_printed() {
        let url = PresignedUrl::new("https://s3.example/b/k?X-Amz-Signature=abc");
        assert_eq!(format!("{url} {url:?}").matches("abc").count(), 0);
        assert_eq!(url.to_string(), "https://s3.example/b/k?…");
    }

    #[test]
    fn upload_token_hides_its_secret_when_printed() {
        assert_eq!(format!("{:?}", UploadToken::new("secret")), "UploadToken(…)");
    }

    #[test]
    fn idempotency_key_reads_back_what_it_writes() {
        let id = ClientUploadId::new(Uuid::from_u128(7));
        for generation in [0, 1, 12] {
            let key = IdempotencyKey {
                client_upload_id: id,
                generation,
            };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        assert!("".parse::<IdempotencyKey>().is_err());
        assert!(format!("{id}/x").parse::<IdempotencyKey>().is_err());
    }
}
