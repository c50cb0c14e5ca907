//! What a server tells and asks a product's own servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checksum::Crc64Nvme;
use crate::ids::SessionId;

/// The body of every hook's POST, signed in its headers as
/// <https://www.standardwebhooks.com> says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookEvent<T> {
    /// What it is: [`UploadCompleted::TYPE`] or [`UploadStarting::TYPE`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// The same for every repetition of one event, as in the header `webhook-id`.
    pub id: String,
    /// When it happened, RFC 3339 in UTC.
    pub time: String,
    /// What happened.
    pub data: T,
}

/// An upload is complete. Told at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadCompleted {
    /// The session.
    pub upload_session_id: SessionId,
    /// The client that started it.
    pub client: String,
    /// The client's own name for its user, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The object's key.
    pub key: String,
    /// Its bucket.
    pub bucket: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, where the store vouches for one.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
    /// The file's name as the client gave it.
    pub file_name: String,
    /// The content type it is stored with.
    pub content_type: String,
    /// The object's user metadata.
    pub metadata: BTreeMap<String, String>,
    /// When the server saw it complete, RFC 3339 in UTC.
    pub completed_at: String,
    /// The same, signed: see [`Receipt`](crate::Receipt).
    pub receipt: String,
}

/// An upload is about to start, if the hook allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadStarting {
    /// The client that asks.
    pub client: String,
    /// The client's own name for its user, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The file's name as the client gave it.
    pub file_name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The content type it would be stored with.
    pub content_type: String,
    /// The object's user metadata.
    pub metadata: BTreeMap<String, String>,
    /// The start's `Idempotency-Key`: the same for every repetition of one start.
    pub idempotency_key: String,
}

/// What a hook answers to [`UploadStarting`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartDecision {
    /// Whether the upload may start.
    pub allow: bool,
    /// Why not, for the person who picked the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the object is to be: a folder that ends with a slash, or a folder and a file name. The
    /// server's prefixes stay before it, and a UUID stays between folder and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Metadata to add; over the client's own where it has the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl UploadCompleted {
    /// Its type.
    pub const TYPE: &'static str = "upload.completed";
}

impl UploadStarting {
    /// Its type.
    pub const TYPE: &'static str = "upload.starting";
}
