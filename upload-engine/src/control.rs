//! The calls that start, fetch, seal, complete and abort a session, one at a time, and the checkpoint.

use upload_protocol::{
    CHECKPOINT_VERSION, Checkpoint, CheckpointIntent, CheckpointSession, ChecksumAlgorithm,
    CompleteBatchItem, CompleteRequest, CompleteResponse, ErrorCode, HashedPart, IdempotencyKey, PartLayout,
    SealRequest, SessionStatus, StartBatchItem, StartRequest, StartResponse,
};

use crate::action::{Action, ActionId, Failure, Outcome, SessionCall};
use crate::context::Context;
use crate::part::{PartTable, Sent, SignedUrl};
use crate::retry::{CallVerdict, classify_call};
use crate::snapshot::{UploadError, WaitingFor};
use crate::time::Timestamp;
use crate::upload::{Pending, Phase, Upload, unexpected};

/// Which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ControlCall {
    Start,
    Fetch,
    Seal,
    Complete,
    Abort,
}

/// A lane of calls of which one at a time is under way, with its back-off.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    state: LaneState,
    failures: u32,
    /// The last failure was for want of credentials.
    awaits_credentials: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum LaneState {
    #[default]
    Free,
    InFlight(ActionId),
    Waiting(Timestamp),
}

impl Lane {
    pub(crate) fn is_free(&self) -> bool {
        self.state == LaneState::Free
    }

    /// Ends a wait whose time has come.
    pub(crate) fn release_due(&mut self, now: Timestamp) {
        if self.not_before().is_some_and(|until| until <= now) {
            self.state = LaneState::Free;
        }
    }

    pub(crate) fn sent(&mut self, id: ActionId) {
        self.state = LaneState::InFlight(id);
    }

    pub(crate) fn answered(&mut self) {
        self.state = LaneState::Free;
    }

    pub(crate) fn stopped(&mut self) {
        self.state = LaneState::Free;
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.awaits_credentials = false;
    }

    /// The call failed; the lane is closed for a while.
    pub(crate) fn back_off(&mut self, cx: &mut Context, retry_after_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.awaits_credentials = false;
        self.state = LaneState::Waiting(cx.retry_at(self.failures, retry_after_ms));
    }

    /// The call was refused for want of credentials; the lane is closed until there are others, but no
    /// longer than after any failure: the server may change its mind.
    pub(crate) fn await_credentials(&mut self, cx: &mut Context) {
        self.back_off(cx, 0);
        self.awaits_credentials = true;
    }

    /// There are other credentials: ends a wait for them.
    pub(crate) fn on_credentials(&mut self) {
        if self.awaits_credentials {
            self.retry_now();
        }
    }

    /// Closed until `at` without a failure of the lane's own.
    pub(crate) fn wait_until(&mut self, at: Timestamp) {
        self.state = LaneState::Waiting(at);
    }

    /// Ends a wait.
    pub(crate) fn retry_now(&mut self) {
        if let LaneState::Waiting(_) = self.state {
            self.state = LaneState::Free;
        }
    }

    /// Ends a wait and forgets failures.
    pub(crate) fn clear(&mut self) {
        self.retry_now();
        self.succeeded();
    }

    pub(crate) fn in_flight(&self) -> Option<ActionId> {
        match self.state {
            LaneState::InFlight(id) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        match self.state {
            LaneState::Waiting(until) => Some(until),
            _ => None,
        }
    }

    /// Its last call failed and the next one hasn't been answered.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// What its next call waits for, where the last one failed.
    pub(crate) fn waits_for(&self) -> WaitingFor {
        if self.awaits_credentials {
            WaitingFor::Credentials
        } else {
            WaitingFor::Server
        }
    }
}

impl Upload {
    /// Saves the checkpoint when it isn't what it should be, one write at a time.
    pub(crate) fn drive_save(&mut self, cx: &mut Context) {
        let ended = matches!(self.phase, Phase::Completed | Phase::Cancelled);
        if !self.unsaved || ended || self.is_saving() || self.deletes_stale_parts() {
            return;
        }
        if self.stale_part_stays {
            // As if it could not be written: the one on disk is the lesser evil.
            self.unsaved = false;
            return self.on_saved(cx, *self.parts.layout(), false);
        }
        self.unsaved = false;
        let checkpoint = Box::new(self.checkpoint());
        let layout = checkpoint.layout;
        let id = cx.act(self.id, Action::SaveCheckpoint { checkpoint });
        self.pending.insert(id, Pending::Save(layout));
    }

