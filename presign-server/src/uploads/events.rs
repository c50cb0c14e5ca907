//! Telling viewers what happens. Nothing here changes a session, fails a call or waits.

use upload_protocol::limits::{
    PROGRESS_ENTRIES_MAX, PROGRESS_ETAG_LENGTH_BYTES_MAX, PROGRESS_MESSAGE_LENGTH_BYTES_MAX,
};
use upload_protocol::{
    DonePayload, ErrorCode, ErrorPayload, LiveEvent, PartDonePayload, PartNumber, ProgressPart,
    ProgressRequest, StartPayload, UploadMode,
};
use upload_storage::{ListedPart, StoredObject};

use super::Uploads;
use crate::error::{Result, UploadError};
use crate::events::{News, Run};
use crate::session::{Session, SessionState};
use crate::store::Versioned;

/// Bytes of the unit that viewers are told part sizes in.
const MIB: f64 = 1024.0 * 1024.0;

impl Uploads {
    /// Passes on what a client says of its parts and errors. It is believed for the view alone: what a
    /// session is made of is asked of the store. Of a session that has ended nothing is passed on.
    ///
    /// # Errors
    /// `invalid_request` naming the entry; `size_mismatch` for a part of another size than the
    /// session's layout has.
    pub async fn progress(&self, found: Versioned, request: &ProgressRequest) -> Result<()> {
        let count = request.parts.len() + request.errors.len();
        if !(1..=PROGRESS_ENTRIES_MAX).contains(&count) {
            return Err(UploadError::invalid(format!(
                "{count} parts and errors in one call are outside 1 to {PROGRESS_ENTRIES_MAX}"
            )));
        }
        let session = &found.session;
        let mut events = Vec::with_capacity(count);
        for part in &request.parts {
            events.push(LiveEvent::PartDone(part_done(session, part)?));
        }
        for error in &request.errors {
            events.push(LiveEvent::Error(checked_error(session, error)?));
        }
        let found = self.renew(found).await;
        if found.session.state.kind().takes_parts() {
            self.publish(&found.session, events);
        }
        Ok(())
    }

    /// The session takes parts.
    pub(super) fn publish_start(&self, session: &Session) {
        self.publish(session, Vec::new());
    }

    /// What the store holds of it.
    pub(super) fn publish_parts(&self, session: &Session, parts: &[ListedPart]) {
        let layout = &session.layout;
        let fits = |part: &&ListedPart| {
            layout.contains(part.part_number)
                && layout.range(part.part_number).size_bytes() == part.size_bytes
        };
        let events = parts.iter().filter(fits).map(|part| {
            LiveEvent::PartDone(PartDonePayload {
                part: part.part_number,
                size: part.size_bytes,
                etag: part.etag.trim_matches('"').to_owned(),
            })
        });
        let events: Vec<LiveEvent> = events.collect();
        if !events.is_empty() {
            self.publish(session, events);
        }
    }

    /// The object of a single PUT is there.
    pub(super) fn publish_object(&self, session: &Session, object: &StoredObject) {
        if object.size_bytes == session.layout.size_bytes() {
            let part = PartDonePayload {
                part: PartNumber::FIRST,
                size: object.size_bytes,
                etag: String::new(),
            };
            self.publish(session, vec![LiveEvent::PartDone(part)]);
        }
    }

    /// The session has ended, if it has.
    pub(super) fn publish_end(&self, session: &Session) {
        let success = match &session.state {
            SessionState::Completed(_) => true,
            SessionState::Aborting { .. } | SessionState::Aborted => false,
            SessionState::Reserved | SessionState::Open | SessionState::Sealed { .. } => return,
        };
        if let Some(run) = self.run_of(session) {
            let upload_id = run.start.upload_id.clone();
            let done = LiveEvent::SessionDone(DonePayload { success, upload_id });
            self.inner.events.publish(News {
                run,
                events: vec![done],
            });
        }
    }

    /// Completing failed in a way that somebody must mend.
    pub(super) fn publish_error(&self, run: Run, error: &UploadError) {
        let wanted = matches!(
            error.code,
            ErrorCode::SizeMismatch
                | ErrorCode::ChecksumMismatch
                | ErrorCode::KeyTaken
                | ErrorCode::StoreRefused
        );
        if wanted {
            let error = ErrorPayload {
                message: shortened(&error.detail),
                part_number: None,
            };
            self.inner.events.publish(News {
                run,
                events: vec![LiveEvent::Error(error)],
            });
        }
    }

    /// The session as viewers know it; `None` while it takes no parts yet.
    pub(super) fn run_of(&self, session: &Session) -> Option<Run> {
        let upload_id = match (session.mode, &session.multipart_upload_id) {
            (UploadMode::Single, _) => session.id.to_string(),
            (UploadMode::Multipart, upload_id) => upload_id.as_ref()?.to_string(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a part has at most 5 GiB")]
        let part_mb = session.layout.part_size_bytes() as f64 / MIB;
        Some(Run {
            id: session.id,
            owner: session.owner.clone(),
            client: session.client.clone(),
            start: StartPayload {
                bucket: self.inner.storage.bucket().to_owned(),
                key: session.key.clone(),
                upload_id,
                total: session.layout.size_bytes(),
                part_mb,
            },
        })
    }

    fn publish(&self, session: &Session, events: Vec<LiveEvent>) {
        if let Some(run) = self.run_of(session) {
            self.inner.events.publish(News { run, events });
        }
    }
}

fn part_done(session: &Session, part: &ProgressPart) -> Result<PartDonePayload> {
    let number = part.part_number;
    check_number(session, number)?;
    let expected = session.layout.range(number).size_bytes();
    if part.size_bytes != expected {
        return Err(UploadError::new(
            ErrorCode::SizeMismatch,
            format!(
                "part {number} is said to be {} bytes where this session's layout has {expected}",
                part.size_bytes
            ),
        ));
    }
    let etag = part.etag.as_deref().unwrap_or_default().trim_matches('"');
    let readable = etag.bytes().all(|byte| byte.is_ascii_graphic());
    if etag.len() > PROGRESS_ETAG_LENGTH_BYTES_MAX || !readable {
        return Err(UploadError::invalid(format!(
            "the `etag` of part {number} is {} bytes long: expected at most {PROGRESS_ETAG_LENGTH_BYTES_MAX}, of printable ASCII",
            etag.len()
        )));
    }
    Ok(PartDonePayload {
        part: number,
        size: part.size_bytes,
        etag: etag.to_owned(),
    })
}

fn checked_error(session: &Session, error: &ErrorPayload) -> Result<ErrorPayload> {
    if let Some(number) = error.part_number {
        check_number(session, number)?;
    }
    let length = error.message.len();
    if !(1..=PROGRESS_MESSAGE_LENGTH_BYTES_MAX).contains(&length) {
        return Err(UploadError::invalid(format!(
            "an error's message is {length} bytes long: expected 1 to {PROGRESS_MESSAGE_LENGTH_BYTES_MAX}"
        )));
    }
    Ok(ErrorPayload {
        message: shortened(&error.message),
        part_number: error.part_number,
    })
}

fn check_number(session: &Session, number: PartNumber) -> Result<()> {
    if session.layout.contains(number) {
        return Ok(());
    }
    Err(UploadError::invalid(format!(
        "part {number} is outside this upload's 1 to {}",
        session.layout.part_count()
    )))
}

/// On one line, and no longer than a client's may be.
fn shortened(message: &str) -> String {
    let printable = message.chars().filter(|char| !char.is_control());
    printable.take(PROGRESS_MESSAGE_LENGTH_BYTES_MAX).collect()
}
