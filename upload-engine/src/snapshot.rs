//! What can be seen of an upload from outside.

use upload_protocol::{ClientUploadId, ErrorCode};

/// One upload as a person sees it. A value: it never changes once made.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadSnapshot {
    /// The upload.
    pub upload: ClientUploadId,
    /// The file's name.
    pub name: String,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// The object's key, once the server has chosen it.
    pub key: Option<String>,
    /// What it is doing.
    pub status: UploadStatus,
    /// With `waiting`: for what.
    pub waiting_for: Option<WaitingFor>,
    /// With `failed`: why. With `needs-file`: why the last file was refused, if one was.
    pub error: Option<UploadError>,
    /// What closing the page would lose.
    pub durability: Durability,
    /// What the store checks, once a session says.
    pub integrity: Option<Integrity>,
    /// A checkpoint could be saved, so a later visit goes on.
    pub resumable: bool,
    /// It was continued from an earlier visit.
    pub resumed: bool,
    /// Bytes sent: confirmed ones and those of parts in flight.
    pub sent_bytes: u64,
    /// Bytes the store has confirmed.
    pub confirmed_bytes: u64,
    /// Bytes on disk.
    pub staged_bytes: u64,
    /// Bytes a second, over the last seconds; 0 while nothing is sent.
    pub bytes_per_second: u64,
    /// Parts of the file.
    pub part_count: u32,
    /// Parts in flight now.
    pub parts_in_flight: u32,
    /// The parts in order, folded to at most [`CELLS_MAX`] cells: for a strip on the page.
    pub cells: Vec<Cell>,
}

/// Most cells of a snapshot's strip.
pub const CELLS_MAX: usize = 64;

/// Where an upload stands. The names are those of the page's `data-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UploadStatus {
    /// Not yet started at the server.
    Queued,
    /// Sending parts.
    Uploading,
    /// Paused by the person.
    Paused,
    /// Nothing to do but wait, see [`WaitingFor`].
    Waiting,
    /// The person must pick the file again.
    NeedsFile,
    /// Everything is sent; the store is asked to confirm.
    Completing,
    /// Confirmed by the store.
    Completed,
    /// Ended without success.
    Failed,
    /// Given up by the person.
    Cancelled,
}

/// The named thing a waiting upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// The network: the host says it is offline.
    Network,
    /// The upload server to answer again.
    Server,
    /// The object store to answer again.
    Store,
    /// Credentials that the upload server accepts: somebody must sign in.
    Credentials,
}

/// What closing the page would lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// All of it: the file must be picked again.
    Memory,
    /// Some parts are on disk or at the store; the rest needs the file again.
    Partial,
    /// Nothing.
    Safe,
}

/// What the store checks of the bytes it gets, and what "completed" therefore means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// Size and CRC64NVME, of each part and of the whole.
    Checksum,
    /// Sizes alone: the store keeps no checksums.
    SizeOnly,
}

/// Why an upload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadError {
    /// Stable code: one of [`ErrorCode`]'s, or one of the engine's own (`source_changed`,
    /// `file_refused`, `store_refused_part`, `invalid_answer`).
    pub code: &'static str,
    /// What happened, with names and numbers, for a person.
    pub detail: String,
}

impl UploadError {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    pub(crate) fn of_server(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::new(code.as_str(), detail)
    }
}

/// A cell of the strip: the least advanced of the parts folded into it, but any part in flight shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Neither read nor sent.
    Pending,
    /// On disk.
    Staged,
    /// On its way.
    InFlight,
    /// At the store.
    Confirmed,
    /// Nowhere: needs the file.
    Lost,
}
