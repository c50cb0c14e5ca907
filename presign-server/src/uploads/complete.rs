//! Sealing and completing: an object only of what was declared, and only once.

use upload_protocol::{
    CompleteRequest, CompleteResponse, Crc64Nvme, Crc64NvmeCombiner, ErrorCode, SealRequest, SealResponse,
    SessionStatus, UploadMode,
};
use upload_storage::{CompleteMultipart, ListedPart, StorageError, StoredObject};

use super::{Uploads, Wake, aborted, check_takes_parts, to_the_end};
use crate::error::{Result, UploadError};
use crate::session::{Session, SessionState};
use crate::store::Versioned;

/// Part numbers named in an error.
const MISSING_SHOWN_MAX: usize = 10;

/// How an attempt to complete went.
#[derive(Debug)]
pub(super) enum Completion {
    /// The object is there.
    Done(Box<Versioned>),
    /// The store lacks parts.
    Missing {
        /// Parts it holds.
        held: usize,
        /// Parts it lacks, at least 1.
        lacking: usize,
        /// What is missing, for a person.
        detail: String,
    },
}

impl Uploads {
    /// Keeps the checksum of the whole file. From then on the [`Sealer`](super::Sealer) completes the
    /// session as soon as the store holds every part. Where the session has no checksums, the one told
    /// is compared with what is told later and with nothing else.
    ///
    /// # Errors
    /// `checksum_mismatch` when it was sealed, or is complete, with another.
    pub async fn seal(&self, found: Versioned, request: &SealRequest) -> Result<SealResponse> {
        let sealed = self.sealed(found, request.checksum_crc64nvme).await?;
        let sealed = self.renew(sealed).await;
        let status = sealed.session.state.status();
        if status == SessionStatus::Sealed {
            self.wake(sealed.session.id, Wake::Now);
        }
        Ok(SealResponse { status })
    }

    /// The session with this checksum kept: sealed, or complete already.
    pub(super) async fn sealed(&self, found: Versioned, crc: Crc64Nvme) -> Result<Versioned> {
        self.change(found, |session| match &session.state {
            SessionState::Completed(completed) if completed.agrees_with(crc) => Ok(None),
            SessionState::Sealed { crc: known } if *known == crc => Ok(None),
            SessionState::Completed(_) | SessionState::Sealed { .. } => Err(UploadError::new(
                ErrorCode::ChecksumMismatch,
                format!(
                    "session {} was sealed with another checksum than {crc}",
                    session.id
                ),
            )),
            _ => {
                check_takes_parts(session)?;
                let mut session = session.clone();
                // With the same write: a lease sweep must not come between.
                session.renewed_at_ms = self.now_ms();
                session.state = match session.state {
                    SessionState::Open => SessionState::Sealed { crc },
                    _ => return Err(still_starting(&session)),
                };
                Ok(Some(session))
            }
        })
        .await
    }

    /// Completes now. Goes on when the caller goes away.
    pub async fn complete(&self, found: Versioned, request: CompleteRequest) -> Result<CompleteResponse> {
        let uploads = self.clone();
        to_the_end(async move {
            let done = match uploads.try_complete(found, request.checksum_crc64nvme).await? {
                Completion::Done(done) => done,
                Completion::Missing { detail, .. } => {
                    return Err(UploadError::new(ErrorCode::PartsMissing, detail));
                }
            };
            match &done.session.state {
                SessionState::Completed(completed) => {
                    check_expected(request.checksum_crc64nvme, completed.crc.or(completed.told_crc))?;
                    Ok(uploads.complete_response(&done.session, completed))
                }
                _ => Err(aborted(&done.session)),
            }
        })
        .await
    }

    /// One attempt, alone in this process.
    pub(super) async fn try_complete(
        &self,
        found: Versioned,
        expected: Option<Crc64Nvme>,
    ) -> Result<Completion> {
        let _lock = self.inner.locks.lock(found.session.id).await;
        let current = self.load(found.session.id).await?;
        let sealed_crc = match &current.session.state {
            SessionState::Completed(_) => return Ok(Completion::Done(Box::new(current))),
            SessionState::Aborting { .. } | SessionState::Aborted => return Err(aborted(&current.session)),
            SessionState::Reserved => return Err(still_starting(&current.session)),
            SessionState::Open => None,
            SessionState::Sealed { crc } => Some(*crc),
        };
        check_expected(expected, sealed_crc)?;
        let expected = expected.or(sealed_crc).filter(|_| current.session.checksum);
        let run = self.run_of(&current.session);
        let completed = match current.session.mode {
            UploadMode::Single => self.complete_single(current, expected).await,
            UploadMode::Multipart => self.complete_multipart(current, expected).await,
        };
        if let (Err(error), Some(run)) = (&completed, run) {
            self.publish_error(run, error);
        }
        completed
    }

