//! One record: a command or an input without what must not be in a report, and back.
//!
//! Types of their own, not the wire's: those leave out what is absent, which the compact form can't.

use serde::{Deserialize, Serialize};
use upload_protocol::{
    Checkpoint, CheckpointIntent, CheckpointSession, ChecksumAlgorithm, ClientUploadId,
    CompleteBatchResponse, CompleteBatchResult, CompleteResponse, Crc64Nvme, ErrorCode, FileInfo, PartLayout,
    PartNumber, Problem, SealResponse, SessionResponse, SessionStatus, SignPartsResponse, SignedPart,
    StartBatchResponse, StartBatchResult, StartResponse, StoredPart, UploadMode,
};

use super::redact::{self, Redaction};
use crate::action::{ActionId, Command, Failure, Input, Outcome, SourceId, StagedPart};
use crate::retry::is_store_code;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Record {
    Command(RecordedCommand),
    Input(RecordedInput),
    /// A deadline was reached.
    Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum RecordedCommand {
    Pick {
        upload: ClientUploadId,
        source: u64,
        file: FileInfo,
        as_new: bool,
    },
    Provide {
        upload: ClientUploadId,
        source: u64,
        file: FileInfo,
    },
    Restore {
        checkpoint: Box<RecordedCheckpoint>,
        staged: Vec<(u32, u64, u64)>,
    },
    Pause(ClientUploadId),
    Resume(ClientUploadId),
    Cancel(ClientUploadId),
    Dismiss(ClientUploadId),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedCheckpoint {
    version: u32,
    upload: ClientUploadId,
    generation: u32,
    file: FileInfo,
    layout: PartLayout,
    session: Option<RecordedSession>,
    intent: CheckpointIntent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedSession {
    mode: UploadMode,
    checksum: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum RecordedInput {
    Done(u64, RecordedOutcome),
    Progress(u64, u64),
    Connectivity(bool),
    Staging(bool),
    Room(Option<u64>),
    ClockJumped,
    CredentialsRenewed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum RecordedOutcome {
    Hashed(u64),
    Staged(u64),
    Done,
    Started(Box<RecordedStart>),
    StartedMany(Vec<Result<RecordedStart, RecordedProblem>>),
    CompletedMany(Vec<Result<RecordedComplete, RecordedProblem>>),
    Signed(Vec<(u32, u32)>),
    Session(Box<RecordedTruth>),
    Sealed(SessionStatus),
    Completed(RecordedComplete),
    Put,
    Failed(RecordedFailure),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedStart {
    session: RecordedSession,
    part_size_bytes: u64,
    part_count: u32,
    status: SessionStatus,
    /// Part numbers and seconds until their URLs expire.
    urls: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedTruth {
    status: SessionStatus,
    mode: UploadMode,
    size_bytes: u64,
    part_size_bytes: u64,
    part_count: u32,
    /// Numbers, sizes and checksums.
    parts: Vec<(u32, u64, Option<u64>)>,
    completed: Option<RecordedComplete>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedComplete {
    size_bytes: u64,
    crc: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordedProblem {
    status: u16,
    code: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum RecordedFailure {
    SourceUnreadable,
    StagedUnreadable,
    QuotaExceeded,
    StorageUnavailable,
    Transport,
    Http {
        status: u16,
        code: Option<ErrorCode>,
        store_code: Option<String>,
        retry_after_seconds: Option<u32>,
    },
    InvalidAnswer,
}

pub(super) fn command(redaction: &mut Redaction, command: &Command) -> RecordedCommand {
    match command {
        Command::Pick {
            upload,
            source,
            file,
            as_new,
        } => RecordedCommand::Pick {
            upload: redact::upload(*upload),
            source: source.0,
            file: redaction.file(file),
            as_new: *as_new,
        },
        Command::Provide { upload, source, file } => RecordedCommand::Provide {
            upload: redact::upload(*upload),
            source: source.0,
            file: redaction.file(file),
        },
        Command::Restore { checkpoint, staged } => RecordedCommand::Restore {
            checkpoint: Box::new(RecordedCheckpoint {
                version: checkpoint.version,
                upload: redact::upload(checkpoint.client_upload_id),
                generation: checkpoint.generation,
                file: redaction.file(&checkpoint.file),
                layout: checkpoint.layout,
                session: checkpoint.session.as_ref().map(|session| RecordedSession {
                    mode: session.mode,
                    checksum: session.checksum,
                }),
                intent: checkpoint.intent,
            }),
            staged: staged
                .iter()
                .map(|staged| (staged.part.value(), staged.crc.0, staged.size_bytes))
                .collect(),
        },
        Command::Pause(upload) => RecordedCommand::Pause(redact::upload(*upload)),
        Command::Resume(upload) => RecordedCommand::Resume(redact::upload(*upload)),
        Command::Cancel(upload) => RecordedCommand::Cancel(redact::upload(*upload)),
        Command::Dismiss(upload) => RecordedCommand::Dismiss(redact::upload(*upload)),
    }
}

pub(super) fn input(input: &Input) -> RecordedInput {
    match input {
        Input::Done(id, outcome) => RecordedInput::Done(id.0, self::outcome(outcome)),
        Input::Progress(id, bytes) => RecordedInput::Progress(id.0, *bytes),
        Input::CredentialsRenewed => RecordedInput::CredentialsRenewed,
        Input::Connectivity { online } => RecordedInput::Connectivity(*online),
        Input::Staging { available } => RecordedInput::Staging(*available),
        Input::Room { bytes } => RecordedInput::Room(*bytes),
        Input::ClockJumped => RecordedInput::ClockJumped,
    }
}

fn outcome(outcome: &Outcome) -> RecordedOutcome {
    match outcome {
        Outcome::Hashed(crc) => RecordedOutcome::Hashed(crc.0),
        Outcome::Staged(crc) => RecordedOutcome::Staged(crc.0),
        Outcome::Done => RecordedOutcome::Done,
        Outcome::Started(response) => RecordedOutcome::Started(Box::new(started(response))),
        Outcome::StartedMany(response) => RecordedOutcome::StartedMany(
            response
                .results
                .iter()
                .map(|result| match result {
                    StartBatchResult::Session(session) => Ok(started(session)),
                    StartBatchResult::Problem(problem) => Err(recorded_problem(problem)),
                })
                .collect(),
        ),
        Outcome::CompletedMany(response) => RecordedOutcome::CompletedMany(
            response
                .results
                .iter()
                .map(|result| match result {
                    CompleteBatchResult::Completed(response) => Ok(completed(response)),
                    CompleteBatchResult::Problem(problem) => Err(recorded_problem(problem)),
                })
                .collect(),
        ),
        Outcome::Signed(response) => RecordedOutcome::Signed(urls(&response.parts)),
        Outcome::Session(response) => RecordedOutcome::Session(Box::new(truth(response))),
        Outcome::Sealed(response) => RecordedOutcome::Sealed(response.status),
        Outcome::Completed(response) => RecordedOutcome::Completed(completed(response)),
        Outcome::Put => RecordedOutcome::Put,
        Outcome::Failed(failure) => RecordedOutcome::Failed(self::failure(failure)),
    }
}

fn started(response: &StartResponse) -> RecordedStart {
    RecordedStart {
        session: RecordedSession {
            mode: response.mode,
            checksum: response.checksum_algorithm.is_some(),
        },
        part_size_bytes: response.part_size_bytes,
        part_count: response.part_count,
        status: response.status,
        urls: urls(&response.parts),
    }
}

fn truth(response: &SessionResponse) -> RecordedTruth {
    RecordedTruth {
        status: response.status,
        mode: response.mode,
        size_bytes: response.size_bytes,
        part_size_bytes: response.part_size_bytes,
        part_count: response.part_count,
        parts: response
            .parts
            .iter()
            .map(|part| {
                let crc = part.checksum_crc64nvme.map(|crc| crc.0);
                (part.part_number.value(), part.size_bytes, crc)
            })
            .collect(),
        completed: response.completed.as_ref().map(completed),
    }
}

fn completed(response: &CompleteResponse) -> RecordedComplete {
    RecordedComplete {
        size_bytes: response.size_bytes,
        crc: response.checksum_crc64nvme.map(|crc| crc.0),
    }
}

fn urls(parts: &[SignedPart]) -> Vec<(u32, u32)> {
    let urls = parts.iter();
    urls.map(|part| (part.part_number.value(), part.expires_in_seconds))
        .collect()
}

fn recorded_problem(problem: &Problem) -> RecordedProblem {
    RecordedProblem {
        status: problem.status,
        code: problem.code,
    }
}

fn failure(failure: &Failure) -> RecordedFailure {
    match failure {
        Failure::SourceUnreadable { .. } => RecordedFailure::SourceUnreadable,
        Failure::StagedUnreadable { .. } => RecordedFailure::StagedUnreadable,
        Failure::QuotaExceeded => RecordedFailure::QuotaExceeded,
        Failure::StorageUnavailable { .. } => RecordedFailure::StorageUnavailable,
        Failure::Transport { .. } => RecordedFailure::Transport,
        Failure::Http {
            status,
            code,
            store_code,
            retry_after_seconds,
            ..
        } => RecordedFailure::Http {
            status: *status,
            code: *code,
            // Words of S3's list, by which the engine decides; anything else is somebody's text.
            store_code: store_code.as_ref().map(|code| {
                if is_store_code(code) {
                    code.clone()
                } else {
                    String::new()
                }
            }),
            retry_after_seconds: *retry_after_seconds,
        },
        Failure::InvalidAnswer { .. } => RecordedFailure::InvalidAnswer,
    }
}

/// A number in a report is outside what it can be.
#[derive(Debug)]
pub(super) struct Broken;

fn part_number(value: u32) -> Result<PartNumber, Broken> {
    PartNumber::new(value).map_err(|_| Broken)
}

impl RecordedCommand {
    pub(super) fn into_command(self) -> Result<Command, Broken> {
        Ok(match self {
            Self::Pick {
                upload,
                source,
                file,
                as_new,
            } => Command::Pick {
                upload,
                source: SourceId(source),
                file,
                as_new,
            },
            Self::Provide { upload, source, file } => Command::Provide {
                upload,
                source: SourceId(source),
                file,
            },
            Self::Restore { checkpoint, staged } => Command::Restore {
                checkpoint: Box::new(checkpoint.into_checkpoint()),
                staged: staged
                    .into_iter()
                    .map(|(part, crc, size_bytes)| {
                        Ok(StagedPart {
                            part: part_number(part)?,
                            crc: Crc64Nvme(crc),
                            size_bytes,
                        })
                    })
                    .collect::<Result<_, Broken>>()?,
            },
            Self::Pause(upload) => Command::Pause(upload),
            Self::Resume(upload) => Command::Resume(upload),
            Self::Cancel(upload) => Command::Cancel(upload),
            Self::Dismiss(upload) => Command::Dismiss(upload),
        })
    }
}

impl RecordedCheckpoint {
    fn into_checkpoint(self) -> Checkpoint {
        Checkpoint {
            version: self.version,
            client_upload_id: self.upload,
            generation: self.generation,
            file: self.file,
            layout: self.layout,
            session: self.session.map(|session| CheckpointSession {
                session_id: redact::session(),
                token: redact::token(),
                key: String::new(),
                multipart_upload_id: multipart_id(session.mode),
                mode: session.mode,
                checksum: session.checksum,
            }),
            intent: self.intent,
        }
    }
}

impl RecordedInput {
    pub(super) fn into_input(self) -> Result<Input, Broken> {
        Ok(match self {
            Self::Done(id, outcome) => Input::Done(ActionId(id), outcome.into_outcome()?),
            Self::Progress(id, bytes) => Input::Progress(ActionId(id), bytes),
            Self::CredentialsRenewed => Input::CredentialsRenewed,
            Self::Connectivity(online) => Input::Connectivity { online },
            Self::Staging(available) => Input::Staging { available },
            Self::Room(bytes) => Input::Room { bytes },
            Self::ClockJumped => Input::ClockJumped,
        })
    }
}

impl RecordedOutcome {
    fn into_outcome(self) -> Result<Outcome, Broken> {
        Ok(match self {
            Self::Hashed(crc) => Outcome::Hashed(Crc64Nvme(crc)),
            Self::Staged(crc) => Outcome::Staged(Crc64Nvme(crc)),
            Self::Done => Outcome::Done,
            Self::Started(start) => Outcome::Started(Box::new(start.into_response()?)),
            Self::StartedMany(results) => Outcome::StartedMany(StartBatchResponse {
                results: results
                    .into_iter()
                    .map(|result| {
                        Ok(match result {
                            Ok(start) => StartBatchResult::Session(Box::new(start.into_response()?)),
                            Err(problem) => StartBatchResult::Problem(problem.into_problem()),
                        })
                    })
                    .collect::<Result<_, Broken>>()?,
            }),
            Self::CompletedMany(results) => Outcome::CompletedMany(CompleteBatchResponse {
                results: results
                    .into_iter()
                    .map(|result| match result {
                        Ok(completed) => CompleteBatchResult::Completed(completed.into_response()),
                        Err(problem) => CompleteBatchResult::Problem(problem.into_problem()),
                    })
                    .collect(),
            }),
            Self::Signed(urls) => Outcome::Signed(SignPartsResponse {
                parts: signed_parts(urls)?,
            }),
            Self::Session(truth) => Outcome::Session(Box::new(truth.into_response()?)),
            Self::Sealed(status) => Outcome::Sealed(SealResponse { status }),
            Self::Completed(completed) => Outcome::Completed(completed.into_response()),
            Self::Put => Outcome::Put,
            Self::Failed(failure) => Outcome::Failed(failure.into_failure()),
        })
    }
}

impl RecordedStart {
    fn into_response(self) -> Result<StartResponse, Broken> {
        Ok(StartResponse {
            upload_session_id: redact::session(),
            token: redact::token(),
            key: String::new(),
            upload_id: multipart_id(self.session.mode),
            mode: self.session.mode,
            part_size_bytes: self.part_size_bytes,
            part_count: self.part_count,
            checksum_algorithm: self.session.checksum.then_some(ChecksumAlgorithm::Crc64Nvme),
            status: self.status,
            lease_seconds: 0,
            parts: signed_parts(self.urls)?,
        })
    }
}

impl RecordedTruth {
    fn into_response(self) -> Result<SessionResponse, Broken> {
        let stored = |(number, size_bytes, crc): (u32, u64, Option<u64>)| {
            Ok(StoredPart {
                part_number: part_number(number)?,
                size_bytes,
                checksum_crc64nvme: crc.map(Crc64Nvme),
            })
        };
        Ok(SessionResponse {
            upload_session_id: redact::session(),
            status: self.status,
            key: String::new(),
            upload_id: multipart_id(self.mode),
            mode: self.mode,
            size_bytes: self.size_bytes,
            part_size_bytes: self.part_size_bytes,
            part_count: self.part_count,
            parts: self.parts.into_iter().map(stored).collect::<Result<_, _>>()?,
            completed: self.completed.map(RecordedComplete::into_response),
        })
    }
}

impl RecordedComplete {
    fn into_response(self) -> CompleteResponse {
        CompleteResponse {
            key: String::new(),
            size_bytes: self.size_bytes,
            checksum_crc64nvme: self.crc.map(Crc64Nvme),
            completed_at: String::new(),
            receipt: None,
        }
    }
}

impl RecordedProblem {
    fn into_problem(self) -> Problem {
        Problem {
            status: self.status,
            ..Problem::new(self.code, String::new())
        }
    }
}

impl RecordedFailure {
    fn into_failure(self) -> Failure {
        let detail = String::new();
        match self {
            Self::SourceUnreadable => Failure::SourceUnreadable { detail },
            Self::StagedUnreadable => Failure::StagedUnreadable { detail },
            Self::QuotaExceeded => Failure::QuotaExceeded,
            Self::StorageUnavailable => Failure::StorageUnavailable { detail },
            Self::Transport => Failure::Transport { detail },
            Self::Http {
                status,
                code,
                store_code,
                retry_after_seconds,
            } => Failure::Http {
                status,
                code,
                store_code,
                detail,
                retry_after_seconds,
            },
            Self::InvalidAnswer => Failure::InvalidAnswer { detail },
        }
    }
}

fn signed_parts(urls: Vec<(u32, u32)>) -> Result<Vec<SignedPart>, Broken> {
    let signed = |(number, expires_in_seconds): (u32, u32)| {
        Ok(SignedPart {
            part_number: part_number(number)?,
            url: redact::url(),
            headers: Vec::new(),
            expires_in_seconds,
            relay_url: None,
        })
    };
    urls.into_iter().map(signed).collect()
}

fn multipart_id(mode: UploadMode) -> Option<upload_protocol::MultipartUploadId> {
    (mode == UploadMode::Multipart).then(redact::multipart_id)
}
