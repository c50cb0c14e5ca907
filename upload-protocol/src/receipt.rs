//! Receipts of completed uploads.

use serde::{Deserialize, Serialize};

use crate::checksum::Crc64Nvme;
use crate::ids::SessionId;

/// What a server vouches for once an object is complete: the claims of a receipt.
///
/// A receipt is a compact JWS, <https://www.rfc-editor.org/rfc/rfc7515>, signed with Ed25519
/// (`"alg":"EdDSA"`); the server's public key is at `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Name of the server that vouches.
    pub iss: String,
    /// The session that made the object.
    pub upload_session_id: SessionId,
    /// The object's key.
    pub key: String,
    /// Its bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, where the store vouches for one.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
    /// When the server saw it complete, RFC 3339 in UTC.
    pub completed_at: String,
}

impl Receipt {
    /// `typ` of a receipt's header: no other token of this server is one.
    pub const TYPE: &'static str = "holdfast-receipt+jwt";
}