    async fn complete_single(&self, current: Versioned, expected: Option<Crc64Nvme>) -> Result<Completion> {
        let session = &current.session;
        let Some(object) = self.inner.storage.head(&session.key).await? else {
            return Ok(Completion::Missing {
                held: 0,
                lacking: 1,
                detail: "the store does not hold the object yet".to_owned(),
            });
        };
        let size_bytes = session.layout.size_bytes();
        if object.size_bytes != size_bytes {
            return Err(UploadError::new(
                ErrorCode::SizeMismatch,
                format!(
                    "the store's object is {} bytes where {size_bytes} were declared",
                    object.size_bytes
                ),
            ));
        }
        if object.checksum_crc64nvme.is_none() {
            return Err(no_checksum("the object"));
        }
        check_expected(expected, object.checksum_crc64nvme)?;
        self.publish_object(session, &object);
        self.confirm(current, &object).await
    }

    async fn complete_multipart(
        &self,
        current: Versioned,
        expected: Option<Crc64Nvme>,
    ) -> Result<Completion> {
        let session = &current.session;
        let storage = &self.inner.storage;
        let Some(upload_id) = &session.multipart_upload_id else {
            return Err(still_starting(session));
        };
        let parts = match storage.list_parts(&session.key, upload_id).await {
            Ok(parts) => parts,
            Err(StorageError::NoSuchUpload) => return self.ended(current).await,
            Err(error) => return Err(error.into()),
        };
        self.publish_parts(session, &parts);
        if let Some(missing) = missing_parts(session, &parts) {
            return Ok(missing);
        }
        let crc = check_parts(session, &parts)?;
        check_expected(expected, crc)?;
        let request = CompleteMultipart {
            key: &session.key,
            upload_id,
            parts: &parts,
            size_bytes: session.layout.size_bytes(),
            checksum_crc64nvme: crc,
        };
        match storage.complete(request).await {
            Ok(object) => self.confirm(current, &object).await,
            Err(StorageError::NoSuchUpload) => self.ended(current).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that the object is there. An abort that another process began meanwhile stands: it
    /// has been answered, so the object goes.
    async fn confirm(&self, current: Versioned, object: &StoredObject) -> Result<Completion> {
        let state = self.completed_state(object);
        let ended = self.end(current, state).await?;
        if let SessionState::Completed(_) = ended.session.state {
            return Ok(Completion::Done(Box::new(ended)));
        }
        self.remove_from_store(&ended.session).await?;
        Err(aborted(&ended.session))
    }

    async fn ended(&self, current: Versioned) -> Result<Completion> {
        let settled = self.settle_ended(current).await?;
        match settled.session.state {
            SessionState::Completed(_) => Ok(Completion::Done(Box::new(settled))),
            _ => Err(aborted(&settled.session)),
        }
    }
}

fn missing_parts(session: &Session, parts: &[ListedPart]) -> Option<Completion> {
    let mut held = parts.iter().map(|part| part.part_number).peekable();
    let mut missing = Vec::new();
    for number in session.layout.parts() {
        while held.peek().is_some_and(|next| *next < number) {
            held.next();
        }
        if held.peek() != Some(&number) {
            missing.push(number.to_string());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let shown = missing[..missing.len().min(MISSING_SHOWN_MAX)].join(", ");
    let more = if missing.len() > MISSING_SHOWN_MAX {
        ", …"
    } else {
        ""
    };
    Some(Completion::Missing {
        held: parts.len(),
        lacking: missing.len(),
        detail: format!(
            "the store lacks {} of {} parts: {shown}{more}",
            missing.len(),
            session.layout.part_count()
        ),
    })
}

/// Sizes, numbers, and the checksum of the whole as the parts' checksums make it.
fn check_parts(session: &Session, parts: &[ListedPart]) -> Result<Option<Crc64Nvme>> {
    let mut combiner = Crc64NvmeCombiner::default();
    for part in parts {
        let number = part.part_number;
        let expected = session.layout.range(number).size_bytes();
        if !session.layout.contains(number) || part.size_bytes != expected {
            return Err(UploadError::new(
                ErrorCode::SizeMismatch,
                format!(
                    "part {number} is {} bytes at the store where {expected} were declared",
                    part.size_bytes
                ),
            ));
        }
        match part.checksum_crc64nvme {
            Some(crc) => combiner.append(crc, part.size_bytes),
            None if session.checksum => return Err(no_checksum(&format!("part {number}"))),
            None => {}
        }
    }
    Ok(session.checksum.then(|| combiner.crc()))
}

/// Two checksums that must be one, where both are known.
fn check_expected(expected: Option<Crc64Nvme>, found: Option<Crc64Nvme>) -> Result<()> {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => Err(UploadError::new(
            ErrorCode::ChecksumMismatch,
            format!("the whole has checksum {found} where {expected} was declared"),
        )),
        _ => Ok(()),
    }
}

fn no_checksum(what: &str) -> UploadError {
    UploadError::new(
        ErrorCode::StoreRefused,
        format!("the store keeps no CRC64NVME of {what}: it does not support it, or somebody else wrote it"),
    )
}

fn still_starting(session: &Session) -> UploadError {
    UploadError::new(
        ErrorCode::SessionBusy,
        format!("session {} is still being started: repeat the start", session.id),
    )
}
