//! The loop around the engine: inputs in, actions out, obeying without deciding.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;

use futures::future::{AbortHandle, Either, select};
use futures::lock::Mutex;
use gloo_timers::callback::{Interval, Timeout};
use gloo_timers::future::TimeoutFuture;
use js_sys::Array;
use upload_engine::{ActionId, Command, Engine, EngineConfig, Failure, Input, Outcome, SourceId, Timestamp};
use upload_protocol::limits::{MIB, PART_SIZE_BYTES_MAX, PART_SIZE_BYTES_MIN};
use upload_protocol::{ClientUploadId, FileInfo};
use uuid::Uuid;
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::bug::remember_recording;
use super::clock::{CHECK_INTERVAL_MS, ClockWatch};
use super::link::Link;
use super::publisher::Publisher;
use super::readers::Readers;
use super::tasks::{Tools, job_failure};
use crate::browser::{
    crypto_uuid, estimate_room, is_online, monotonic_ms, on_window, random_u64, wall_clock_ms,
};
use crate::json;
use crate::messages::{
    JobDone, JobTarget, NumberedCommand, PageCommand, PageId, Settings, StagingJob, ToEngine, ToPage, to_js,
};
use crate::net::Server;
use crate::realm::Realm;
use crate::storage::Storage;
use crate::view::{EngineView, HostKind, PageMessage, UploadView, size_from_js};

/// Most parts in flight that a page may ask for.
const CONCURRENCY_MAX: u32 = 64;

/// A browser that has not told how much room there is for so long, in ms, won't.
const ROOM_TIMEOUT_MS: u32 = 1_000;

/// How often the engine is told how much room there is while parts are staged, in ms.
const ROOM_INTERVAL_MS: f64 = 2_000.0;

/// How often pages are asked for other headers, in ms.
const HEADERS_INTERVAL_MS: f64 = 5_000.0;

/// Commands remembered, so that one sent twice is carried out once: more than a page can have waiting for
/// an engine.
const SEEN_COMMANDS_MAX: usize = 64 * 1024;

/// An engine at work, with its pages, files and timers.
pub(super) struct Driver {
    pub(super) view: EngineView,
    pub(super) instance: Uuid,
    /// Name of the folder of staged parts.
    pub(super) folder: String,
    pub(super) tools: Tools,
    /// With no staging worker, one part is hashed at a time: this worker also drives everything else.
    pub(super) own_hashing: Rc<Mutex<()>>,
    pub(super) state: RefCell<State>,
}

/// What changes while an engine works.
pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) pages: HashMap<PageId, Link>,
    pub(super) readers: Readers<StagingJob>,
    /// What the engine was last told of staging.
    pub(super) staging_told: bool,
    pub(super) sources: HashMap<SourceId, Source>,
    next_source: u64,
    /// Actions under way in this worker.
    pub(super) tasks: HashMap<ActionId, AbortHandle>,
    pub(super) publisher: Publisher,
    seen: SeenCommands,
    /// When the engine wants to be asked again.
    pub(super) wake: Option<(Timestamp, Timeout)>,
    /// Told with the next changes.
    pub(super) events: Vec<PageMessage>,
    /// Until pages are told what changed.
    pub(super) telling: Option<Timeout>,
    /// When the engine was last told how much room there is.
    room_told_ms: f64,
    /// When pages were last asked for other headers.
    headers_wanted_ms: Option<f64>,
}

/// A picked file that the engine may ask to read.
pub(super) struct Source {
    pub(super) file: File,
    /// The id that the page gave to it.
    pub(super) picked_as: ClientUploadId,
}

