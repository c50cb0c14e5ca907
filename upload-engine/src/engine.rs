//! All uploads of one host: who is active, who gets the next slot, whose deadline is next.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::limits::PART_COUNT_MAX;
use upload_protocol::{
    Checkpoint, ClientUploadId, CompleteBatchRequest, FileInfo, PartLayout, StartBatchRequest,
};

use crate::action::{Action, ActionId, Command, Event, Input, Outcome, Output, SourceId, StagedPart};
use crate::calls::Gate;
use crate::config::EngineConfig;
use crate::context::Context;
use crate::control::ControlCall;
use crate::indexes::Indexes;
use crate::owners::Owner;
use crate::recorder::{Outputs, Recorder, Recording};
use crate::shares::shares;
use crate::snapshot::{Durability, UploadError, UploadSnapshot, UploadStatus};
use crate::time::Timestamp;
use crate::upload::{Phase, Upload};

/// The upload engine.
///
/// Three verbs move it, always with the time of the host's monotonic clock:
/// 1. [`Engine::command`]: a person or host wants something.
/// 2. [`Engine::handle`]: something happened, most often an action ended.
/// 3. [`Engine::poll`]: what to do next. After every command, input, and when
///    [`Engine::next_deadline`] has come, poll until it answers `None`.
///
/// It never blocks, never reads a clock and never fails: what goes wrong shows in the snapshots.
#[derive(Debug)]
pub struct Engine {
    cx: Context,
    uploads: BTreeMap<ClientUploadId, Upload>,
    indexes: Indexes,
    /// To be asked what they do next.
    dirty: BTreeSet<ClientUploadId>,
    changed: BTreeSet<ClientUploadId>,
    stale_outcomes: u64,
    recorder: Recorder,
}

impl Engine {
    /// An engine with no uploads. The same `seed` and the same inputs at the same times give the same
    /// outputs.
    pub fn new(config: EngineConfig, seed: u64) -> Self {
        Self {
            recorder: Recorder::new(config.clone(), seed),
            cx: Context::new(config, seed),
            uploads: BTreeMap::new(),
            indexes: Indexes::default(),
            dirty: BTreeSet::new(),
            changed: BTreeSet::new(),
            stale_outcomes: 0,
        }
    }

    /// Takes what a person or host wants. Commands for unknown uploads, or for ones they don't fit, do
    /// nothing.
    pub fn command(&mut self, now: Timestamp, command: Command) {
        self.set_now(now);
        self.recorder.on_command(self.cx.now, &command);
        match command {
            Command::Pick {
                upload,
                source,
                file,
                as_new,
            } => self.pick(upload, source, file, as_new),
            Command::Provide { upload, source, file } => self.provide(upload, source, file),
            Command::Restore { checkpoint, staged } => self.restore(*checkpoint, staged),
            Command::Pause(id) => self.with(id, Upload::pause),
            Command::Resume(id) => self.with(id, |upload, _| upload.resume()),
            Command::Cancel(id) => self.with(id, Upload::cancel),
            Command::Dismiss(id) => self.dismiss(id),
        }
        self.settle();
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.set_now(now);
        if let Input::Progress(id, sent_bytes) = input {
            return self.on_progress(id, sent_bytes);
        }
        self.recorder.on_input(self.cx.now, &input);
        match input {
            Input::Done(id, outcome) => self.on_done(id, outcome),
            Input::Progress(..) => {}
            Input::Room { bytes } => {
                self.cx.room.on_estimate(bytes);
                self.with_all(Upload::on_room);
            }
            Input::Connectivity { online } => {
                let back = online && !self.cx.online;
                self.cx.online = online;
                if back {
                    self.with_all(|upload, _| upload.end_waits());
                } else {
                    self.with_all(|_, _| {});
                }
            }
            Input::CredentialsRenewed => self.with_all(|upload, _| upload.on_credentials()),
            Input::Staging { available } => {
                self.cx.staging_available = available;
                self.with_all(|upload, _| upload.staging_blocked &= !available);
            }
            Input::ClockJumped => self.with_all(Upload::on_clock_jumped),
        }
        self.settle();
    }

