//! What the engine asks of its host, and what the host answers: plain data with ids.

use upload_protocol::{
    ByteRange, Checkpoint, ClientUploadId, CompleteBatchRequest, CompleteBatchResponse, CompleteRequest,
    CompleteResponse, Crc64Nvme, ErrorCode, FileInfo, IdempotencyKey, PartNumber, PresignedUrl, SealRequest,
    SealResponse, SessionId, SessionResponse, SignPartsRequest, SignPartsResponse, SignedHeader,
    StartBatchRequest, StartBatchResponse, StartRequest, StartResponse, UploadToken,
};

/// Names one action from the moment the engine hands it out until its outcome. Never used twice by one
/// engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u64);

/// The host's name for a picked file that it can read now. It dies with the host; staged parts and the
/// checkpoint don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// What a person or a host wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A file was picked. When an upload that needs its file again has the same name or the same size,
    /// the file is taken for that one and compared with it (see [`Event::FileRefused`]); otherwise it
    /// becomes the new upload `upload`.
    Pick {
        /// Id for the new upload, made by the host.
        upload: ClientUploadId,
        /// The readable file.
        source: SourceId,
        /// Its description.
        file: FileInfo,
        /// Never take it for an upload that needs its file.
        as_new: bool,
    },
    /// A file was picked for one upload that needs its file.
    Provide {
        /// The upload it is meant for.
        upload: ClientUploadId,
        /// The readable file.
        source: SourceId,
        /// Its description.
        file: FileInfo,
    },
    /// An upload of an earlier visit, from its checkpoint and the names of its staged parts.
    Restore {
        /// As saved.
        checkpoint: Box<Checkpoint>,
        /// What is on disk.
        staged: Vec<StagedPart>,
    },
    /// Stop sending until resumed; parts in flight are cut off, their slots are free at once.
    Pause(ClientUploadId),
    /// Go on after a pause, or try a failed upload again.
    Resume(ClientUploadId),
    /// Give up: abort at the store, delete staged parts and checkpoint.
    Cancel(ClientUploadId),
    /// Drop an upload that has ended from the list; a failed one is cancelled first. Nothing happens to
    /// one that hasn't ended.
    Dismiss(ClientUploadId),
}

/// A part found on disk: its file's name says number and checksum, its length the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedPart {
    /// The part.
    pub part: PartNumber,
    /// Checksum when it was written.
    pub crc: Crc64Nvme,
    /// Length of the file in bytes.
    pub size_bytes: u64,
}

/// What happened in the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An action ended. An id the engine doesn't know (cancelled meanwhile, or answered before) is
    /// counted and otherwise ignored.
    Done(ActionId, Outcome),
    /// A [`Action::PutPart`] has sent this many bytes so far.
    Progress(ActionId, u64),
    /// What the host knows of the network. A hint: nothing is stopped by it, but failures while offline
    /// wait for `true`, and `true` ends every back-off.
    Connectivity {
        /// The host believes that it is online.
        online: bool,
    },
    /// The host sends other credentials from now on: calls refused for want of them are made again.
    CredentialsRenewed,
    /// Parts can be written to disk now, or no longer.
    Staging {
        /// A staging worker is attached and storage is usable.
        available: bool,
    },
    /// How many bytes can still be written to disk, as far as the host knows. Told before the first part
    /// is staged and again from time to time while parts are: what is staged in between the engine counts
    /// itself.
    Room {
        /// Bytes; `None` where the host can't tell.
        bytes: Option<u64>,
    },
    /// The wall clock jumped: the machine slept. Parts in flight and URLs at hand are given up.
    ClockJumped,
}

/// What the host does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Carry this out and answer with [`Input::Done`].
    Action(ActionId, Action),
    /// Tell whoever listens.
    Event(Event),
}

/// Something to be carried out. Every action but [`Action::Cancel`] is answered exactly once.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Read the range and answer its checksum: [`Outcome::Hashed`].
    HashPart {
        /// The upload.
        upload: ClientUploadId,
        /// The part.
        part: PartNumber,
        /// Its bytes.
        range: ByteRange,
        /// Where to read.
        source: SourceId,
    },
    /// Read the range, write it to disk under its number and checksum with one atomic rename, answer
    /// the checksum: [`Outcome::Staged`]. Gives way to every [`Action::HashPart`].
    StagePart {
        /// The upload.
        upload: ClientUploadId,
        /// The part.
        part: PartNumber,
        /// Its bytes.
        range: ByteRange,
        /// Where to read.
        source: SourceId,
    },
    /// Delete a staged part: [`Outcome::Done`].
    FreePart {
        /// The upload.
        upload: ClientUploadId,
        /// The part.
        part: PartNumber,
        /// Its checksum, the other half of its name.
        crc: Crc64Nvme,
    },
    /// Delete everything staged for the upload, then its checkpoint: [`Outcome::Done`].
    Forget {
        /// The upload.
        upload: ClientUploadId,
    },
    /// Write the checkpoint durably, replacing the one before: [`Outcome::Done`].
    SaveCheckpoint {
        /// What to write.
        checkpoint: Box<Checkpoint>,
    },
    /// `POST /api/upload-sessions`: [`Outcome::Started`].
    Start {
        /// The header `Idempotency-Key`.
        key: IdempotencyKey,
        /// The body.
        request: StartRequest,
    },
    /// `POST /api/upload-sessions/batch`: [`Outcome::StartedMany`].
    StartMany {
        /// The body: 2 to 100 starts.
        request: StartBatchRequest,
    },
    /// `POST /api/upload-sessions/batch/complete`: [`Outcome::CompletedMany`].
    CompleteMany {
        /// The body: 2 to 100 completes.
        request: CompleteBatchRequest,
    },
    /// A call on a session that exists.
    Call {
        /// The upload.
        upload: ClientUploadId,
        /// The session.
        session: SessionId,
        /// The header `Upload-Token`.
        token: UploadToken,
        /// Which call.
        call: SessionCall,
    },
    /// PUT a part's bytes to the store: [`Outcome::Put`].
    PutPart {
        /// The upload.
        upload: ClientUploadId,
        /// The part.
        part: PartNumber,
        /// Its bytes.
        range: ByteRange,
        /// Where they are.
        bytes: PartBytes,
        /// Where they go.
        url: PresignedUrl,
        /// Headers to send.
        headers: Vec<SignedHeader>,
    },
    /// Stop an action as soon as possible. Not answered; an outcome of the stopped action is ignored.
    Cancel(ActionId),
}

