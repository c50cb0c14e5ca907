//! All uploads of one host: who is active, who gets the next slot, whose deadline is next.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::limits::PART_COUNT_MAX;
use upload_protocol::{Checkpoint, ClientUploadId, FileInfo, PartLayout};

use crate::action::{ActionId, Command, Event, Input, Output, SourceId, StagedPart};
use crate::config::EngineConfig;
use crate::context::Context;
use crate::snapshot::{UploadError, UploadSnapshot};
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
    /// In the order they were added.
    order: Vec<ClientUploadId>,
    /// To be asked what they do next.
    dirty: BTreeSet<ClientUploadId>,
    active: BTreeSet<ClientUploadId>,
    can_put: BTreeSet<ClientUploadId>,
    deadlines: BTreeSet<(Timestamp, ClientUploadId)>,
    deadline_of: BTreeMap<ClientUploadId, Timestamp>,
    changed: BTreeSet<ClientUploadId>,
    parts_in_flight: u32,
    stale_outcomes: u64,
}

impl Engine {
    /// An engine with no uploads. The same `seed` and the same inputs at the same times give the same
    /// outputs.
    pub fn new(config: EngineConfig, seed: u64) -> Self {
        Self {
            cx: Context::new(config, seed),
            uploads: BTreeMap::new(),
            order: Vec::new(),
            dirty: BTreeSet::new(),
            active: BTreeSet::new(),
            can_put: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            changed: BTreeSet::new(),
            parts_in_flight: 0,
            stale_outcomes: 0,
        }
    }

    /// Takes what a person or host wants. Commands for unknown uploads, or for ones they don't fit, do
    /// nothing.
    pub fn command(&mut self, now: Timestamp, command: Command) {
        self.set_now(now);
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
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.set_now(now);
        match input {
            Input::Done(id, outcome) => match self.cx.take_owner(id) {
                Some(owner) => self.with(owner, |upload, cx| upload.on_done(cx, id, outcome)),
                None => self.stale_outcomes += 1,
            },
            Input::Progress(id, sent_bytes) => {
                if let Some(owner) = self.cx.owner(id) {
                    self.with(owner, |upload, cx| upload.on_progress(cx, id, sent_bytes));
                }
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
            Input::Staging { available } => {
                self.cx.staging_available = available;
                self.with_all(|upload, _| upload.staging_blocked &= !available);
            }
            Input::ClockJumped => self.with_all(Upload::on_clock_jumped),
        }
    }

    /// What to do next, or `None` when there is nothing until the next input or deadline.
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.set_now(now);
        loop {
            if let Some(output) = self.cx.pop_output() {
                return Some(output);
            }
            while let Some(&(at, id)) = self.deadlines.first()
                && at <= now
            {
                self.deadlines.remove(&(at, id));
                self.deadline_of.remove(&id);
                self.dirty.insert(id);
            }
            if self.dirty.is_empty() {
                return None;
            }
            while let Some(id) = self.dirty.pop_first() {
                self.drive(id);
            }
            self.promote_queued();
            self.fill_slots();
            self.fill_staging();
        }
    }

    /// When to poll although nothing happened.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.dirty.is_empty() {
            self.deadlines.first().map(|(at, _)| *at)
        } else {
            Some(self.cx.now)
        }
    }

    /// All uploads in the order they were added. `now` dates the speeds.
    pub fn snapshots(&self, now: Timestamp) -> Vec<UploadSnapshot> {
        self.order
            .iter()
            .filter_map(|id| self.snapshot(now, *id))
            .collect()
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
            let uploads = self.order.iter().filter_map(|id| self.uploads.get(id));
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
            self.order.retain(|other| *other != id);
            self.forget_indexes(id);
            self.changed.insert(id);
        }
    }

    fn add(&mut self, upload: Upload) {
        let id = upload.id;
        self.order.push(id);
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
        for id in self.order.clone() {
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
        self.parts_in_flight = self.parts_in_flight.saturating_sub(change(before)) + change(after);
    }

    fn reindex(&mut self, id: ClientUploadId) {
        self.forget_indexes(id);
        let Some(upload) = self.uploads.get(&id) else {
            return;
        };
        if upload.is_active() {
            self.active.insert(id);
        }
        if upload.can_put() {
            self.can_put.insert(id);
        }
        if let Some(at) = upload.next_deadline(&self.cx) {
            self.deadlines.insert((at, id));
            self.deadline_of.insert(id, at);
        }
        self.changed.insert(id);
    }

    fn forget_indexes(&mut self, id: ClientUploadId) {
        self.active.remove(&id);
        self.can_put.remove(&id);
        if let Some(at) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
    }

    /// Gives free places to queued uploads, in the order they were added.
    fn promote_queued(&mut self) {
        let places = (self.cx.config.active_uploads_max as usize).saturating_sub(self.active.len());
        if places == 0 {
            return;
        }
        let queued = |upload: &Upload| upload.phase == Phase::Queued && !upload.paused;
        let next: Vec<_> = self
            .order
            .iter()
            .filter(|id| self.uploads.get(id).is_some_and(queued))
            .take(places)
            .copied()
            .collect();
        for id in next {
            self.with(id, |upload, _| upload.activate());
        }
    }

    /// Puts parts on their way while slots are free: first the upload with the fewest in flight, of
    /// those the one with the least left to send.
    fn fill_slots(&mut self) {
        while self.parts_in_flight < self.cx.concurrency.limit() {
            let next = self
                .can_put
                .iter()
                .filter_map(|id| self.uploads.get(id))
                .min_by_key(|upload| {
                    let left = upload.file.size_bytes - upload.parts.confirmed_bytes();
                    (upload.parts.in_flight().len(), left, upload.id)
                })
                .map(|upload| upload.id);
            let Some(id) = next else { return };
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

    /// Keeps the disk busy, uploads in the order they were added.
    fn fill_staging(&mut self) {
        self.cx.slots_full = self.parts_in_flight >= self.cx.concurrency.limit();
        for id in &self.order {
            if self.cx.stages_in_flight >= self.cx.config.stage_actions_max {
                return;
            }
            if let Some(upload) = self.uploads.get_mut(id) {
                while self.cx.stages_in_flight < self.cx.config.stage_actions_max
                    && upload.stage_next(&mut self.cx)
                {
                    self.changed.insert(*id);
                }
            }
        }
    }
}

impl Engine {
    /// Whether an action is under way: for hosts that want to drop work nobody waits for.
    pub fn awaits(&self, id: ActionId) -> bool {
        self.cx.owner(id).is_some()
    }
}
