//! What must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use upload_engine::{
    Action, ActionId, Event, Outcome, Output, PartBytes, SessionCall, SourceId, UploadStatus,
};
use upload_protocol::limits::BATCH_LENGTH_MAX;
use upload_protocol::{
    Checkpoint, CheckpointIntent, ClientUploadId, IdempotencyKey, PartNumber, PresignedUrl, SessionId,
    SignedPart, StartBatchResult,
};

use super::Violation;
use super::content::{Bytes, Content, cut};
use super::host::{Kind, Outstanding};
use super::person::PersonEvent;
use super::server::{Session, State};
use super::store::Target;
use super::world::{Event as WorldEvent, PickedFile, World};

/// What is known of an upload from outside the engine.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Record {
    pub(super) file: PickedFile,
    pub(super) plan: Option<usize>,
    /// The file that the engine may send from.
    pub(super) source: Option<SourceId>,
    pub(super) paused: bool,
    pub(super) cancelled: bool,
    /// A request was made for it.
    pub(super) requested: bool,
    /// Its checkpoint could not be written at some time.
    pub(super) save_failed: bool,
    pub(super) forgotten: bool,
    pub(super) gone: bool,
    pub(super) rotted: bool,
    pub(super) lost_by_store: bool,
    /// Other files were taken for it before, rightly: nothing of them was known to be anywhere. What was
    /// still on its way may have completed one of them, before the person's last choice was saved.
    pub(super) former: Vec<Content>,
    /// The engine has been told that parts of it are at the store.
    pub(super) knows_stored: bool,
    pub(super) walks_away: bool,
    pub(super) reacting_to: Option<UploadStatus>,
    pub(super) wrong_picks: u32,
    pub(super) resumes: u32,
    pub(super) refusals: u32,
    pub(super) status: Option<UploadStatus>,
    pub(super) error: String,
    pub(super) looked_at_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    pub(super) records: BTreeMap<ClientUploadId, Record>,
    offers: BTreeMap<SourceId, (Content, Option<usize>)>,
    refused: BTreeSet<SourceId>,
    released: BTreeSet<SourceId>,
    actions: BTreeSet<ActionId>,
    /// When the URLs at hand expire, by the host's clock.
    urls: BTreeMap<String, u64>,
    pub(super) to_look_at: BTreeSet<ClientUploadId>,
    /// Parts that were sent and of which the engine never learned that they arrived.
    pub(super) unconfirmed_puts: u64,
    proofs: BTreeMap<ClientUploadId, u32>,
}

/// So many times a file is picked that no longer fits what has turned up of another one.
const REFUSALS_MAX: u32 = 4;

/// Most proofs by a kill for one upload.
const PROOFS_MAX: u32 = 2;

impl Oracle {
    pub(super) fn picked(
        &mut self,
        upload: ClientUploadId,
        source: SourceId,
        file: &PickedFile,
        plan: Option<usize>,
        walks_away: bool,
    ) {
        self.records.insert(
            upload,
            Record {
                file: file.clone(),
                plan,
                source: Some(source),
                paused: false,
                cancelled: false,
                requested: false,
                save_failed: false,
                forgotten: false,
                gone: false,
                rotted: false,
                lost_by_store: false,
                former: Vec::new(),
                knows_stored: false,
                walks_away,
                reacting_to: None,
                wrong_picks: 0,
                resumes: 0,
                refusals: 0,
                status: None,
                error: String::new(),
                looked_at_ms: None,
            },
        );
    }

    pub(super) fn with(&mut self, upload: ClientUploadId, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(&upload) {
            change(record);
        }
    }

    pub(super) fn offer(&mut self, source: SourceId, content: Content, plan: Option<usize>) {
        self.offers.insert(source, (content, plan));
    }

    pub(super) fn pause(&mut self, upload: ClientUploadId, paused: bool) {
        self.with(upload, |record| {
            record.paused = paused;
            record.reacting_to = None;
            record.resumes += u32::from(!paused && record.status == Some(UploadStatus::Failed));
        });
    }

    pub(super) fn cancel(&mut self, upload: ClientUploadId) {
        self.with(upload, |record| record.cancelled = true);
    }

