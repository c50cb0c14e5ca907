//! The `match action` loop: polls the engine until it has nothing more, starts what it asks for, and
//! tells the pages what changed.

use std::rc::Rc;

use futures::future::abortable;
use gloo_timers::callback::Timeout;
use js_sys::Array;
use upload_engine::{Action, ActionId, Engine, Event, Failure, Input, Outcome, Output, PartBytes, SourceId};
use upload_protocol::{ByteRange, ClientUploadId, Crc64Nvme};
use wasm_bindgen_futures::spawn_local;

use super::driver::{Driver, now};
use super::publisher::Headline;
use super::tasks::job_failure;
use crate::browser::monotonic_ms;
use crate::messages::{JobFailure, JobId, JobTarget, StagingJob, ToPage, to_js};
use crate::staging::hash_part;
use crate::view::{EventName, PageMessage, UploadView};

/// Longest `setTimeout` in ms: a larger one would fire at once.
const TIMEOUT_MS_MAX: u64 = 0x7fff_ffff;

/// Parts of at most so many bytes are hashed by this worker itself.
const OWN_HASHING_BYTES_MAX: u64 = 256 * 1024;

impl Driver {
    /// Tells the engine what happened, and does what it wants then.
    pub(super) fn handle(self: &Rc<Self>, input: Input) {
        // Nothing a person must see at once, and there are many of them: not worth a look.
        let is_progress = matches!(input, Input::Progress(..));
        self.state.borrow_mut().engine.handle(now(), input);
        self.pump_and_tell(!is_progress);
    }

    /// Does what the engine wants, and tells pages at once what must not wait.
    pub(super) fn pump(self: &Rc<Self>) {
        self.pump_and_tell(true);
    }

    fn pump_and_tell(self: &Rc<Self>, may_be_urgent: bool) {
        for event in self.drain() {
            self.keep_event(event);
        }
        if may_be_urgent && self.is_urgent() {
            self.tell_changes();
        }
        self.tell_in_time();
    }

    /// Jobs of a page that went, or lost them. Tells the engine first whether parts can still be
    /// written: it then asks for no more of it.
    pub(super) fn give_out_again(self: &Rc<Self>, orphans: Vec<(ActionId, StagingJob)>) {
        let available = {
            let mut state = self.state.borrow_mut();
            let available = self.tools.storage.can_stage() && state.readers.can_stage();
            let is_news = available != state.staging_told;
            state.staging_told = available;
            is_news.then_some(available)
        };
        if let Some(available) = available {
            self.handle(Input::Staging { available });
        }
        for (action, job) in orphans {
            if self.state.borrow().engine.awaits(action) {
                self.read(action, job);
            }
        }
    }