    /// Parts that must never be sent are still on disk, or on their way there. Until they are gone no
    /// checkpoint may be written: the last part of one layout can be as long as any part of another, and
    /// a later visit would take it for its own.
    fn deletes_stale_parts(&self) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Free { stale, .. } => *stale,
            Pending::Stage(job) => job.layout != *self.parts.layout(),
            _ => false,
        })
    }

    /// A part has been deleted from disk, or could not be.
    pub(crate) fn on_freed(&mut self, cx: &mut Context, stale: bool, size_bytes: u64, freed: bool) {
        if freed {
            cx.room.on_freed(size_bytes);
        }
        self.staging_blocked = false;
        self.stale_part_stays |= stale && !freed;
    }

    /// Hosts forget a checkpoint that nobody has saved for a week: one that still counts is saved anew.
    pub(crate) fn renew_checkpoint(&mut self, cx: &Context) {
        if self.next_renewal().is_some_and(|at| at <= cx.now) {
            self.saved_at = None;
            self.unsaved = true;
        }
    }

    pub(crate) fn next_renewal(&self) -> Option<Timestamp> {
        let counts = self.resumable && !self.has_ended();
        self.saved_at
            .filter(|_| counts)
            .map(|at| at + CHECKPOINT_RENEWAL_MS)
    }

    pub(crate) fn on_saved(&mut self, cx: &Context, layout: PartLayout, saved: bool) {
        self.resumable = saved;
        self.saved_at = saved.then_some(cx.now);
        if saved {
            self.saved_layout = Some(layout);
        }
        if self.phase == Phase::Preparing && !self.unsaved {
            self.phase = Phase::Starting;
        }
    }

    /// Deletes what an ended upload left on disk, once nothing is being written any more.
    pub(crate) fn drive_forget(&mut self, cx: &mut Context) {
        let ended = matches!(self.phase, Phase::Completed | Phase::Cancelled);
        let writing = self.pending.values().any(|pending| {
            matches!(
                pending,
                Pending::Save(_) | Pending::Stage(_) | Pending::Free { .. }
            )
        });
        if ended && !self.forgotten && !writing {
            self.forgotten = true;
            let id = cx.act(self.id, Action::Forget { upload: self.id });
            self.pending.insert(id, Pending::Forget);
        }
    }

    /// Makes the call that the phase asks for, when none is under way. What many small files ask for is
    /// gathered, see [`crate::calls`].
    pub(crate) fn drive_control(&mut self, cx: &mut Context) {
        let Some(call) = self.wanted_call() else {
            if self.phase == Phase::Cancelling && self.control.is_free() {
                self.end(cx, Phase::Cancelled);
            }
            return;
        };
        let is_shared = matches!(call, ControlCall::Start | ControlCall::Complete);
        if is_shared && self.parts.layout().is_single() {
            cx.calls.want(cx.now, call, self.id);
            return;
        }
        let Some(action) = self.control_action(cx, call) else {
            return;
        };
        let id = cx.act(self.id, action);
        self.on_call_sent(cx, call, id);
    }

    /// The call to be made now.
    pub(crate) fn wanted_call(&self) -> Option<ControlCall> {
        self.next_control_call().filter(|_| self.control.is_free())
    }

    /// The call is on its way, alone or with those of others.
    pub(crate) fn on_call_sent(&mut self, cx: &Context, call: ControlCall, id: ActionId) {
        self.start_sent |= call == ControlCall::Start;
        self.control.sent(id);
        let sent_at = cx.now;
        self.pending.insert(id, Pending::Control { call, sent_at });
    }

    fn next_control_call(&self) -> Option<ControlCall> {
        match self.phase {
            Phase::Starting => {
                // A session of an earlier visit is worth knowing even with nothing to send: what it holds
                // tells the right file from a wrong one.
                let useful = self.earlier_start || !self.parts.to_sign().is_empty();
                (!self.paused && useful).then_some(ControlCall::Start)
            }
            Phase::Fetching => (!self.paused).then_some(ControlCall::Fetch),
            Phase::Sending => {
                let seal = !self.paused && !self.sealed && self.verify.is_none() && self.parts.all_hashed();
                seal.then_some(ControlCall::Seal)
            }
            Phase::Completing => Some(ControlCall::Complete),
            Phase::Discarding => Some(ControlCall::Abort),
            Phase::Cancelling if self.session.is_some() => Some(ControlCall::Abort),
            Phase::Cancelling => self.start_sent.then_some(ControlCall::Start),
            _ => None,
        }
    }

    /// The call by itself.
    pub(crate) fn control_action(&self, cx: &Context, call: ControlCall) -> Option<Action> {
        if call == ControlCall::Start {
            return Some(Action::Start {
                key: self.idempotency_key(),
                request: self.start_request(cx),
            });
        }
        let session = self.session.as_ref()?;
        let checksum_crc64nvme = self.parts.combined_crc();
        let call = match call {
            ControlCall::Start => return None,
            ControlCall::Fetch => SessionCall::Fetch,
            ControlCall::Seal => SessionCall::Seal(SealRequest {
                checksum_crc64nvme: checksum_crc64nvme?,
            }),
            ControlCall::Complete => SessionCall::Complete(CompleteRequest { checksum_crc64nvme }),
            ControlCall::Abort => SessionCall::Abort,
        };
        Some(Action::Call {
            upload: self.id,
            session: session.session_id,
            token: session.token.clone(),
            call,
        })
    }

    /// A start as one of many.
    pub(crate) fn start_item(&self, cx: &Context) -> StartBatchItem {
        StartBatchItem {
            idempotency_key: self.idempotency_key().to_string(),
            start: self.start_request(cx),
        }
    }

    /// A complete as one of many.
    pub(crate) fn complete_item(&self) -> Option<CompleteBatchItem> {
        let session = self.session.as_ref()?;
        Some(CompleteBatchItem {
            upload_session_id: session.session_id,
            token: session.token.clone(),
            checksum_crc64nvme: self.parts.combined_crc(),
        })
    }

    fn idempotency_key(&self) -> IdempotencyKey {
        IdempotencyKey {
            client_upload_id: self.id,
            generation: self.generation,
        }
    }

    fn start_request(&self, cx: &Context) -> StartRequest {
        let layout = self.parts.layout();
        let parts = self
            .parts
            .to_sign()
            .iter()
            .take(cx.window())
            .map(|part| HashedPart {
                part_number: *part,
                size_bytes: Some(layout.range(*part).size_bytes()),
                checksum_crc64nvme: self.parts.get(*part).crc,
            });
        StartRequest {
            file_name: self.file.name.clone(),
            size_bytes: self.file.size_bytes,
            content_type: self.file.content_type.clone(),
            part_size_bytes: cx.config.part_size_bytes,
            metadata: std::collections::BTreeMap::new(),
            checksum_algorithm: Some(ChecksumAlgorithm::Crc64Nvme),
            // Not of one that is to be aborted: the server would complete it.
            checksum_crc64nvme: (self.seals_at_start && self.phase == Phase::Starting && layout.is_single())
                .then(|| self.parts.combined_crc())
                .flatten(),
            parts: parts.collect(),
            relay: false,
        }
    }

    pub(crate) fn on_control(
        &mut self,
        cx: &mut Context,
        call: ControlCall,
        sent_at: Timestamp,
        outcome: Outcome,
    ) {
        if !matches!(outcome, Outcome::Failed(_)) {
            self.control.succeeded();
        }
        match (call, outcome) {
            (ControlCall::Start, Outcome::Started(response)) => self.on_started(cx, sent_at, *response),
            (ControlCall::Fetch, Outcome::Session(response)) => self.on_session(cx, &response),
            (ControlCall::Seal, Outcome::Sealed(_)) => self.sealed = true,
            (ControlCall::Complete, Outcome::Completed(response)) => self.on_completed(cx, &response),
            (ControlCall::Abort, Outcome::Done) if self.phase == Phase::Discarding => self.restart(cx),
            (ControlCall::Abort, Outcome::Done) => self.end(cx, Phase::Cancelled),
            (call, Outcome::Failed(failure)) => self.on_control_failed(cx, call, &failure),
            (call, other) => self.on_control_failed(cx, call, &unexpected(&other)),
        }
    }

    fn on_control_failed(&mut self, cx: &mut Context, call: ControlCall, failure: &Failure) {
        let verdict = classify_call(failure);
        if self.phase == Phase::Cancelling {
            match (call, verdict) {
                (_, CallVerdict::Backoff { retry_after_ms }) => self.control.back_off(cx, retry_after_ms),
                // Completed before it could be aborted: said as it is.
                (ControlCall::Abort, CallVerdict::AskSession) => self.end(cx, Phase::Completed),
                // No session to abort, or none that these credentials may touch.
                _ => self.end(cx, Phase::Cancelled),
            }
            return;
        }
        match verdict {
            CallVerdict::Backoff { retry_after_ms } => self.control.back_off(cx, retry_after_ms),
            CallVerdict::AwaitCredentials => self.control.await_credentials(cx),
            CallVerdict::Restart => self.restart(cx),
            CallVerdict::AskSession if self.holds_other_content(call, failure) => {
                self.stop_sending(cx);
                self.phase = Phase::Discarding;
            }
            // Sealed by an earlier start with the checksum of other bytes: only its token can end it.
            CallVerdict::AskSession if call == ControlCall::Start => {
                self.seals_at_start = false;
                self.control.back_off(cx, 0);
            }
            CallVerdict::AskSession if self.phase == Phase::Discarding => {
                self.phase = Phase::Fetching;
            }
            CallVerdict::AskSession => self.ask_session(cx),
            CallVerdict::Fail(error) => self.fail(cx, error),
        }
    }

    /// The session was sealed with the checksum of other bytes than these, and asking again won't change
    /// that. So it is when a person rightly took another file for one of which nothing was left.
    fn holds_other_content(&self, call: ControlCall, failure: &Failure) -> bool {
        let mismatch = matches!(
            failure,
            Failure::Http {
                code: Some(ErrorCode::ChecksumMismatch | ErrorCode::SizeMismatch),
                ..
            }
        );
        match call {
            ControlCall::Seal => mismatch,
            // The first time the store's list may name a part to send again.
            ControlCall::Complete => mismatch && self.doubts >= DOUBTS_MAX,
            _ => false,
        }
    }

    fn on_started(&mut self, cx: &mut Context, sent_at: Timestamp, response: StartResponse) {
        let layout = match PartLayout::from_parts(self.file.size_bytes, response.part_size_bytes) {
            Ok(layout) if layout.part_count() == response.part_count => layout,
            _ => {
                let detail = format!(
                    "the server answered {} parts of {} bytes for a file of {} bytes",
                    response.part_count, response.part_size_bytes, self.file.size_bytes
                );
                self.fail(cx, UploadError::new("invalid_answer", detail));
                return;
            }
        };
        self.session = Some(CheckpointSession {
            session_id: response.upload_session_id,
            token: response.token,
            key: response.key,
            multipart_upload_id: response.upload_id,
            mode: response.mode,
            checksum: response.checksum_algorithm.is_some(),
        });
        if self.phase == Phase::Cancelling {
            self.unsaved = true;
            return;
        }
        self.sealed = matches!(response.status, SessionStatus::Sealed | SessionStatus::Completed);
        if layout.is_single() && self.parts.layout().is_single() {
            // One part is one part, whatever its size could have been.
            self.parts.rename_layout(layout);
        } else if layout != *self.parts.layout() {
            self.adopt_layout(cx, layout);
        }
        // A file of one part is soon over, and a later visit can start it again: the same key answers the
        // same session.
        self.unsaved |= !layout.is_single() || self.saved_layout != Some(layout);
        for signed in response.parts {
            let known = self.parts.layout().contains(signed.part_number);
            if known && self.parts.to_sign().contains(&signed.part_number) {
                let url = SignedUrl::of(cx, &signed, sent_at);
                self.parts
                    .update(signed.part_number, |part| part.sent = Sent::Signed(Box::new(url)));
            }
        }
        // A start of an earlier visit may have been answered there, and parts sent.
        self.phase = if self.earlier_start {
            Phase::Fetching
        } else {
            Phase::Sending
        };
    }

    /// The server cuts the file otherwise than expected: what was hashed and staged is of no use.
    fn adopt_layout(&mut self, cx: &mut Context, layout: PartLayout) {
        for (part, crc) in self.parts.staged() {
            self.free_stale(cx, part, crc);
        }
        for (id, pending) in self.pending.clone() {
            if let Pending::Hash(_) = pending {
                self.stop(cx, id);
            }
        }
        self.parts = PartTable::new(layout);
    }

    pub(crate) fn on_completed(&mut self, cx: &mut Context, response: &CompleteResponse) {
        let ours = self.parts.combined_crc();
        let checksum_fits = match (ours, response.checksum_crc64nvme) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        if response.size_bytes == self.file.size_bytes && checksum_fits {
            self.error = None;
            self.end(cx, Phase::Completed);
        } else {
            let detail = format!(
                "the stored object has {} bytes and checksum {:?}, the file {} bytes and {:?}",
                response.size_bytes, response.checksum_crc64nvme, self.file.size_bytes, ours
            );
            self.fail(cx, UploadError::new("checksum_mismatch", detail));
        }
    }

    /// The session isn't what we believe, or the store contradicts: nothing is sent until the server
    /// has said what is true.
    pub(crate) fn ask_session(&mut self, cx: &mut Context) {
        if !matches!(self.phase, Phase::Sending | Phase::Completing | Phase::Fetching) {
            return;
        }
        self.phase = Phase::Fetching;
        self.confirmed_while_fetching.clear();
        self.doubts = self.doubts.saturating_add(1);
        if self.doubts > 1 && self.control.in_flight().is_none() {
            let at = cx.retry_at(self.doubts - 1, 0);
            self.control.wait_until(at);
        }
    }

    /// Starts a new session: the store has lost or given up the old one. What is at hand is sent again.
    pub(crate) fn restart(&mut self, cx: &mut Context) {
        if self.restarts >= RESTARTS_MAX {
            let detail =
                format!("the store gave up {RESTARTS_MAX} sessions of this upload, one after another");
            self.fail(cx, UploadError::new("session_aborted", detail));
            return;
        }
        self.stop_sending(cx);
        self.restarts += 1;
        self.begin_anew();
    }

    /// Forgets the session; the next one has an idempotency key of its own.
    pub(crate) fn begin_anew(&mut self) {
        self.generation = self.generation.saturating_add(1);
        self.session = None;
        self.sealed = false;
        self.seals_at_start = true;
        self.start_sent = false;
        self.earlier_start = false;
        self.parts.forget_sent();
        self.phase = Phase::Preparing;
        self.unsaved = true;
    }

    fn is_saving(&self) -> bool {
        self.pending
            .values()
            .any(|pending| matches!(pending, Pending::Save(_)))
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            version: CHECKPOINT_VERSION,
            client_upload_id: self.id,
            generation: self.generation,
            file: self.file.clone(),
            layout: *self.parts.layout(),
            session: self.session.clone(),
            intent: match (self.phase, self.paused) {
                (Phase::Cancelling, _) => CheckpointIntent::Cancelled,
                (_, true) => CheckpointIntent::Paused,
                (_, false) => CheckpointIntent::Run,
            },
        }
    }

    /// Closing the page loses nothing: every byte is on disk or at the store, and either a later visit
    /// or the server itself will finish. Not before there is a session: until then the server may
    /// still cut the file otherwise, and parts on disk would be of no use.
    pub(crate) fn is_safe(&self) -> bool {
        if self.phase == Phase::Completed {
            return true;
        }
        if self.parts.any_at_risk() || self.session.is_none() {
            return false;
        }
        let later_visit = self.resumable && self.saved_layout == Some(*self.parts.layout());
        later_visit || (self.sealed && self.parts.all_confirmed())
    }
}

/// How often all parts may be there and yet not be what was sealed, before the session is given up.
const DOUBTS_MAX: u32 = 2;

/// Age at which a checkpoint is saved anew: a day.
const CHECKPOINT_RENEWAL_MS: u64 = 24 * 3600 * 1000;

/// How many sessions of one upload may be lost before it fails, in one visit.
const RESTARTS_MAX: u32 = 5;