/// Calls on a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCall {
    /// `POST …/parts`: [`Outcome::Signed`].
    Sign(SignPartsRequest),
    /// `GET …`: [`Outcome::Session`].
    Fetch,
    /// `POST …/seal`: [`Outcome::Sealed`].
    Seal(SealRequest),
    /// `POST …/complete`: [`Outcome::Completed`].
    Complete(CompleteRequest),
    /// `DELETE …`: [`Outcome::Done`].
    Abort,
}

/// Where a part's bytes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartBytes {
    /// A slice of the picked file.
    Source(SourceId),
    /// The staged part of this checksum.
    Staged(Crc64Nvme),
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of [`Action::HashPart`].
    Hashed(Crc64Nvme),
    /// Of [`Action::StagePart`].
    Staged(Crc64Nvme),
    /// Of [`Action::FreePart`], [`Action::Forget`], [`Action::SaveCheckpoint`], [`SessionCall::Abort`].
    Done,
    /// Of [`Action::Start`].
    Started(Box<StartResponse>),
    /// Of [`Action::StartMany`].
    StartedMany(StartBatchResponse),
    /// Of [`Action::CompleteMany`].
    CompletedMany(CompleteBatchResponse),
    /// Of [`SessionCall::Sign`].
    Signed(SignPartsResponse),
    /// Of [`SessionCall::Fetch`].
    Session(Box<SessionResponse>),
    /// Of [`SessionCall::Seal`].
    Sealed(SealResponse),
    /// Of [`SessionCall::Complete`].
    Completed(CompleteResponse),
    /// Of [`Action::PutPart`]: a 2xx answer with no error inside.
    Put,
    /// Of any.
    Failed(Failure),
}

/// Why an action failed, as its host saw it. What follows from it is the engine's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The picked file can't be read any more: deleted, moved, or changed since it was picked.
    #[error("the file can't be read: {detail}")]
    SourceUnreadable {
        /// The host's words.
        detail: String,
    },
    /// A staged part is gone or can't be read.
    #[error("a staged part can't be read: {detail}")]
    StagedUnreadable {
        /// The host's words.
        detail: String,
    },
    /// The disk or the origin's quota is full.
    #[error("storage is full")]
    QuotaExceeded,
    /// Storage can't be used: private mode, no permission, a broken disk.
    #[error("storage can't be used: {detail}")]
    StorageUnavailable {
        /// The host's words.
        detail: String,
    },
    /// No HTTP answer arrived. A browser can't tell a lost network from an answer it may not read.
    #[error("no answer: {detail}")]
    Transport {
        /// The host's words.
        detail: String,
    },
    /// An HTTP error status, or an error inside a 200.
    #[error("HTTP {status}: {detail}")]
    Http {
        /// The status.
        status: u16,
        /// Code of the server's problem details, of control calls.
        code: Option<ErrorCode>,
        /// Code of the store's XML error, of parts.
        store_code: Option<String>,
        /// The server's words, shortened.
        detail: String,
        /// The header `Retry-After` in seconds.
        retry_after_seconds: Option<u32>,
    },
    /// The answer can't be read.
    #[error("answer can't be read: {detail}")]
    InvalidAnswer {
        /// What was wrong with it.
        detail: String,
    },
}

/// Something worth telling at once; everything else shows in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// From now on closing the page loses nothing.
    Safe(ClientUploadId),
    /// The store has confirmed size and checksum.
    Completed(ClientUploadId),
    /// The upload ended without success; the snapshot says why.
    Failed(ClientUploadId),
    /// The picked file isn't the one this upload needs. Nothing of it was sent.
    FileRefused {
        /// The upload that still needs its file.
        upload: ClientUploadId,
        /// The file that was refused; the host may offer it again as a new upload.
        source: SourceId,
        /// Its name.
        name: String,
        /// Why, in words for a person.
        reason: String,
    },
    /// The file was taken for this upload instead of becoming a new one.
    FileAccepted {
        /// The upload that has its file again.
        upload: ClientUploadId,
        /// The file.
        source: SourceId,
    },
    /// The host need not keep this file any longer.
    SourceReleased(SourceId),
}
