//! What the page is told, as it stands in JavaScript. TypeScript types are generated from these.

use serde::{Deserialize, Serialize};
use upload_engine::{Cell, Durability, Integrity, UploadError, UploadSnapshot, UploadStatus, WaitingFor};
use upload_protocol::ClientUploadId;

/// What the engine tells a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PageMessage {
    /// The uploads that changed.
    Snapshot {
        /// The engine that speaks.
        engine: EngineView,
        /// The uploads that changed, in order of adding; all of them when `full`.
        uploads: Vec<UploadView>,
        /// Ids of uploads that are no longer listed.
        removed: Vec<String>,
        /// Whatever is not in `uploads` does not exist: the first message of an engine.
        full: bool,
    },
    /// Something worth telling at once.
    Event {
        /// What happened.
        event: EventName,
        /// To which upload.
        upload_id: String,
        /// With `fileRefused`: the refused file's name.
        name: Option<String>,
        /// With `fileRefused`: why, in words for a person.
        reason: Option<String>,
        /// With `fileRefused` and `fileAccepted`: the id that `add` gave to the file.
        picked_as: Option<String>,
    },
    /// The server wants other credentials than it was sent: the page may give new headers.
    HeadersWanted,
    /// The engine met a bug of its own and stopped. The page may start another.
    EngineBug {
        /// The panic's message and place.
        detail: String,
        /// What the engine had been told until then, as JSON: see `report()`.
        report: Option<String>,
    },
}

/// The engine a page is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct EngineView {
    /// Random id made when the engine started: the same id means the same engine.
    pub instance: String,
    /// Where it runs.
    pub host: HostKind,
}

/// The kind of worker an engine runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// Shared by the pages of the origin.
    SharedWorker,
    /// Of one page.
    DedicatedWorker,
}

/// What happened to an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum EventName {
    /// From now on closing the page loses nothing.
    Safe,
    /// The store has confirmed size and checksum.
    Completed,
    /// The upload ended without success.
    Failed,
    /// The picked file isn't the one this upload needs.
    FileRefused,
    /// The picked file was taken for this upload.
    FileAccepted,
}

/// One upload. Sizes in bytes, exact up to 2^53.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct UploadView {
    /// A UUID.
    pub upload_id: String,
    /// The file's name as picked.
    pub name: String,
    /// The file's size.
    pub size_bytes: f64,
    /// The object's key, once the server has chosen it.
    pub key: Option<String>,
    /// Where it stands.
    pub status: StatusView,
    /// With `waiting`: for what.
    pub waiting_for: Option<WaitingForView>,
    /// With `failed`: why. With `needs-file`: why the last file was refused, if one was.
    pub error: Option<ErrorView>,
    /// What closing the page would lose.
    pub durability: DurabilityView,
    /// What the store checks; `null` until the server has answered.
    pub integrity: Option<IntegrityView>,
    /// A later visit can go on with it.
    pub resumable: bool,
    /// It was continued from an earlier visit.
    pub resumed: bool,
    /// Sent: confirmed bytes and those of parts in flight.
    pub sent_bytes: f64,
    /// Confirmed by the store.
    pub confirmed_bytes: f64,
    /// On this device's disk.
    pub staged_bytes: f64,
    /// Over the last seconds.
    pub bytes_per_second: f64,
    /// Parts of the file.
    pub part_count: u32,
    /// Parts in flight now.
    pub parts_in_flight: u32,
    /// One letter for each cell of the strip: `p`ending, `s`taged, in `f`light, `c`onfirmed, `l`ost.
    pub cells: String,
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum StatusView {
    /// Not yet started at the server.
    Queued,
    /// Sending parts.
    Uploading,
    /// Paused by the person.
    Paused,
    /// Nothing to do but wait.
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

/// What the store checks of the bytes it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
pub enum IntegrityView {
    /// Size and checksum.
    Checksum,
    /// Sizes alone: it keeps no checksums.
    SizeOnly,
}

/// What closing the page would lose: all, some, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum DurabilityView {
    /// All of it.
    Memory,
    /// Some of it.
    Partial,
    /// Nothing.
    Safe,
}

/// What a waiting upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum WaitingForView {
    /// The network.
    Network,
    /// The upload server.
    Server,
    /// The object store.
    Store,
    /// Credentials that the server accepts.
    Credentials,
}

