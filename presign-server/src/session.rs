//! A session as it is kept, and the states it goes through.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartLayout, SessionId, SessionStatus, UploadMode};

/// Everything kept about one upload session. Plain data: no store's own types in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Who started it: the client, or one scope of it.
    pub owner: String,
    /// The client that its bytes are counted for.
    #[serde(default)]
    pub client: String,
    /// The start's `Idempotency-Key`; with the owner, it is unique.
    pub idempotency_key: String,
    /// Counts revocations of the upload token; the token is made of id and generation.
    pub token_generation: u32,
    /// The object's key.
    pub key: String,
    /// The file's name as the client gave it.
    pub file_name: String,
    /// Content type the object is stored with.
    pub content_type: String,
    /// `Content-Disposition` the object is stored with.
    pub content_disposition: String,
    /// User metadata.
    pub metadata: BTreeMap<String, String>,
    /// One PUT or many.
    pub mode: UploadMode,
    /// How the file is cut.
    pub layout: PartLayout,
    /// Parts and object carry CRC64NVME.
    pub checksum: bool,
    /// S3's id, once the store has answered. Always `None` in mode single.
    pub multipart_upload_id: Option<MultipartUploadId>,
    /// Where it stands.
    pub state: SessionState,
    /// When it was started, ms since 1970.
    pub created_at_ms: i64,
    /// When a call last renewed its lease, ms since 1970.
    pub renewed_at_ms: i64,
}

impl Session {
    /// Owner and idempotency key: no two sessions of a store have the same.
    pub fn identity(&self) -> (&str, &str) {
        (&self.owner, &self.idempotency_key)
    }

    /// What it adds to its client's bytes in flight: its size while something of it may come. Parts of an
    /// aborted multipart upload can't, but the URL of a single PUT outlives the abort.
    pub fn in_flight_bytes(&self) -> u64 {
        let kind = self.state.kind();
        let may_be_put = self.mode == UploadMode::Single && kind == StateKind::Aborting;
        if kind.takes_parts() || may_be_put {
            self.layout.size_bytes()
        } else {
            0
        }
    }
}

/// Where a session stands. Each state carries what is true in it and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum SessionState {
    /// The row is kept; the store may or may not have a multipart upload of the key.
    Reserved,
    /// Takes parts.
    Open,
    /// Takes parts, and is completed as soon as the store holds all of them.
    Sealed {
        /// Checksum of the whole file.
        crc: Crc64Nvme,
    },
    /// The object is there, confirmed by the store.
    Completed(Completed),
    /// To be aborted; the store may still hold parts, or be sent the object under a URL signed before.
    Aborting {
        /// When the abort was asked for, ms since 1970.
        #[serde(default)]
        since_ms: i64,
    },
    /// Nothing of it is left.
    Aborted,
}

/// What the store said of a completed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, where the store vouches for one.
    pub crc: Option<Crc64Nvme>,
    /// Checksum that the client had sealed the session with. Only compared with what it tells later:
    /// nobody vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_crc: Option<Crc64Nvme>,
    /// When this server saw it, ms since 1970.
    pub at_ms: i64,
    /// What is left of telling others about it; `None` when there is nothing to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<Announcement>,
}

/// News of a completion that somebody is still to be told. Written with the completion itself, so that
/// no crash comes between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Times it was tried.
    pub attempts: u32,
    /// Not to be tried before, ms since 1970.
    pub not_before_ms: i64,
}

impl Completed {
    /// Whether a client that tells this checksum means this object, as far as anybody knows.
    pub fn agrees_with(&self, told: Crc64Nvme) -> bool {
        self.crc.or(self.told_crc).is_none_or(|known| known == told)
    }
}

impl SessionState {
    /// The state as an index of a store: what [`SessionStore::list`](crate::store::SessionStore::list)
    /// selects by.
    pub fn kind(&self) -> StateKind {
        match self {
            Self::Reserved => StateKind::Reserved,
            Self::Open => StateKind::Open,
            Self::Sealed { .. } => StateKind::Sealed,
            Self::Completed(completed) if completed.announcement.is_some() => StateKind::Announcing,
            Self::Completed(_) => StateKind::Completed,
            Self::Aborting { .. } => StateKind::Aborting,
            Self::Aborted => StateKind::Aborted,
        }
    }

    /// The state as clients know it.
    pub fn status(&self) -> SessionStatus {
        self.kind().status()
    }
}

/// A state without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateKind {
    /// See [`SessionState::Reserved`].
    Reserved,
    /// See [`SessionState::Open`].
    Open,
    /// See [`SessionState::Sealed`].
    Sealed,
    /// [`SessionState::Completed`], and somebody is to be told.
    Announcing,
    /// See [`SessionState::Completed`].
    Completed,
    /// See [`SessionState::Aborting`].
    Aborting,
    /// See [`SessionState::Aborted`].
    Aborted,
}

impl StateKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Reserved,
        Self::Open,
        Self::Sealed,
        Self::Announcing,
        Self::Completed,
        Self::Aborting,
        Self::Aborted,
    ];

    /// The state as clients know it.
    pub const fn status(self) -> SessionStatus {
        match self {
            Self::Reserved | Self::Open => SessionStatus::Open,
            Self::Sealed => SessionStatus::Sealed,
            Self::Announcing | Self::Completed => SessionStatus::Completed,
            Self::Aborting | Self::Aborted => SessionStatus::Aborted,
        }
    }

    /// Whether sessions of this kind take parts: their bytes are in flight.
    pub const fn takes_parts(self) -> bool {
        matches!(self, Self::Reserved | Self::Open | Self::Sealed)
    }

    /// A stable name, for a store's index.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Announcing => "announcing",
            Self::Completed => "completed",
            Self::Aborting => "aborting",
            Self::Aborted => "aborted",
        }
    }
}