    /// What to do next, or `None` when there is nothing until the next input or deadline.
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.set_now(now);
        if self.next_deadline().is_some_and(|at| at <= self.cx.now) {
            self.recorder.on_time(self.cx.now);
            self.settle();
        }
        self.cx.pop_output()
    }

    /// Lets every upload that something has happened to do what it does next, until nothing more
    /// follows from it. After each mutation, at its time: so what an engine does depends on nothing but
    /// what it was told and when.
    fn settle(&mut self) {
        loop {
            self.dirty.extend(self.indexes.take_due(self.cx.now));
            let may_go_on = self.is_paced() && self.cx.pacing.may_start(self.cx.now);
            self.send_calls();
            if self.dirty.is_empty() && !may_go_on {
                break;
            }
            while let Some(id) = self.dirty.pop_first() {
                self.drive(id);
            }
            self.promote_queued();
            self.fill_slots();
            self.fill_staging();
        }
        self.recorder.on_settled(self.cx.outputs);
    }

    /// When to poll although nothing happened.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let paced = self.cx.pacing.ready_at().filter(|_| self.is_paced());
        let calls = self.cx.calls.next_deadline(self.cx.config.shared_calls_max);
        [self.indexes.next_deadline(), paced, calls]
            .into_iter()
            .flatten()
            .min()
    }

    /// All uploads in the order they were added. `now` dates the speeds.
    pub fn snapshots(&self, now: Timestamp) -> Vec<UploadSnapshot> {
        self.indexes
            .order()
            .filter_map(|id| self.snapshot(now, id))
            .collect()
    }

    /// What must be told at once when it changes, and costs little to find out. `None` for an upload
    /// that isn't listed.
    pub fn headline(&self, now: Timestamp, upload: ClientUploadId) -> Option<(UploadStatus, Durability)> {
        self.uploads
            .get(&upload)
            .map(|upload| upload.headline(&self.cx, now))
    }

    /// One upload.
    pub fn snapshot(&self, now: Timestamp, upload: ClientUploadId) -> Option<UploadSnapshot> {
        self.uploads
            .get(&upload)
            .map(|upload| upload.snapshot(&self.cx, now))
    }

    /// Uploads whose snapshot may differ from what it was at the last call, dismissed ones included.
    pub fn take_changed(&mut self) -> Vec<ClientUploadId> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// Outcomes that came for actions no longer under way: cancelled, or answered twice.
    pub fn stale_outcomes(&self) -> u64 {
        self.stale_outcomes
    }

    /// What this engine has been told so far, without names, URLs and tokens: the same engine does the
    /// same again when it is told the same again, so this is what a defect is found by.
    pub fn recording(&self) -> Recording {
        self.recorder.recording().clone()
    }

    /// Whether an action is under way: for hosts that want to drop work nobody waits for.
    pub fn awaits(&self, id: ActionId) -> bool {
        self.cx.owners().contains(id)
    }

    pub(crate) fn outputs(&self) -> Outputs {
        self.cx.outputs
    }

    fn on_done(&mut self, id: ActionId, outcome: Outcome) {
        match self.cx.take_owner(id) {
            Some(Owner::One(owner)) => self.with(owner, |upload, cx| upload.on_done(cx, id, outcome)),
            Some(Owner::Many(owners)) => {
                for (owner, outcome) in owners.iter().zip(shares(outcome, owners.len())) {
                    if let Some(owner) = *owner {
                        self.with(owner, |upload, cx| upload.on_done(cx, id, outcome));
                    }
                }
            }
            None => self.stale_outcomes += 1,
        }
    }

    /// Progress of the same part sooner than [`PROGRESS_INTERVAL_MS`] after the last is passed over: it
    /// would change nothing that anybody sees.
    fn on_progress(&mut self, id: ActionId, sent_bytes: u64) {
        let Some(owner) = self.cx.owners().one(id) else {
            return;
        };
        let is_news = self.uploads.get(&owner).is_some_and(|upload| {
            let last = upload.progress_at(id);
            last.is_some_and(|last| self.cx.now.millis_since(last) >= PROGRESS_INTERVAL_MS)
        });
        if is_news {
            self.recorder
                .on_input(self.cx.now, &Input::Progress(id, sent_bytes));
            self.with(owner, |upload, cx| upload.on_progress(cx, id, sent_bytes));
            self.settle();
        }
    }

    fn pick(&mut self, id: ClientUploadId, source: SourceId, file: FileInfo, as_new: bool) {
        if self.uploads.contains_key(&id) {
            return;
        }
        if let Some(wanted) = self.waiting_for(&file).filter(|_| !as_new) {
            self.with(wanted, |upload, cx| upload.provide(cx, source, file));
            return;
        }
        let upload = match PartLayout::choose(file.size_bytes, self.cx.config.part_size_bytes, PART_COUNT_MAX)
        {
            Ok(layout) => {
                let mut upload = Upload::new(id, file, layout);
                upload.source = Some(source);
                upload
            }
            Err(error) => self.refuse_pick(id, file, source, &error.to_string()),
        };
        self.add(upload);
    }

    /// An upload that can't even begin: it is listed, and says why.
    fn refuse_pick(&mut self, id: ClientUploadId, file: FileInfo, source: SourceId, why: &str) -> Upload {
        let empty = PartLayout::choose(0, None, PART_COUNT_MAX).expect("an empty file always has a layout");
        let mut upload = Upload::new(id, file, empty);
        upload.phase = Phase::Failed;
        upload.error = Some(UploadError::new("file_too_large", why));
        self.cx.tell(Event::SourceReleased(source));
        self.cx.tell(Event::Failed(id));
        upload
    }

    /// The upload that this file was most likely picked for.
    fn waiting_for(&self, file: &FileInfo) -> Option<ClientUploadId> {
        let lacking = || {
            let uploads = self.indexes.order().filter_map(|id| self.uploads.get(&id));
            uploads.filter(|upload| upload.lacks_file() && upload.verify.is_none())
        };
        let exact = lacking()
            .find(|upload| upload.file.name == file.name && upload.file.size_bytes == file.size_bytes);
        let similar = || {
            lacking().filter(|upload| upload.needs_file()).find(|upload| {
                upload.file.name == file.name
                    || (upload.file.size_bytes == file.size_bytes && file.size_bytes > 0)
            })
        };
        exact.or_else(similar).map(|upload| upload.id)
    }

    fn provide(&mut self, id: ClientUploadId, source: SourceId, file: FileInfo) {
        match self.uploads.get(&id) {
            Some(upload) if upload.lacks_file() => {
                self.with(id, |upload, cx| upload.provide(cx, source, file));
            }
            _ => self.cx.tell(Event::SourceReleased(source)),
        }
    }

    fn restore(&mut self, checkpoint: Checkpoint, staged: Vec<StagedPart>) {
        if self.uploads.contains_key(&checkpoint.client_upload_id) {
            return;
        }
        let upload = Upload::restore(&mut self.cx, checkpoint, staged);
        self.add(upload);
    }

    /// Takes an ended upload off the list. A failed one is cancelled first: it holds staged parts, a
    /// checkpoint that would bring it back, and perhaps a session.
    fn dismiss(&mut self, id: ClientUploadId) {
        self.with(id, |upload, cx| {
            upload.dismissed = upload.has_ended();
            if upload.phase == Phase::Failed {
                upload.cancel(cx);
            }
        });
        self.remove_dismissed(id);
    }

    fn remove_dismissed(&mut self, id: ClientUploadId) {
        let over = |upload: &Upload| upload.dismissed && upload.has_ended() && upload.forgotten;
        if self
            .uploads
            .get(&id)
            .is_some_and(|upload| over(upload) && upload.pending.is_empty())
        {
            self.uploads.remove(&id);
            self.indexes.remove(id);
            self.changed.insert(id);
        }
    }

    fn add(&mut self, upload: Upload) {
        let id = upload.id;
        self.indexes.add(id);
        self.uploads.insert(id, upload);
        self.touch(id);
    }

    fn touch(&mut self, id: ClientUploadId) {
        self.dirty.insert(id);
        self.changed.insert(id);
    }

    fn set_now(&mut self, now: Timestamp) {
        // A host's clock that steps back must not undo a deadline.
        self.cx.now = self.cx.now.max(now);
    }

    fn with(&mut self, id: ClientUploadId, change: impl FnOnce(&mut Upload, &mut Context)) {
        if let Some(upload) = self.uploads.get_mut(&id) {
            let before = upload.parts.in_flight().len();
            change(upload, &mut self.cx);
            self.count_in_flight(id, before);
            self.touch(id);
        }
    }

    fn with_all(&mut self, change: impl Fn(&mut Upload, &mut Context)) {
        for id in self.indexes.order().collect::<Vec<_>>() {
            self.with(id, &change);
        }
    }

    fn drive(&mut self, id: ClientUploadId) {
        let Some(upload) = self.uploads.get_mut(&id) else {
            return;
        };
        let before = upload.parts.in_flight().len();
        upload.drive(&mut self.cx);
        self.count_in_flight(id, before);
        self.reindex(id);
        self.remove_dismissed(id);
    }

    fn count_in_flight(&mut self, id: ClientUploadId, before: usize) {
        let after = self
            .uploads
            .get(&id)
            .map_or(0, |upload| upload.parts.in_flight().len());
        let change = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.cx.parts_in_flight = self.cx.parts_in_flight.saturating_sub(change(before)) + change(after);
    }

    fn reindex(&mut self, id: ClientUploadId) {
        if let Some(upload) = self.uploads.get(&id) {
            self.indexes.update(upload, &self.cx);
            self.cx.at_risk_bytes = self.indexes.at_risk_bytes();
        }
        self.changed.insert(id);
    }

    /// Gives free places to queued uploads, in the order they were added. Small files have places of
    /// their own: they never wait for a large one.
    fn promote_queued(&mut self) {
        let config = &self.cx.config;
        let places = [
            (true, config.active_small_uploads_max),
            (false, config.active_uploads_max),
        ];
        for (small, places) in places {
            for id in self.indexes.next_queued(small, places as usize) {
                self.with(id, |upload, _| upload.activate());
            }
        }
    }

    /// Puts parts on their way while slots are free: first the upload with the fewest in flight, of
    /// those the one with the least left to send.
    fn fill_slots(&mut self) {
        while self.cx.free_slots() > 0 {
            let Some(id) = self.next_to_put() else {
                // Those whose URLs would have grown old in the queue ask for them now.
                self.dirty.extend(self.indexes.take_waiting_for_slot());
                return;
            };
            if !self.cx.pacing.may_start(self.cx.now) {
                return;
            }
            let Some(upload) = self.uploads.get_mut(&id) else {
                return;
            };
            let before = upload.parts.in_flight().len();
            upload.put_next(&mut self.cx);
            self.count_in_flight(id, before);
            self.reindex(id);
            // The stock of hashed and signed parts has shrunk by one.
            self.dirty.insert(id);
        }
    }

    fn next_to_put(&self) -> Option<ClientUploadId> {
        let uploads = self.indexes.can_put().filter_map(|id| self.uploads.get(&id));
        uploads
            .min_by_key(|upload| {
                let left = upload.file.size_bytes - upload.parts.confirmed_bytes();
                (upload.parts.in_flight().len(), left, upload.id)
            })
            .map(|upload| upload.id)
    }

    /// Parts could go, were it not for the bandwidth limit.
    fn is_paced(&self) -> bool {
        self.cx.free_slots() > 0 && self.indexes.can_put().next().is_some()
    }

    /// Keeps the disk busy, uploads in the order they were added.
    fn fill_staging(&mut self) {
        let ids: Vec<_> = self.indexes.may_stage().collect();
        for id in ids {
            if self.cx.stages.are_full() {
                return;
            }
            if let Some(upload) = self.uploads.get_mut(&id) {
                while upload.stage_next(&mut self.cx) {
                    self.changed.insert(id);
                }
            }
        }
    }

    /// Sends the starts and completes that have gathered.
    fn send_calls(&mut self) {
        for call in [ControlCall::Start, ControlCall::Complete] {
            loop {
                let gate = self.gate(call);
                let mut ids = self.cx.calls.take(call, gate);
                if ids.is_empty() {
                    break;
                }
                // Some may have been cancelled or completed meanwhile.
                ids.retain(|id| {
                    let upload = self.uploads.get(id);
                    upload.is_some_and(|upload| upload.wanted_call() == Some(call))
                });
                self.send_call(call, &ids);
            }
        }
    }

    /// A start is urgent while slots would soon find nothing to send; a complete never is.
    fn gate(&self, call: ControlCall) -> Gate {
        let few_ready = || self.indexes.can_put().take(self.cx.window()).count() < self.cx.window();
        Gate {
            now: self.cx.now,
            under_way_max: self.cx.config.shared_calls_max,
            at_work: self.indexes.active_small(),
            urgent: call == ControlCall::Start && few_ready(),
        }
    }

    fn send_call(&mut self, call: ControlCall, ids: &[ClientUploadId]) {
        let uploads = || ids.iter().filter_map(|id| self.uploads.get(id));
        let action = match (ids, call) {
            ([], _) => None,
            ([_], _) => uploads()
                .next()
                .and_then(|upload| upload.control_action(&self.cx, call)),
            (_, ControlCall::Start) => {
                let starts = uploads().map(|upload| upload.start_item(&self.cx)).collect();
                let request = StartBatchRequest { starts };
                Some(Action::StartMany { request })
            }
            _ => {
                let completes = uploads().filter_map(Upload::complete_item).collect();
                let request = CompleteBatchRequest { completes };
                Some(Action::CompleteMany { request })
            }
        };
        let Some(action) = action else { return };
        let owner = match ids {
            [id] => Owner::One(*id),
            _ => Owner::Many(ids.iter().copied().map(Some).collect()),
        };
        let action_id = self.cx.act_for(owner, action);
        self.cx.calls.sent(action_id, call);
        for id in ids {
            self.with(*id, |upload, cx| upload.on_call_sent(cx, call, action_id));
        }
    }
}

/// Shortest time between two tellings of a part's progress.
const PROGRESS_INTERVAL_MS: u64 = 200;