/// The last commands, by number.
#[derive(Default)]
struct SeenCommands {
    ids: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Driver {
    /// Opens storage, restores every upload of earlier visits, and lets them go on.
    pub(super) async fn start(realm: Realm, settings: &Settings, host: HostKind) -> Rc<Self> {
        let storage = Rc::new(Storage::open(&realm).await);
        let kept = storage.load().await;
        let instance = crypto_uuid();
        let driver = Rc::new(Self {
            view: EngineView {
                instance: instance.to_string(),
                host,
            },
            instance,
            folder: realm.storage_name(),
            tools: Tools {
                server: Server::new(&realm.endpoint),
                storage,
            },
            own_hashing: Rc::default(),
            state: RefCell::new(State {
                engine: Engine::new(config(settings), random_u64()),
                pages: HashMap::new(),
                readers: Readers::default(),
                staging_told: false,
                sources: HashMap::new(),
                next_source: 0,
                tasks: HashMap::new(),
                publisher: Publisher::default(),
                seen: SeenCommands::default(),
                wake: None,
                events: Vec::new(),
                telling: None,
                room_told_ms: monotonic_ms(),
                headers_wanted_ms: None,
            }),
        });
        {
            let mut state = driver.state.borrow_mut();
            remember_recording(state.engine.recording());
            for upload in kept {
                state.publisher.on_added(upload.checkpoint.client_upload_id);
                state.engine.command(
                    now(),
                    Command::Restore {
                        checkpoint: Box::new(upload.checkpoint),
                        staged: upload.staged,
                    },
                );
            }
        }
        driver.watch_browser();
        driver.handle(Input::Connectivity { online: is_online() });
        driver.tell_room().await;
        driver
    }

    /// A page wants to see and command this engine's uploads. What its staging worker was doing for
    /// this engine is given out again: the page may have lost it.
    pub(super) fn attach(self: &Rc<Self>, page: PageId, link: &Link) {
        let orphans = {
            let mut state = self.state.borrow_mut();
            state.pages.insert(page, link.clone());
            state.readers.detach(page)
        };
        self.give_out_again(orphans);
        let uploads = {
            let state = self.state.borrow();
            state
                .engine
                .snapshots(now())
                .iter()
                .map(UploadView::from)
                .collect()
        };
        let snapshot = PageMessage::Snapshot {
            engine: self.view.clone(),
            uploads,
            removed: Vec::new(),
            full: true,
        };
        link.post(&ToPage::Messages(Array::of1(&to_js(&snapshot))));
    }

    /// A page is gone.
    pub(super) fn detach(self: &Rc<Self>, page: PageId) {
        let orphans = {
            let mut state = self.state.borrow_mut();
            state.pages.remove(&page);
            state.readers.detach(page)
        };
        self.give_out_again(orphans);
    }

    /// A page said something.
    pub(super) fn on_page_message(self: &Rc<Self>, page: PageId, message: ToEngine) {
        match message {
            // Its port is known already: the node has taken the greeting.
            ToEngine::Hello(_) => {}
            ToEngine::Commands(commands) => self.on_commands(page, commands),
            ToEngine::Headers(headers) => {
                // The same ones again would be refused again.
                if self.tools.server.set_headers(headers) {
                    self.handle(Input::CredentialsRenewed);
                }
            }
            ToEngine::StagingReady { can_stage } => {
                let orphans = {
                    let mut state = self.state.borrow_mut();
                    if !state.pages.contains_key(&page) {
                        return;
                    }
                    state.readers.attach(page, can_stage)
                };
                self.give_out_again(orphans);
            }
            ToEngine::StagingGone => {
                let orphans = self.state.borrow_mut().readers.detach(page);
                self.give_out_again(orphans);
            }
            ToEngine::JobDone(done) => self.on_job_done(done),
            ToEngine::WantReport => self.tell_report(page),
            ToEngine::Connectivity { online } => self.handle(Input::Connectivity { online }),
            ToEngine::Bye => self.detach(page),
        }
    }

    fn on_commands(self: &Rc<Self>, page: PageId, commands: Vec<NumberedCommand>) {
        let acks = commands.iter().map(|command| command.id).collect();
        if let Some(link) = self.state.borrow().pages.get(&page) {
            link.post(&ToPage::Acks(acks));
        }
        for NumberedCommand { id, command } in commands {
            let mut state = self.state.borrow_mut();
            if state.seen.insert(id) {
                state.take_command(command);
            }
        }
        self.pump();
    }

    fn on_job_done(self: &Rc<Self>, done: JobDone) {
        let action = ActionId(done.id.action);
        if done.id.instance != self.instance {
            return;
        }
        let Some((_, job)) = self.state.borrow_mut().readers.remove(action) else {
            return;
        };
        let outcome = match (done.result, job.target) {
            (Ok(crc), JobTarget::Hash) => Outcome::Hashed(crc),
            (Ok(crc), JobTarget::Stage { .. }) => {
                self.tell_room_in_time();
                Outcome::Staged(crc)
            }
            (Err(failure), _) => Outcome::Failed(job_failure(failure)),
        };
        self.handle(Input::Done(action, outcome));
    }

    fn tell_report(&self, page: PageId) {
        let state = self.state.borrow();
        if let Some(link) = state.pages.get(&page)
            && let Ok(report) = json::write(&state.engine.recording().report())
        {
            link.post(&ToPage::Report(report));
        }
    }

    /// Asks the pages for other headers after a call was refused for want of credentials; once in a
    /// while, since those they give may be refused as well.
    pub(super) fn want_headers(&self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Failed(Failure::Http { status: 401, .. })) {
            return;
        }
        let now_ms = monotonic_ms();
        let mut state = self.state.borrow_mut();
        let asked_ms = state.headers_wanted_ms;
        if asked_ms.is_some_and(|asked_ms| now_ms - asked_ms < HEADERS_INTERVAL_MS) {
            return;
        }
        state.headers_wanted_ms = Some(now_ms);
        let wanted = ToPage::Messages(Array::of1(&to_js(&PageMessage::HeadersWanted)));
        for link in state.pages.values() {
            link.post(&wanted);
        }
    }

    /// Tells the engine how much can still be written to disk.
    async fn tell_room(self: &Rc<Self>) {
        // Nothing may wait for a browser that never answers.
        let estimate = pin!(estimate_room());
        let bytes = match select(estimate, TimeoutFuture::new(ROOM_TIMEOUT_MS)).await {
            Either::Left((bytes, _)) => bytes,
            Either::Right(_) => None,
        };
        self.handle(Input::Room { bytes });
    }