    pub(super) fn running(&self) -> impl Iterator<Item = ClientUploadId> + '_ {
        let running = |record: &Record| {
            !record.paused
                && matches!(
                    record.status,
                    Some(UploadStatus::Uploading | UploadStatus::Queued)
                )
        };
        let running = self.records.iter().filter(move |(_, record)| running(record));
        running.map(|(upload, _)| *upload)
    }

    /// The file that an upload needs, if it still needs one.
    pub(super) fn picks_again(&mut self, upload: ClientUploadId) -> Option<PickedFile> {
        let record = self.records.get_mut(&upload)?;
        record.reacting_to = None;
        self.to_look_at.insert(upload);
        (record.status == Some(UploadStatus::NeedsFile)).then(|| record.file.clone())
    }

    pub(super) fn wrong_picks(&self, upload: ClientUploadId) -> u32 {
        self.records.get(&upload).map_or(0, |record| record.wrong_picks)
    }

    pub(super) fn picks_wrong(&mut self, upload: ClientUploadId) {
        self.with(upload, |record| record.wrong_picks += 1);
    }

    pub(super) fn walks_away(&self, upload: ClientUploadId) -> bool {
        self.records.get(&upload).is_none_or(|record| record.walks_away)
    }

    pub(super) fn resumes(&self, upload: ClientUploadId) -> u32 {
        self.records.get(&upload).map_or(0, |record| record.resumes)
    }

    pub(super) fn error(&self, upload: ClientUploadId) -> String {
        let error = self.records.get(&upload).map(|record| record.error.as_str());
        format!("{upload} failed: {}", error.unwrap_or(""))
    }

    pub(super) fn status(&self, upload: ClientUploadId) -> Option<UploadStatus> {
        self.records.get(&upload)?.status
    }

    /// Whether the person only now learns of it.
    pub(super) fn begins_to_react(&mut self, upload: ClientUploadId, status: UploadStatus) -> bool {
        let Some(record) = self.records.get_mut(&upload) else {
            return false;
        };
        record.reacting_to.replace(status) != Some(status)
    }

    /// Counts the times that a file was refused for an upload; `true` when the person has had enough.
    fn refuses_again(&mut self, upload: ClientUploadId) -> bool {
        let Some(record) = self.records.get_mut(&upload) else {
            return false;
        };
        record.refusals += 1;
        record.refusals == REFUSALS_MAX
    }

    pub(super) fn look_again(&mut self) {
        self.to_look_at = self.records.keys().copied().collect();
    }

    pub(super) fn rotted(&mut self, upload: ClientUploadId) {
        self.with(upload, |record| record.rotted = true);
    }

    pub(super) fn lost_by_store(&mut self, session: &Session) {
        if session.lost_by_store {
            self.with(session.idempotency_key.client_upload_id, |record| {
                record.lost_by_store = true;
            });
        }
    }

    pub(super) fn urls_given_up(&mut self) {
        self.urls.clear();
    }

    /// All that one life of the host knew is gone.
    pub(super) fn host_died(&mut self) {
        self.actions.clear();
        self.urls.clear();
        for record in self.records.values_mut() {
            record.source = None;
            record.knows_stored = false;
            record.reacting_to = None;
            record.status = None;
            record.looked_at_ms = None;
        }
    }

    pub(super) fn restored(&mut self, checkpoint: &Checkpoint) {
        self.with(checkpoint.client_upload_id, |record| {
            record.paused = checkpoint.intent == CheckpointIntent::Paused;
            record.cancelled = checkpoint.intent == CheckpointIntent::Cancelled;
            record.forgotten = false;
        });
    }

    fn remember_urls(&mut self, parts: &[SignedPart], asked_at_ms: u64) {
        for part in parts {
            let expires_at_ms = asked_at_ms + u64::from(part.expires_in_seconds) * 1000;
            self.urls.insert(part.url.expose().to_owned(), expires_at_ms);
        }
    }
}

impl World {
    pub(super) fn note_outcome(&mut self, outstanding: &Outstanding, outcome: &Outcome) {
        match (&outstanding.kind, outcome) {
            (Kind::Call, Outcome::Started(response)) => {
                self.oracle.remember_urls(&response.parts, outstanding.since_ms);
            }
            (Kind::Call, Outcome::StartedMany(response)) => {
                for result in &response.results {
                    if let StartBatchResult::Session(session) = result {
                        self.oracle.remember_urls(&session.parts, outstanding.since_ms);
                    }
                }
            }
            (Kind::Call, Outcome::Signed(response)) => {
                self.oracle.remember_urls(&response.parts, outstanding.since_ms);
            }
            (Kind::Save(upload), Outcome::Failed(_)) => {
                self.oracle.with(*upload, |record| record.save_failed = true);
            }
            (Kind::Call, Outcome::Session(response)) => {
                let session = self.backend.session(response.upload_session_id);
                if let Some(upload) = session.map(|session| session.idempotency_key.client_upload_id) {
                    let knows = !response.parts.is_empty();
                    self.oracle.with(upload, |record| record.knows_stored = knows);
                }
            }
            (Kind::Put { upload, .. }, Outcome::Put) => {
                self.oracle.with(*upload, |record| record.knows_stored = true);
            }
            (Kind::Put { .. }, Outcome::Failed(_)) => self.oracle.unconfirmed_puts += 1,
            _ => {}
        }
    }

