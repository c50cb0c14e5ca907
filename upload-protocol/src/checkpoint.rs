//! The session manifest that a client keeps so that an upload survives it.

use serde::{Deserialize, Serialize};

use crate::ids::{ClientUploadId, MultipartUploadId, SessionId, UploadToken};
use crate::layout::PartLayout;
use crate::wire::UploadMode;

/// The version this build writes. A row with a newer version is left alone, never deleted.
pub const CHECKPOINT_VERSION: u32 = 1;

/// What must be on disk for an upload to go on after its host died.
///
/// Which parts are staged stands in the names of the staged files, and which are confirmed in the
/// store's own list: neither is repeated here, so neither can be wrong here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// [`CHECKPOINT_VERSION`] of the build that wrote it.
    pub version: u32,
    /// The upload.
    pub client_upload_id: ClientUploadId,
    /// Sessions this upload has used up, see [`crate::IdempotencyKey`].
    pub generation: u32,
    /// What was picked.
    pub file: FileInfo,
    /// How it is cut. Fixed once a session exists.
    pub layout: PartLayout,
    /// The server's session, once it has answered.
    pub session: Option<CheckpointSession>,
    /// What the person wants.
    pub intent: CheckpointIntent,
}

/// A server's session as a client remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSession {
    /// The session.
    pub session_id: SessionId,
    /// The secret that continues it.
    pub token: UploadToken,
    /// The object's key.
    pub key: String,
    /// S3's id, where the upload is a multipart one.
    pub multipart_upload_id: Option<MultipartUploadId>,
    /// One PUT or many.
    pub mode: UploadMode,
    /// The store keeps and checks a checksum of each part and of the whole; without it sizes alone.
    #[serde(default = "yes")]
    pub checksum: bool,
}

/// Checkpoints written before there was a choice are of sessions with checksums.
fn yes() -> bool {
    true
}

/// What the person wants of an upload, kept across visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointIntent {
    /// Go on.
    Run,
    /// Stay paused until resumed.
    Paused,
    /// Abort at the store, then forget.
    Cancelled,
}

/// A picked file as its host describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// Its name, as the person knows it. Any characters.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// MIME type, or empty where the host knows none.
    pub content_type: String,
    /// When it was last changed, ms since 1970, as its host tells it. Only compared, never measured.
    pub last_modified_ms: i64,
}