    /// The same, once in a while: an estimate takes the browser some time.
    pub(super) fn tell_room_in_time(self: &Rc<Self>) {
        let now_ms = monotonic_ms();
        {
            let mut state = self.state.borrow_mut();
            if now_ms - state.room_told_ms < ROOM_INTERVAL_MS {
                return;
            }
            state.room_told_ms = now_ms;
        }
        let driver = Rc::clone(self);
        spawn_local(async move { driver.tell_room().await });
    }

    fn watch_browser(self: &Rc<Self>) {
        for (event, online) in [("online", true), ("offline", false)] {
            let driver = Rc::clone(self);
            on_window(event, move || driver.handle(Input::Connectivity { online }));
        }
        let driver = Rc::clone(self);
        let mut watch = ClockWatch::new(monotonic_ms(), wall_clock_ms());
        let look = Interval::new(CHECK_INTERVAL_MS, move || {
            if watch.has_jumped(monotonic_ms(), wall_clock_ms()) {
                driver.handle(Input::ClockJumped);
            }
        });
        // An engine lives as long as its worker.
        look.forget();
    }
}

impl State {
    fn take_command(&mut self, command: PageCommand) {
        let command = match command {
            PageCommand::Pick { upload, file, as_new } => {
                let info = describe(&file);
                let source = self.keep(file, upload);
                if self.engine.snapshot(now(), upload).is_some() {
                    // Offered again by a page that outlived the engine before this one.
                    Command::Provide {
                        upload,
                        source,
                        file: info,
                    }
                } else {
                    self.publisher.on_added(upload);
                    Command::Pick {
                        upload,
                        source,
                        file: info,
                        as_new,
                    }
                }
            }
            PageCommand::Provide { upload, file } => {
                let info = describe(&file);
                let source = self.keep(file, upload);
                Command::Provide {
                    upload,
                    source,
                    file: info,
                }
            }
            PageCommand::Pause(upload) => Command::Pause(upload),
            PageCommand::Resume(upload) => Command::Resume(upload),
            PageCommand::Cancel(upload) => Command::Cancel(upload),
            PageCommand::Dismiss(upload) => Command::Dismiss(upload),
        };
        self.engine.command(now(), command);
    }

    fn keep(&mut self, file: File, picked_as: ClientUploadId) -> SourceId {
        let id = SourceId(self.next_source);
        self.next_source += 1;
        self.sources.insert(id, Source { file, picked_as });
        id
    }
}

impl SeenCommands {
    /// Whether the command is new.
    fn insert(&mut self, id: Uuid) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > SEEN_COMMANDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// Now, by this worker's monotonic clock.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds since the worker started: small and not negative"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(monotonic_ms() as u64)
}

fn config(settings: &Settings) -> EngineConfig {
    let mut config = EngineConfig::default();
    if let Some(concurrency) = settings.concurrency {
        config.parts_in_flight_max = concurrency.clamp(1, CONCURRENCY_MAX);
    }
    config.bandwidth_bytes_per_second = settings.bandwidth_bytes_per_second;
    // What the page may wish is checked there; anything else never comes from it.
    config.part_size_bytes = settings.part_size_bytes.filter(|size| {
        (PART_SIZE_BYTES_MIN..=PART_SIZE_BYTES_MAX).contains(size) && size.is_multiple_of(MIB)
    });
    config
}

fn describe(file: &File) -> FileInfo {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole milliseconds, far below 2^53"
    )]
    let last_modified_ms = file.last_modified() as i64;
    FileInfo {
        name: file.name(),
        size_bytes: size_from_js(file.size()).unwrap_or(0),
        content_type: file.type_(),
        last_modified_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_sent_twice_is_new_once() {
        let mut seen = SeenCommands::default();
        assert!(seen.insert(Uuid::from_u128(1)));
        assert!(!seen.insert(Uuid::from_u128(1)));
    }

    #[test]
    fn memory_of_commands_is_bounded() {
        let mut seen = SeenCommands::default();
        for number in 0..2 * SEEN_COMMANDS_MAX as u128 {
            assert!(seen.insert(Uuid::from_u128(number)));
        }
        assert_eq!(
            (seen.ids.len(), seen.order.len()),
            (SEEN_COMMANDS_MAX, SEEN_COMMANDS_MAX)
        );
    }

    #[test]
    fn wished_part_size_outside_the_limits_is_the_servers_choice() {
        for wish in [0, PART_SIZE_BYTES_MIN - 1, PART_SIZE_BYTES_MIN + 1, u64::MAX] {
            let settings = Settings {
                concurrency: Some(u32::MAX),
                part_size_bytes: Some(wish),
                bandwidth_bytes_per_second: None,
            };
            let config = config(&settings);
            assert_eq!(config.part_size_bytes, None, "{wish}");
            assert_eq!(config.parts_in_flight_max, CONCURRENCY_MAX);
        }
    }
}