    /// Polls until the engine has nothing more to do now. Answers its events.
    fn drain(self: &Rc<Self>) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            // Borrowed for the poll alone: carrying out borrows again.
            let output = self.state.borrow_mut().engine.poll(now());
            match output {
                Some(Output::Action(id, action)) => self.perform(id, action),
                Some(Output::Event(event)) => events.push(event),
                None => break,
            }
        }
        let mut state = self.state.borrow_mut();
        for upload in state.engine.take_changed() {
            state.publisher.on_changed(upload);
        }
        drop(state);
        self.set_alarm();
        events
    }

    fn perform(self: &Rc<Self>, id: ActionId, action: Action) {
        match action {
            Action::HashPart { range, source, .. } => self.read_source(id, source, range, JobTarget::Hash),
            Action::StagePart {
                upload,
                part,
                range,
                source,
            } => {
                let folder = self.folder.clone();
                self.read_source(id, source, range, JobTarget::Stage { folder, upload, part });
            }
            Action::Cancel(id) => self.cancel(id),
            action => {
                let source = match &action {
                    Action::PutPart {
                        bytes: PartBytes::Source(source),
                        ..
                    } => self.file(*source),
                    _ => None,
                };
                let tools = self.tools.clone();
                let driver = Rc::clone(self);
                let on_progress = move |sent| driver.handle(Input::Progress(id, sent));
                // Not a PUT: what a store refuses has nothing to do with the page's credentials.
                let is_call = !matches!(action, Action::PutPart { .. });
                let makes_room = matches!(action, Action::FreePart { .. } | Action::Forget { .. });
                let teller = Rc::clone(self);
                self.spawn(id, async move {
                    let outcome = tools.carry_out(action, source, on_progress).await;
                    if is_call {
                        teller.want_headers(&outcome);
                    }
                    if makes_room {
                        teller.tell_room_in_time();
                    }
                    outcome
                });
            }
        }
    }

    fn read_source(self: &Rc<Self>, id: ActionId, source: SourceId, range: ByteRange, target: JobTarget) {
        let Some(file) = self.file(source) else {
            let detail = "this engine does not have the file".into();
            self.spawn(id, async {
                Outcome::Failed(Failure::SourceUnreadable { detail })
            });
            return;
        };
        let id_of_job = JobId {
            instance: self.instance,
            action: id.0,
        };
        self.read(
            id,
            StagingJob {
                id: id_of_job,
                target,
                file,
                range,
            },
        );
    }

    /// Gives a job to a staging worker. Without one, this worker hashes by itself; it can't stage. What
    /// is small it hashes sooner than it could ask.
    fn read(self: &Rc<Self>, id: ActionId, job: StagingJob) {
        let must_stage = matches!(job.target, JobTarget::Stage { .. });
        if !must_stage && job.range.size_bytes() <= OWN_HASHING_BYTES_MAX {
            self.spawn(id, async move { hashed(hash_part(&job.file, job.range).await) });
            return;
        }
        let unassigned = {
            let mut state = self.state.borrow_mut();
            match state.readers.assign(id, job.clone(), must_stage) {
                Ok(page) => {
                    if let Some(link) = state.pages.get(&page) {
                        link.post(&ToPage::Job(job));
                    }
                    None
                }
                Err(job) => Some(job),
            }
        };
        let Some(job) = unassigned else { return };
        if must_stage {
            let detail = "no page is open that could write parts to disk".into();
            self.spawn(id, async {
                Outcome::Failed(Failure::StorageUnavailable { detail })
            });
            return;
        }
        let own_hashing = Rc::clone(&self.own_hashing);
        self.spawn(id, async move {
            let _turn = own_hashing.lock().await;
            hashed(hash_part(&job.file, job.range).await)
        });
    }

    fn cancel(&self, id: ActionId) {
        let mut state = self.state.borrow_mut();
        if let Some(task) = state.tasks.remove(&id) {
            task.abort();
        }
        if let Some((page, job)) = state.readers.remove(id)
            && let Some(link) = state.pages.get(&page)
        {
            link.post(&ToPage::CancelJob(job.id));
        }
    }

    /// Runs an action's future and tells the engine its outcome, unless it is cancelled before.
    fn spawn(self: &Rc<Self>, id: ActionId, work: impl Future<Output = Outcome> + 'static) {
        let (work, handle) = abortable(work);
        self.state.borrow_mut().tasks.insert(id, handle);
        let driver = Rc::clone(self);
        spawn_local(async move {
            let ended = work.await;
            if let Ok(outcome) = ended {
                driver.state.borrow_mut().tasks.remove(&id);
                driver.handle(Input::Done(id, outcome));
            }
        });
    }

    fn file(&self, source: SourceId) -> Option<web_sys::File> {
        let state = self.state.borrow();
        state.sources.get(&source).map(|source| source.file.clone())
    }

    /// Wakes the engine at its next deadline.
    fn set_alarm(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let deadline = state.engine.next_deadline();
        if deadline == state.wake.as_ref().map(|(at, _)| *at) {
            return;
        }
        state.wake = deadline.map(|at| {
            // At least 1 ms: `now` is cut to whole milliseconds and must have reached the deadline.
            let delay_ms = at.millis_since(now()).clamp(1, TIMEOUT_MS_MAX);
            let driver = Rc::clone(self);
            let timeout = Timeout::new(u32::try_from(delay_ms).unwrap_or(u32::MAX), move || {
                driver.state.borrow_mut().wake = None;
                driver.pump();
            });
            (at, timeout)
        });
    }

    fn is_urgent(&self) -> bool {
        let state = self.state.borrow();
        let publisher = &state.publisher;
        let is_news = |upload| publisher.is_urgent(upload, headline(&state.engine, upload));
        publisher.may_be_urgent(monotonic_ms())
            && (!state.events.is_empty() || publisher.changed().any(is_news))
    }

    /// Sees to it that pages are told what changed, at the next tenth of a second.
    fn tell_in_time(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.telling.is_some() {
            return;
        }
        let Some(due_in_ms) = state.publisher.due_in_ms(monotonic_ms()) else {
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 100 ms"
        )]
        let due_in_ms = due_in_ms.ceil() as u32;
        let driver = Rc::clone(self);
        state.telling = Some(Timeout::new(due_in_ms, move || {
            driver.state.borrow_mut().telling = None;
            driver.tell_changes();
        }));
    }

    fn tell_changes(&self) {
        let messages = {
            let mut guard = self.state.borrow_mut();
            let state = &mut *guard;
            let engine = &state.engine;
            let changes = state
                .publisher
                .take(monotonic_ms(), |upload| headline(engine, upload));
            let snapshot = |upload: &ClientUploadId| engine.snapshot(now(), *upload);
            let message = PageMessage::Snapshot {
                engine: self.view.clone(),
                uploads: changes
                    .uploads
                    .iter()
                    .filter_map(snapshot)
                    .map(|each| UploadView::from(&each))
                    .collect(),
                removed: changes.removed.iter().map(ToString::to_string).collect(),
                full: false,
            };
            // A page that hears of an event finds the upload as it was then, or later.
            let messages = Array::of1(&to_js(&message));
            for event in state.events.drain(..) {
                messages.push(&to_js(&event));
            }
            messages
        };
        let messages = ToPage::Messages(messages);
        for link in self.state.borrow().pages.values() {
            link.post(&messages);
        }
    }

    /// Puts an event among what pages are told next.
    fn keep_event(&self, event: Event) {
        let message = match event {
            Event::Safe(upload) => PageMessage::event(EventName::Safe, upload),
            Event::Completed(upload) => PageMessage::event(EventName::Completed, upload),
            Event::Failed(upload) => PageMessage::event(EventName::Failed, upload),
            Event::FileRefused {
                upload,
                source,
                name,
                reason,
            } => {
                // The page keeps the file and may offer it again as a new upload.
                let source = self.state.borrow_mut().sources.remove(&source);
                PageMessage::Event {
                    event: EventName::FileRefused,
                    upload_id: upload.to_string(),
                    name: Some(name),
                    reason: Some(reason),
                    picked_as: source.map(|source| source.picked_as.to_string()),
                }
            }
            Event::FileAccepted { upload, source } => {
                let state = self.state.borrow();
                let picked_as = state
                    .sources
                    .get(&source)
                    .map(|source| source.picked_as.to_string());
                PageMessage::Event {
                    event: EventName::FileAccepted,
                    upload_id: upload.to_string(),
                    name: None,
                    reason: None,
                    picked_as,
                }
            }
            Event::SourceReleased(source) => {
                self.state.borrow_mut().sources.remove(&source);
                return;
            }
        };
        self.state.borrow_mut().events.push(message);
    }
}

fn hashed(result: Result<Crc64Nvme, JobFailure>) -> Outcome {
    result.map_or_else(|failure| Outcome::Failed(job_failure(failure)), Outcome::Hashed)
}

fn headline(engine: &Engine, upload: ClientUploadId) -> Option<Headline> {
    engine.headline(now(), upload)
}