/// Why an upload failed, or why its last file was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct ErrorView {
    /// Stable code, the server's own where the server refused.
    pub code: String,
    /// What happened, with names and numbers, for a person.
    pub detail: String,
}

/// Largest integer that a JavaScript number holds exactly, 2^53.
const EXACT_MAX: u64 = 1 << 53;

/// A size as a JavaScript number. Objects end at 50 TB, far below 2^53; a rate that is larger is a
/// rounding of a division by almost nothing and shows as 2^53.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and capped there")]
pub fn size_to_js(bytes: u64) -> f64 {
    bytes.min(EXACT_MAX) as f64
}

/// A JavaScript number as a size. `None` when it is negative, broken, not whole or above 2^53.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be a whole number from 0 to 2^53"
)]
pub fn size_from_js(number: f64) -> Option<u64> {
    let is_exact = number.trunc().to_bits() == number.to_bits() && (0.0..=EXACT_MAX as f64).contains(&number);
    is_exact.then_some(number as u64)
}

impl From<&UploadSnapshot> for UploadView {
    fn from(snapshot: &UploadSnapshot) -> Self {
        Self {
            upload_id: snapshot.upload.to_string(),
            name: snapshot.name.clone(),
            size_bytes: size_to_js(snapshot.size_bytes),
            key: snapshot.key.clone(),
            status: snapshot.status.into(),
            waiting_for: snapshot.waiting_for.map(Into::into),
            error: snapshot.error.as_ref().map(Into::into),
            durability: snapshot.durability.into(),
            integrity: snapshot.integrity.map(Into::into),
            resumable: snapshot.resumable,
            resumed: snapshot.resumed,
            sent_bytes: size_to_js(snapshot.sent_bytes),
            confirmed_bytes: size_to_js(snapshot.confirmed_bytes),
            staged_bytes: size_to_js(snapshot.staged_bytes),
            bytes_per_second: size_to_js(snapshot.bytes_per_second),
            part_count: snapshot.part_count,
            parts_in_flight: snapshot.parts_in_flight,
            cells: snapshot.cells.iter().copied().map(letter).collect(),
        }
    }
}

impl From<UploadStatus> for StatusView {
    fn from(status: UploadStatus) -> Self {
        match status {
            UploadStatus::Queued => Self::Queued,
            UploadStatus::Uploading => Self::Uploading,
            UploadStatus::Paused => Self::Paused,
            UploadStatus::Waiting => Self::Waiting,
            UploadStatus::NeedsFile => Self::NeedsFile,
            UploadStatus::Completing => Self::Completing,
            UploadStatus::Completed => Self::Completed,
            UploadStatus::Failed => Self::Failed,
            UploadStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Durability> for DurabilityView {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Memory => Self::Memory,
            Durability::Partial => Self::Partial,
            Durability::Safe => Self::Safe,
        }
    }
}

impl From<Integrity> for IntegrityView {
    fn from(integrity: Integrity) -> Self {
        match integrity {
            Integrity::Checksum => Self::Checksum,
            Integrity::SizeOnly => Self::SizeOnly,
        }
    }
}

impl From<WaitingFor> for WaitingForView {
    fn from(waiting: WaitingFor) -> Self {
        match waiting {
            WaitingFor::Network => Self::Network,
            WaitingFor::Server => Self::Server,
            WaitingFor::Store => Self::Store,
            WaitingFor::Credentials => Self::Credentials,
        }
    }
}

impl From<&UploadError> for ErrorView {
    fn from(error: &UploadError) -> Self {
        Self {
            code: error.code.to_string(),
            detail: error.detail.clone(),
        }
    }
}

impl PageMessage {
    /// A bug of which nothing more is known.
    pub fn bug(detail: String) -> Self {
        Self::EngineBug { detail, report: None }
    }

    /// An event without a file's name.
    pub fn event(event: EventName, upload: ClientUploadId) -> Self {
        Self::Event {
            event,
            upload_id: upload.to_string(),
            name: None,
            reason: None,
            picked_as: None,
        }
    }
}

fn letter(cell: Cell) -> char {
    match cell {
        Cell::Pending => 'p',
        Cell::Staged => 's',
        Cell::InFlight => 'f',
        Cell::Confirmed => 'c',
        Cell::Lost => 'l',
    }
}

#[cfg(test)]
mod tests;