    /// Parts whose sending was stopped before an answer came.
    pub(super) fn note_stopped(&mut self, outstanding: &Outstanding) {
        if let Kind::Put { .. } = outstanding.kind {
            self.oracle.unconfirmed_puts += 1;
        }
    }

    /// Checks an output before it is carried out.
    pub(super) fn check_output(&mut self, output: &Output) -> Result<(), Violation> {
        if self.report.outputs.is_multiple_of(16) || self.tell.is_some() {
            let printed = format!("{output:?}");
            if printed.contains("X-Amz-Signature") {
                return self.violation("no signature is printed", printed);
            }
        }
        let Output::Action(id, action) = output else {
            return Ok(());
        };
        if !self.oracle.actions.insert(*id) {
            return self.violation("an action id is never used twice", format!("{id:?}"));
        }
        match action {
            Action::HashPart { upload, source, .. } => {
                self.check_not_cancelled(*upload, action)?;
                self.check_source(*source, action)
            }
            Action::StagePart { upload, source, .. } => {
                self.check_not_cancelled(*upload, action)?;
                self.check_source(*source, action)?;
                self.check_accepted(*upload, *source, action)
            }
            Action::PutPart { .. } => self.check_put(action),
            Action::Start { key, .. } => self.check_start(key.client_upload_id),
            Action::StartMany { request } => {
                for item in &request.starts {
                    match item.idempotency_key.parse::<IdempotencyKey>() {
                        Ok(key) => self.check_start(key.client_upload_id)?,
                        Err(error) => return self.violation("idempotency keys are valid", error.to_string()),
                    }
                }
                self.check_batch(request.starts.len(), action)
            }
            Action::CompleteMany { request } => {
                for item in &request.completes {
                    self.check_complete(item.upload_session_id)?;
                }
                self.check_batch(request.completes.len(), action)
            }
            Action::Call {
                upload,
                session,
                call,
                ..
            } => self.check_call(*upload, *session, call, action),
            Action::Forget { upload } => {
                self.oracle.with(*upload, |record| record.forgotten = true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_start(&mut self, upload: ClientUploadId) -> Result<(), Violation> {
        let saved = self.disk.checkpoints.contains_key(&upload);
        let record = self.oracle.records.get_mut(&upload);
        let excused = record.is_some_and(|record| {
            record.requested = true;
            record.save_failed
        });
        if !saved && !excused {
            return self.violation(
                "the checkpoint is saved before the first request",
                format!("{upload} starts without one"),
            );
        }
        Ok(())
    }

    fn check_batch(&mut self, items: usize, action: &Action) -> Result<(), Violation> {
        self.report.shared_calls += 1;
        if !(2..=BATCH_LENGTH_MAX).contains(&items) {
            return self.violation("a call for many is for 2 to 100", format!("{items}: {action:?}"));
        }
        Ok(())
    }

    fn check_not_cancelled(&self, upload: ClientUploadId, action: &Action) -> Result<(), Violation> {
        let record = self.oracle.records.get(&upload);
        if record.is_some_and(|record| record.cancelled) {
            return self.violation("nothing but cleanup follows a cancel", format!("{action:?}"));
        }
        Ok(())
    }

    fn check_source(&self, source: SourceId, action: &Action) -> Result<(), Violation> {
        if self.oracle.refused.contains(&source) || self.oracle.released.contains(&source) {
            return self.violation(
                "a file that was refused or released is not touched",
                format!("{action:?}"),
            );
        }
        Ok(())
    }

    fn check_accepted(
        &self,
        upload: ClientUploadId,
        source: SourceId,
        action: &Action,
    ) -> Result<(), Violation> {
        let record = self.oracle.records.get(&upload);
        if record.is_some_and(|record| record.source != Some(source)) {
            return self.violation("only the accepted file is sent or staged", format!("{action:?}"));
        }
        Ok(())
    }

    fn check_call(
        &self,
        upload: ClientUploadId,
        session: SessionId,
        call: &SessionCall,
        action: &Action,
    ) -> Result<(), Violation> {
        match call {
            SessionCall::Abort => return Ok(()),
            SessionCall::Complete(_) => self.check_complete(session)?,
            _ => {}
        }
        self.check_not_cancelled(upload, action)
    }

    fn check_complete(&self, session: SessionId) -> Result<(), Violation> {
        let Some(session) = self.backend.session(session) else {
            return self.violation("only known sessions are completed", format!("{session}"));
        };
        let open = matches!(session.state, State::Open | State::Sealed(_));
        let missing = self.backend.held(session).iter().position(Option::is_none);
        match missing {
            Some(index) if open && !session.lost_by_store => self.violation(
                "complete is only asked for with all parts at the store",
                format!("part {} of {} is missing", index + 1, session.idempotency_key),
            ),
            _ => Ok(()),
        }
    }

    fn check_put(&mut self, action: &Action) -> Result<(), Violation> {
        let Action::PutPart {
            upload,
            part,
            range,
            bytes,
            url,
            ..
        } = action
        else {
            return Ok(());
        };
        self.check_not_cancelled(*upload, action)?;
        if self
            .oracle
            .records
            .get(upload)
            .is_some_and(|record| record.paused)
        {
            return self.violation("a paused upload sends nothing", format!("{action:?}"));
        }
        if let PartBytes::Source(source) = bytes {
            self.check_source(*source, action)?;
            self.check_accepted(*upload, *source, action)?;
        }
        let puts = self
            .host
            .outstanding
            .values()
            .filter_map(|outstanding| match &outstanding.kind {
                Kind::Put { upload, part } => Some((*upload, *part)),
                _ => None,
            });
        let mut in_flight = 0;
        for put in puts {
            in_flight += 1;
            if put == (*upload, *part) {
                return self.violation("a part is in flight once", format!("part {part} of {upload}"));
            }
        }
        if in_flight >= self.config.parts_in_flight_max {
            return self.violation(
                "parts in flight stay below the cap",
                format!("{} of {}", in_flight + 1, self.config.parts_in_flight_max),
            );
        }
        let now_ms = self.host_now().as_millis();
        match self.oracle.urls.get(url.expose()) {
            Some(expires_at_ms) if *expires_at_ms > now_ms => {}
            known => {
                return self.violation(
                    "no URL is used that is known to have expired",
                    format!("part {part} of {upload} at {now_ms} ms, its URL expired at {known:?}"),
                );
            }
        }
        self.check_grant(*part, range.size_bytes(), url)
    }

    fn check_grant(&self, part: PartNumber, size_bytes: u64, url: &PresignedUrl) -> Result<(), Violation> {
        let Some(grant) = self.backend.store.grant(url) else {
            return self.violation("only URLs that were given are used", format!("{url}"));
        };
        let other_part = match &grant.target {
            Target::Part { part: signed, .. } => *signed != part,
            Target::Object { .. } => part != PartNumber::FIRST,
        };
        if other_part || grant.size_bytes != size_bytes {
            return self.violation(
                "a URL is used for the part it was given for",
                format!("part {part} with {size_bytes} bytes, the URL is for {grant:?}"),
            );
        }
        Ok(())
    }

    /// A part has arrived at the store.
    pub(super) fn check_stored(&self, url: &PresignedUrl, bytes: Bytes) -> Result<(), Violation> {
        let Some(grant) = self.backend.store.grant(url) else {
            return Ok(());
        };
        let (part, session) = match &grant.target {
            Target::Part { multipart, part } => {
                let of_it = |session: &&Session| session.multipart == Some(*multipart);
                (*part, self.backend.sessions().iter().find(of_it))
            }
            Target::Object { key } => {
                let of_it = |session: &&Session| session.key == *key;
                (PartNumber::FIRST, self.backend.sessions().iter().find(of_it))
            }
        };
        let Some(session) = session else { return Ok(()) };
        let upload = session.idempotency_key.client_upload_id;
        let Some(record) = self.oracle.records.get(&upload) else {
            return Ok(());
        };
        let expected = Bytes::of(record.file.content, session.layout.range(part));
        if bytes != expected && record.former.is_empty() {
            return self.violation(
                "every byte is stored at its offset and equal to the source",
                format!("part {part} of {upload} is {bytes:?} instead of {expected:?}"),
            );
        }
        Ok(())
    }

    /// The store holds the whole file under a completed session's key.
    pub(super) fn is_object_whole(&self, upload: ClientUploadId) -> bool {
        let Some(record) = self.oracle.records.get(&upload) else {
            return false;
        };
        let is_of = |session: &Session, content: Content| {
            let parts = self.backend.store.object(&session.key);
            parts.is_some_and(|parts| parts.iter().copied().eq(cut(content, session.layout)))
        };
        let mut contents = record.former.iter().chain([&record.file.content]);
        let completed = |session: &&Session| matches!(session.state, State::Completed(_));
        let sessions: Vec<_> = self.sessions_of(upload).filter(completed).collect();
        contents.any(|content| sessions.iter().any(|session| is_of(session, *content)))
    }

    pub(super) fn sessions_of(&self, upload: ClientUploadId) -> impl Iterator<Item = &Session> {
        let sessions = self.backend.sessions().iter();
        sessions.filter(move |session| session.idempotency_key.client_upload_id == upload)
    }

    pub(super) fn on_event(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Safe(upload) => self.on_safe(upload),
            Event::Completed(upload) if !self.is_object_whole(upload) => self.violation(
                "completed is only said of an object that equals the file",
                format!("{upload}: {:?}", self.sessions_of(upload).collect::<Vec<_>>()),
            ),
            Event::Completed(_) => Ok(()),
            Event::Failed(upload) => {
                self.report.failures += 1;
                if self.options.preset == "calm" {
                    return self.violation("nothing fails where nothing goes wrong", format!("{upload}"));
                }
                Ok(())
            }
            Event::FileRefused {
                upload,
                source,
                reason,
                ..
            } => self.on_refused(upload, source, &reason),
            Event::FileAccepted { upload, source } => self.on_accepted(upload, source),
            Event::SourceReleased(source) => {
                self.oracle.released.insert(source);
                self.host.sources.remove(&source);
                Ok(())
            }
        }
    }

    fn on_safe(&mut self, upload: ClientUploadId) -> Result<(), Violation> {
        let Some(record) = self.oracle.records.get(&upload) else {
            return Ok(());
        };
        let excused = record.rotted || record.lost_by_store || self.proving.is_some();
        let proofs = self.oracle.proofs.entry(upload).or_default();
        if excused || *proofs >= PROOFS_MAX {
            return Ok(());
        }
        *proofs += 1;
        self.prove_safe(upload)
    }

    fn on_refused(
        &mut self,
        upload: ClientUploadId,
        source: SourceId,
        reason: &str,
    ) -> Result<(), Violation> {
        self.report.refused += 1;
        self.oracle.refused.insert(source);
        let readable = self
            .host
            .sources
            .remove(&source)
            .is_some_and(|source| source.readable);
        let Some((content, plan)) = self.oracle.offers.get(&source).copied() else {
            return self.violation("only files that were offered are refused", format!("{source:?}"));
        };
        let record = self.oracle.records.get(&upload);
        let right = record.is_some_and(|record| record.file.content == content);
        let replaced = record.is_some_and(|record| !record.former.is_empty());
        if right && readable && !replaced {
            return self.violation("the right file is not refused", format!("{upload}: {reason}"));
        }
        if right && replaced && self.oracle.refuses_again(upload) {
            // A part of the first file has turned up: no file fits any more.
            self.after(1_000, WorldEvent::Person(PersonEvent::Cancel(upload)));
        }
        if let Some(file) = plan {
            self.after(
                2_000,
                WorldEvent::Person(PersonEvent::Pick { file, as_new: true }),
            );
        }
        Ok(())
    }

    fn on_accepted(&mut self, upload: ClientUploadId, source: SourceId) -> Result<(), Violation> {
        let Some((content, _)) = self.oracle.offers.get(&source).copied() else {
            return self.violation("only files that were offered are accepted", format!("{source:?}"));
        };
        let open = |session: &Session| matches!(session.state, State::Open | State::Sealed(_));
        let held = self
            .sessions_of(upload)
            .any(|session| open(session) && self.backend.held(session).iter().any(Option::is_some));
        let staged = !self.disk.list(upload).is_empty();
        let Some(record) = self.oracle.records.get_mut(&upload) else {
            return Ok(());
        };
        record.source = Some(source);
        if record.file.content == content {
            return Ok(());
        }
        // A part that was still on its way when the store was asked can't be compared with.
        let stored = held && record.knows_stored && self.backend.checksum;
        // Where the checkpoint with the server's cut could not be written, a copy of that cut may be on disk
        // that the engine had to give up, and that a broken disk did not delete.
        let staged = staged && !record.save_failed;
        if stored || staged {
            let detail = format!("{upload}: stored {stored}, staged {staged}");
            return self.violation("a file that differs from what is at hand is refused", detail);
        }
        let former = std::mem::replace(&mut record.file.content, content);
        record.former.push(former);
        Ok(())
    }
}
