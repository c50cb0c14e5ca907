//! What must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use upload_engine::{
    Action, ActionId, Durability, Event, Outcome, Output, PartBytes, SessionCall, SourceId, UploadSnapshot,
    UploadStatus,
};
use upload_protocol::{
    Checkpoint, CheckpointIntent, ClientUploadId, PartNumber, PresignedUrl, SessionId, SignedPart,
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
struct Record {
    file: PickedFile,
    plan: Option<usize>,
    /// The file that the engine may send from.
    source: Option<SourceId>,
    paused: bool,
    cancelled: bool,
    /// A request was made for it.
    requested: bool,
    /// Its checkpoint could not be written at some time.
    save_failed: bool,
    forgotten: bool,
    gone: bool,
    rotted: bool,
    lost_by_store: bool,
    /// Another file was taken for it, rightly: nothing of the first one was anywhere.
    replaced: bool,
    walks_away: bool,
    reacting_to: Option<UploadStatus>,
    wrong_picks: u32,
    resumes: u32,
    status: Option<UploadStatus>,
    error: String,
    looked_at_ms: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    records: BTreeMap<ClientUploadId, Record>,
    offers: BTreeMap<SourceId, (Content, Option<usize>)>,
    refused: BTreeSet<SourceId>,
    released: BTreeSet<SourceId>,
    actions: BTreeSet<ActionId>,
    /// When the URLs at hand expire, by the host's clock.
    urls: BTreeMap<String, u64>,
    to_look_at: BTreeSet<ClientUploadId>,
    /// Parts that were sent and of which the engine never learned that they arrived.
    unconfirmed_puts: u64,
    proofs: BTreeMap<ClientUploadId, u32>,
}

/// Snapshots of an upload with many parts are looked at once in so many ms.
const LOOK_MS: u64 = 5_000;

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
                replaced: false,
                walks_away,
                reacting_to: None,
                wrong_picks: 0,
                resumes: 0,
                status: None,
                error: String::new(),
                looked_at_ms: None,
            },
        );
    }

    fn with(&mut self, upload: ClientUploadId, change: impl FnOnce(&mut Record)) {
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
            !record.paused && matches!(record.status, Some(UploadStatus::Uploading | UploadStatus::Queued))
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

    pub(super) fn look_again(&mut self) {
        self.to_look_at = self.records.keys().copied().collect();
    }

    pub(super) fn rotted(&mut self, upload: ClientUploadId) {
        self.with(upload, |record| record.rotted = true);
    }

    pub(super) fn lost_by_store(&mut self, session: &Session) {
        if session.lost_by_store {
            self.with(session.idempotency_key.client_upload_id, |record| record.lost_by_store = true);
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
            (Kind::Call, Outcome::Signed(response)) => {
                self.oracle.remember_urls(&response.parts, outstanding.since_ms);
            }
            (Kind::Save(upload), Outcome::Failed(_)) => {
                self.oracle.with(*upload, |record| record.save_failed = true);
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
            Action::Start { key, .. } => {
                let upload = key.client_upload_id;
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
            Action::Call {
                upload, session, call, ..
            } => self.check_call(*upload, *session, call, action),
            Action::Forget { upload } => {
                self.oracle.with(*upload, |record| record.forgotten = true);
                Ok(())
            }
            _ => Ok(()),
        }
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
            return self.violation("a file that was refused or released is not touched", format!("{action:?}"));
        }
        Ok(())
    }

    fn check_accepted(&self, upload: ClientUploadId, source: SourceId, action: &Action) -> Result<(), Violation> {
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
        if self.oracle.records.get(upload).is_some_and(|record| record.paused) {
            return self.violation("a paused upload sends nothing", format!("{action:?}"));
        }
        if let PartBytes::Source(source) = bytes {
            self.check_source(*source, action)?;
            self.check_accepted(*upload, *source, action)?;
        }
        let puts = self.host.outstanding.values().filter_map(|outstanding| match &outstanding.kind {
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
        if bytes != expected && !record.replaced {
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
        self.sessions_of(upload).any(|session| {
            matches!(session.state, State::Completed(_))
                && self
                    .backend
                    .store
                    .object(&session.key)
                    .is_some_and(|parts| parts.iter().copied().eq(cut(record.file.content, session.layout)))
        })
    }

    fn sessions_of(&self, upload: ClientUploadId) -> impl Iterator<Item = &Session> {
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
            Event::FileRefused { upload, source, reason, .. } => self.on_refused(upload, source, &reason),
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

    fn on_refused(&mut self, upload: ClientUploadId, source: SourceId, reason: &str) -> Result<(), Violation> {
        self.report.refused += 1;
        self.oracle.refused.insert(source);
        let readable = self.host.sources.remove(&source).is_some_and(|source| source.readable);
        let Some((content, plan)) = self.oracle.offers.get(&source).copied() else {
            return self.violation("only files that were offered are refused", format!("{source:?}"));
        };
        let right = self
            .oracle
            .records
            .get(&upload)
            .is_some_and(|record| record.file.content == content);
        if right && readable {
            return self.violation("the right file is not refused", format!("{upload}: {reason}"));
        }
        if let Some(file) = plan {
            self.after(2_000, WorldEvent::Person(PersonEvent::Pick { file, as_new: true }));
        }
        Ok(())
    }

    fn on_accepted(&mut self, upload: ClientUploadId, source: SourceId) -> Result<(), Violation> {
        let Some((content, _)) = self.oracle.offers.get(&source).copied() else {
            return self.violation("only files that were offered are accepted", format!("{source:?}"));
        };
        let stored = self.sessions_of(upload).any(|session| {
            matches!(session.state, State::Open | State::Sealed(_))
                && self.backend.held(session).iter().any(Option::is_some)
        });
        let staged = !self.disk.list(upload).is_empty();
        let Some(record) = self.oracle.records.get_mut(&upload) else {
            return Ok(());
        };
        record.source = Some(source);
        if record.file.content == content {
            return Ok(());
        }
        if stored || staged {
            let detail = format!("{upload}: stored {stored}, staged {staged}");
            return self.violation("a file that differs from what is at hand is refused", detail);
        }
        record.file.content = content;
        record.replaced = true;
        Ok(())
    }

    /// Looks at the snapshots that may have changed.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        let Some(engine) = &mut self.host.engine else {
            return Ok(());
        };
        let changed = engine.take_changed();
        self.oracle.to_look_at.extend(changed);
        let due: Vec<_> = self.oracle.to_look_at.iter().copied().filter(|upload| self.is_due(*upload)).collect();
        for upload in due {
            self.oracle.to_look_at.remove(&upload);
            self.look_at(upload)?;
        }
        Ok(())
    }

    /// A snapshot has a cell for each part: many parts are looked at now and then only.
    fn is_due(&self, upload: ClientUploadId) -> bool {
        let Some(record) = self.oracle.records.get(&upload) else {
            return true;
        };
        let small = record.file.size_bytes / self.options.part_size_bytes < 200;
        small || record.looked_at_ms.is_none_or(|at| self.now_ms >= at + LOOK_MS)
    }

    fn look_at(&mut self, upload: ClientUploadId) -> Result<(), Violation> {
        let now = self.host_now();
        let engine = self.host.engine.as_ref();
        let Some(snapshot) = engine.and_then(|engine| engine.snapshot(now, upload)) else {
            return Ok(());
        };
        self.check_snapshot(&snapshot)?;
        let now_ms = self.now_ms;
        self.oracle.with(upload, |record| {
            record.looked_at_ms = Some(now_ms);
            record.status = Some(snapshot.status);
            record.error = snapshot.error.as_ref().map(|error| format!("{error:?}")).unwrap_or_default();
        });
        self.react(upload, snapshot.status)
    }

    fn check_snapshot(&self, snapshot: &UploadSnapshot) -> Result<(), Violation> {
        let upload = snapshot.upload;
        let counts = snapshot.confirmed_bytes <= snapshot.sent_bytes && snapshot.sent_bytes <= snapshot.size_bytes;
        if !counts || snapshot.staged_bytes > snapshot.size_bytes {
            return self.violation("a snapshot's numbers fit each other", format!("{snapshot:?}"));
        }
        if (snapshot.status == UploadStatus::Waiting) != snapshot.waiting_for.is_some() {
            return self.violation("waiting names what it waits for", format!("{snapshot:?}"));
        }
        if (snapshot.status == UploadStatus::Failed) && snapshot.error.is_none() {
            return self.violation("a failure says why", format!("{snapshot:?}"));
        }
        if snapshot.error.as_ref().is_some_and(|error| error.detail.contains("X-Amz-Signature")) {
            return self.violation("no signature is printed", format!("{snapshot:?}"));
        }
        if snapshot.status == UploadStatus::Completed && !self.is_object_whole(upload) {
            return self.violation("completed is only said of an object that equals the file", format!("{upload}"));
        }
        if snapshot.durability == Durability::Safe {
            return self.check_safe(upload);
        }
        Ok(())
    }

    /// `safe`, by looking at disk and store.
    fn check_safe(&self, upload: ClientUploadId) -> Result<(), Violation> {
        let Some(record) = self.oracle.records.get(&upload) else {
            return Ok(());
        };
        if record.rotted || record.lost_by_store || record.cancelled || self.is_object_whole(upload) {
            return Ok(());
        }
        let live = |session: &&Session| matches!(session.state, State::Open | State::Sealed(_));
        let session = self.sessions_of(upload).filter(live).last();
        let checkpoint = self.disk.checkpoints.get(&upload);
        let sealed = session.is_some_and(|session| matches!(session.state, State::Sealed(_)));
        let layout = checkpoint.map(|checkpoint| checkpoint.layout).or(session.map(|session| session.layout));
        let Some(layout) = layout else {
            return self.violation("`safe` is true", format!("{upload} has neither checkpoint nor session"));
        };
        let held = session.map(|session| self.backend.held(session)).unwrap_or_default();
        let staged: BTreeSet<_> = self.disk.list(upload).iter().map(|staged| staged.part).collect();
        let lost = layout.parts().find(|part| {
            let stored = held.get(part.index() as usize).is_some_and(Option::is_some);
            !stored && (checkpoint.is_none() || !staged.contains(part))
        });
        match lost {
            Some(part) => self.violation("`safe` is true", format!("part {part} of {upload} is nowhere")),
            None if checkpoint.is_none() && !sealed => {
                self.violation("`safe` is true", format!("{upload} has no checkpoint and isn't sealed"))
            }
            None => Ok(()),
        }
    }

    /// The host starts again: what has asked for anything must still be known.
    pub(super) fn check_nothing_vanished(&mut self) -> Result<(), Violation> {
        let missing: Vec<_> = self
            .oracle
            .records
            .iter()
            .filter(|(upload, record)| !record.gone && !self.disk.checkpoints.contains_key(upload))
            .map(|(upload, record)| (*upload, record.clone()))
            .collect();
        for (upload, record) in missing {
            if record.requested && !record.forgotten && !record.save_failed {
                return self.violation("an upload that was begun survives its host", format!("{upload}"));
            }
            self.oracle.with(upload, |record| record.gone = true);
            let again = !record.forgotten && !record.cancelled && self.proving.is_none();
            if let Some(file) = record.plan.filter(|_| again) {
                self.after(1_000, WorldEvent::Person(PersonEvent::Pick { file, as_new: true }));
            }
        }
        Ok(())
    }

    /// Nothing will happen any more without a person who has walked away.
    pub(super) fn all_at_rest(&self) -> bool {
        let Some(engine) = &self.host.engine else { return false };
        engine.snapshots(self.host_now()).iter().all(|snapshot| match snapshot.status {
            UploadStatus::Completed | UploadStatus::Cancelled => true,
            UploadStatus::NeedsFile => self.proving.is_some() || self.oracle.walks_away(snapshot.upload),
            UploadStatus::Paused | UploadStatus::Failed => self.proving.is_some(),
            _ => false,
        })
    }

    pub(super) fn describe_stuck(&self) -> String {
        let Some(engine) = &self.host.engine else {
            return "the host is dead".to_owned();
        };
        let stuck = engine.snapshots(self.host_now()).into_iter().filter(|snapshot| {
            !matches!(snapshot.status, UploadStatus::Completed | UploadStatus::Cancelled)
        });
        let stuck: Vec<_> = stuck.map(|snapshot| format!("{snapshot:?}")).collect();
        format!(
            "{} outstanding {:?}, stuck: {}",
            self.host.outstanding.len(),
            self.host.outstanding.values().next(),
            stuck.join("; ")
        )
    }

    /// What must hold when everything has come to its end.
    pub(super) fn check_end(&mut self) -> Result<(), Violation> {
        self.backend.tick();
        let now = self.host_now();
        let Some(engine) = &self.host.engine else {
            return self.violation("the host lives in the end", "");
        };
        let snapshots = engine.snapshots(now);
        for snapshot in &snapshots {
            self.check_snapshot(snapshot)?;
            let upload = snapshot.upload;
            match snapshot.status {
                UploadStatus::Completed => self.report.completed += 1,
                UploadStatus::Cancelled => self.report.cancelled += 1,
                _ => {
                    self.report.needs_file += 1;
                    continue;
                }
            }
            if let Some(session) = self.sessions_of(upload).find(|session| self.backend.is_orphan(session)) {
                let detail = format!("{upload} is {:?}, left {session:?}", snapshot.status);
                return self.violation("nothing is left at the store of what has ended", detail);
            }
            if self.disk.holds(upload) {
                let detail = format!("{upload} is {:?}", snapshot.status);
                return self.violation("nothing is left on disk of what has ended", detail);
            }
        }
        let again = self.backend.store.stored_again;
        if again > self.oracle.unconfirmed_puts {
            return self.violation(
                "only parts without an answer are sent again",
                format!("{again} again, {} without an answer", self.oracle.unconfirmed_puts),
            );
        }
        Ok(())
    }
}
