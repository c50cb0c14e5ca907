//! `PageHost`: the class that the client's TypeScript uses.

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, Promise};
use upload_protocol::ClientUploadId;
use uuid::Uuid;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};
use web_sys::{File, MessageEvent};

use super::engine_worker::EngineWorker;
use super::held::{Heard, HeldFiles};
use super::options::Options;
use super::outbox::Outbox;
use super::staging::{BugListener, Staging};
use crate::browser::{HeldLock, crypto_uuid, is_online, locks_available, on_window, storage_manager};
use crate::messages::{
    ExtraHeaders, Hello, MESSAGES_VERSION, NumberedCommand, PageCommand, PageId, ToEngine, ToPage, from_js,
    to_js,
};
use crate::staging::{FromStaging, ToStaging};
use crate::view::{HostKind, PageMessage};

/// How often a worker that died is started again. One that dies more often has a bug that a further
/// start would meet too.
const RESTARTS_MAX: u32 = 3;

/// Before a worker that died is started again, in ms.
const RESTART_DELAY_MS: u32 = 1_000;

/// An engine that has not told its report for so long, in ms, won't.
const REPORT_TIMEOUT_MS: u32 = 5_000;

/// A page's connection to the engine of its endpoint and scope.
#[wasm_bindgen]
#[derive(Debug)]
pub struct PageHost {
    page: Rc<Page>,
}

#[wasm_bindgen]
impl PageHost {
    /// Connects to the engine, starting it when this page is the first. `onMessage` is called with
    /// every `PageMessage`, first with a full snapshot.
    ///
    /// # Errors
    /// When an option is missing or no number.
    #[wasm_bindgen(constructor)]
    pub fn new(options: JsValue, on_message: Function) -> Result<PageHost, JsError> {
        let options = Options::read(options).map_err(|error| JsError::new(&error))?;
        Ok(Self {
            page: Page::start(options, on_message),
        })
    }

    /// Hands over picked files. Answers the ids of their uploads, in the same order.
    pub fn add(&self, files: Vec<File>, as_new: bool) -> Vec<String> {
        self.page.ask_for_persistence();
        let mut ids = Vec::with_capacity(files.len());
        let pick = |file: File| {
            let upload = ClientUploadId::new(crypto_uuid());
            ids.push(upload.to_string());
            let mut state = self.page.state.borrow_mut();
            state.held.hold(upload, file.clone(), as_new);
            PageCommand::Pick { upload, file, as_new }
        };
        let commands = files.into_iter().map(pick).collect();
        self.page.commands(commands);
        ids
    }

    /// Gives an upload that needs its file that file. It is compared before anything is sent.
    pub fn provide(&self, upload_id: &str, file: File) {
        if let Some(upload) = ClientUploadId::parse(upload_id) {
            self.page
                .state
                .borrow_mut()
                .held
                .hold(upload, file.clone(), false);
            self.page.command(PageCommand::Provide { upload, file });
        }
    }

    /// Headers to send with every call to the server from now on: pairs of name and value.
    ///
    /// # Errors
    /// When they are no such pairs.
    #[wasm_bindgen(js_name = setHeaders)]
    pub fn set_headers(&self, headers: JsValue) -> Result<(), JsError> {
        let headers: ExtraHeaders = serde_wasm_bindgen::from_value(headers)
            .map_err(|_| JsError::new("headers are no pairs of text"))?;
        let is_attached = {
            let mut state = self.page.state.borrow_mut();
            state.headers = Some(headers.clone());
            state.engine.is_some()
        };
        if is_attached {
            self.page.post(&ToEngine::Headers(headers));
        }
        Ok(())
    }

    /// Stops sending until resumed.
    pub fn pause(&self, upload_id: &str) {
        self.page.command_on(upload_id, PageCommand::Pause);
    }

    /// Goes on after a pause, or tries a failed upload again.
    pub fn resume(&self, upload_id: &str) {
        self.page.command_on(upload_id, PageCommand::Resume);
    }

    /// Gives up; what the store holds of it is deleted.
    pub fn cancel(&self, upload_id: &str) {
        self.page.command_on(upload_id, PageCommand::Cancel);
    }

    /// Drops an upload that has ended from the list.
    pub fn dismiss(&self, upload_id: &str) {
        self.page.command_on(upload_id, PageCommand::Dismiss);
    }

    /// What the engine has been told so far, as JSON, without names, URLs and tokens: the report of a
    /// bug. Resolves to `null` when there is no engine, or it does not answer for five seconds.
    pub fn report(&self) -> Promise {
        let page = Rc::clone(&self.page);
        future_to_promise(async move {
            let report = page.want_report().await;
            Ok(report.map_or(JsValue::NULL, JsValue::from))
        })
    }

    /// Leaves the engine. In a shared worker it goes on; a dedicated one of this page ends with this
    /// call, and what is on disk goes on with the next connection.
    pub fn close(&self) {
        self.page.close();
    }
}

/// A page, from its connection to its end.
#[derive(Debug)]
struct Page {
    id: PageId,
    options: Options,
    on_message: Function,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Where the next worker runs: a shared one that doesn't load is followed by a dedicated one.
    host: Option<HostKind>,
    worker: Option<Connected>,
    /// The page has gone and told so. It may come back from the browser's back-forward cache.
    left: bool,
    /// The engine that this page has heard of last, by its instance.
    engine: Option<String>,
    /// What this page wants sent with every call; given to each engine before any command.
    headers: Option<ExtraHeaders>,
    outbox: Outbox<PageCommand>,
    held: HeldFiles<File>,
    staging: Option<Staging>,
    /// What the staging worker said of itself.
    can_stage: Option<bool>,
    bugs: Option<BugListener>,
    page_lock: Option<HeldLock>,
    restarts: u32,
    asked_for_persistence: bool,
    /// Who waits for the engine's report.
    wanting_report: Vec<oneshot::Sender<String>>,
}

#[derive(Debug)]
struct Connected {
    worker: EngineWorker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    /// The lock that says that the worker lives, once waited for.
    lock_name: Option<String>,
}

impl Page {
    fn start(options: Options, on_message: Function) -> Rc<Self> {
        let page = Rc::new(Self {
            id: PageId(crypto_uuid()),
            options,
            on_message,
            state: RefCell::default(),
        });
        page.start_staging();
        for event in ["online", "offline"] {
            let page = Rc::downgrade(&page);
            on_window(event, move || {
                if let Some(page) = page.upgrade() {
                    page.post(&ToEngine::Connectivity { online: is_online() });
                }
            });
        }
        let goes = Rc::downgrade(&page);
        on_window("pagehide", move || {
            if let Some(page) = goes.upgrade()
                && !locks_available()
            {
                // With locks the browser tells it, whatever the page's end is.
                page.post(&ToEngine::Bye);
                page.state.borrow_mut().left = true;
            }
        });
        let returns = Rc::downgrade(&page);
        on_window("pageshow", move || {
            if let Some(page) = returns.upgrade() {
                page.come_back();
            }
        });
        let connecting = Rc::clone(&page);
        spawn_local(async move {
            if locks_available() {
                let lock = HeldLock::acquire(&connecting.id.lock_name()).await;
                let mut state = connecting.state.borrow_mut();
                // A page that was closed meanwhile gives it back.
                state.page_lock = (!state.closed).then_some(lock);
            }
            connecting.connect();
        });
        page
    }

    fn connect(self: &Rc<Self>) {
        let host = {
            let state = self.state.borrow();
            if state.closed {
                return;
            }
            state.host.unwrap_or(self.options.host)
        };
        let failing = Rc::downgrade(self);
        let on_error = move || {
            if let Some(page) = failing.upgrade() {
                spawn_local(async move { page.on_worker_error() });
            }
        };
        let worker = match EngineWorker::connect(host, &self.options.engine_worker_url, on_error) {
            Ok(worker) => worker,
            Err(detail) => return self.tell(&to_js(&PageMessage::bug(detail))),
        };
        let page = Rc::downgrade(self);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let (Some(page), Some(message)) = (page.upgrade(), from_js::<ToPage>(event.data())) {
                page.on_engine_message(message);
            }
        });
        worker
            .port
            .set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        self.state.borrow_mut().worker = Some(Connected {
            worker,
            _on_message: on_message,
            lock_name: None,
        });
        self.greet();
    }

    fn greet(&self) {
        self.post(&ToEngine::Hello(Hello {
            version: MESSAGES_VERSION,
            page: self.id,
            locked: locks_available(),
            realm: self.options.realm.clone(),
            settings: self.options.settings.clone(),
        }));
    }

    /// The browser shows the page again that it had kept. The engine that was left has forgotten it; a
    /// shared worker may have ended meanwhile, which nothing tells where there are no locks.
    fn come_back(self: &Rc<Self>) {
        if !std::mem::take(&mut self.state.borrow_mut().left) {
            return;
        }
        match self.worker_kind() {
            Some(HostKind::SharedWorker) => self.connect(),
            Some(HostKind::DedicatedWorker) => self.greet(),
            None => {}
        }
    }

    fn on_engine_message(self: &Rc<Self>, message: ToPage) {
        match message {
            ToPage::Welcome { worker_lock } => self.watch_worker(worker_lock),
            ToPage::Acks(ids) => self.state.borrow_mut().outbox.on_acks(&ids),
            ToPage::Messages(messages) => {
                for message in messages.iter() {
                    if let Some(heard) = from_js::<Heard>(message.clone()) {
                        self.on_heard(&heard);
                    }
                    self.tell(&message);
                }
            }
            ToPage::Report(report) => {
                for waiting in self.state.borrow_mut().wanting_report.drain(..) {
                    // Who no longer waits has given up.
                    drop(waiting.send(report.clone()));
                }
            }
            ToPage::Job(job) => self.send_to_staging(ToStaging::Job(job)),
            ToPage::CancelJob(job) => self.send_to_staging(ToStaging::Cancel(job)),
        }
    }

    fn on_heard(self: &Rc<Self>, heard: &Heard) {
        self.state.borrow_mut().held.on_heard(heard);
        if let Some(engine) = &heard.engine
            && heard.full
        {
            self.on_attached(&engine.instance);
        }
    }

    /// An engine has taken this page: it gets what the one before may not have had.
    fn on_attached(self: &Rc<Self>, instance: &str) {
        let (is_new_engine, can_stage, headers) = {
            let mut state = self.state.borrow_mut();
            let before = state.engine.replace(instance.to_owned());
            let is_new_engine = before.as_deref() != Some(instance);
            (is_new_engine, state.can_stage, state.headers.clone())
        };
        if let Some(headers) = headers {
            self.post(&ToEngine::Headers(headers));
        }
        if is_new_engine {
            if let Ok(instance) = Uuid::parse_str(instance) {
                self.send_to_staging(ToStaging::Engine(instance));
            }
            self.offer_held_files();
        }
        if let Some(can_stage) = can_stage {
            self.offer_staging(can_stage);
        }
        let waiting: Vec<_> = self.state.borrow().outbox.waiting().cloned().collect();
        self.post_commands(waiting);
    }

    fn post_commands(&self, commands: Vec<(Uuid, PageCommand)>) {
        let numbered = |(id, command)| NumberedCommand { id, command };
        let commands: Vec<_> = commands.into_iter().map(numbered).collect();
        if !commands.is_empty() {
            self.post(&ToEngine::Commands(commands));
        }
    }

    /// Lets the engine give jobs to this page's staging worker. Not where nothing would tell a shared
    /// engine of the page's end: it would wait for the answers for ever. It then hashes by itself.
    fn offer_staging(&self, can_stage: bool) {
        if locks_available() || self.worker_kind() == Some(HostKind::DedicatedWorker) {
            self.post(&ToEngine::StagingReady { can_stage });
        }
    }

    fn worker_kind(&self) -> Option<HostKind> {
        let state = self.state.borrow();
        state.worker.as_ref().map(|connected| connected.worker.kind)
    }

    /// Every file this page holds, but those that are on their way already. What a person has wanted
    /// since comes after: a cancelled upload that the engine does not know yet would start all the same.
    fn offer_held_files(&self) {
        let mut state = self.state.borrow_mut();
        let on_their_way: Vec<_> = state
            .outbox
            .waiting()
            .filter_map(|(_, command)| match command {
                PageCommand::Pick { upload, .. } | PageCommand::Provide { upload, .. } => Some(*upload),
                _ => None,
            })
            .collect();
        let offers: Vec<_> = state
            .held
            .iter()
            .filter(|(upload, _)| !on_their_way.contains(upload))
            .flat_map(|(upload, held)| {
                let pick = PageCommand::Pick {
                    upload,
                    file: held.file.clone(),
                    as_new: held.as_new,
                };
                [Some(pick), held.paused.then_some(PageCommand::Pause(upload))]
            })
            .flatten()
            .map(|offer| (crypto_uuid(), offer))
            .collect();
        state.outbox.push_first(offers);
    }

    fn command_on(&self, upload_id: &str, command: impl FnOnce(ClientUploadId) -> PageCommand) {
        if let Some(upload) = ClientUploadId::parse(upload_id) {
            self.command(command(upload));
        }
    }

    fn command(&self, command: PageCommand) {
        self.commands(vec![command]);
    }

    fn commands(&self, commands: Vec<PageCommand>) {
        let commands: Vec<_> = commands
            .into_iter()
            .map(|command| (crypto_uuid(), command))
            .collect();
        let is_attached = {
            let mut state = self.state.borrow_mut();
            for (id, command) in &commands {
                state.outbox.push(*id, command.clone());
            }
            state.engine.is_some()
        };
        // Without an engine they wait for one in the outbox.
        if is_attached {
            self.post_commands(commands);
        }
    }

    async fn want_report(&self) -> Option<String> {
        let (sender, report) = oneshot::channel();
        self.state.borrow_mut().wanting_report.push(sender);
        self.post(&ToEngine::WantReport);
        match select(report, TimeoutFuture::new(REPORT_TIMEOUT_MS)).await {
            Either::Left((report, _)) => report.ok(),
            Either::Right(_) => None,
        }
    }

    fn post(&self, message: &ToEngine) {
        if let Some(connected) = &self.state.borrow().worker {
            drop(connected.worker.port.post_message(&to_js(message)));
        }
    }

    fn send_to_staging(&self, message: ToStaging) {
        if let Some(staging) = &self.state.borrow().staging {
            staging.send(message);
        }
    }

    /// Calls the page's listener. An exception there is the page's own; it must not end up in wasm.
    fn tell(&self, message: &JsValue) {
        if !self.state.borrow().closed
            && let Err(thrown) = self.on_message.call1(&JsValue::UNDEFINED, message)
        {
            spawn_local(async move { wasm_bindgen::throw_val(thrown) });
        }
    }

    /// Waits for the worker's lock: to get it means that the worker has ended.
    fn watch_worker(self: &Rc<Self>, lock_name: Option<String>) {
        let Some(name) = lock_name else { return };
        {
            let mut state = self.state.borrow_mut();
            let Some(connected) = &mut state.worker else {
                return;
            };
            if connected.lock_name.as_ref() == Some(&name) {
                return;
            }
            connected.lock_name = Some(name.clone());
        }
        let page = Rc::clone(self);
        spawn_local(async move {
            drop(HeldLock::acquire(&name).await);
            let is_current = {
                let state = page.state.borrow();
                let current = state.worker.as_ref().and_then(|worker| worker.lock_name.as_ref());
                !state.closed && current == Some(&name)
            };
            if is_current {
                page.restart_worker().await;
            }
        });
    }

    /// The worker's script didn't load, or threw outside of the engine.
    fn on_worker_error(self: &Rc<Self>) {
        let (has_answered, kind) = {
            let state = self.state.borrow();
            let Some(connected) = &state.worker else { return };
            (
                connected.lock_name.is_some() || state.engine.is_some(),
                connected.worker.kind,
            )
        };
        if has_answered {
            // Its end, if this is it, shows by its lock.
            return;
        }
        if kind == HostKind::SharedWorker {
            let mut state = self.state.borrow_mut();
            state.host = Some(HostKind::DedicatedWorker);
            state.worker = None;
            drop(state);
            self.connect();
        } else {
            let detail = format!(
                "the engine worker did not load: {}",
                self.options.engine_worker_url
            );
            self.tell(&to_js(&PageMessage::bug(detail)));
        }
    }

    async fn restart_worker(self: &Rc<Self>) {
        let may_restart = {
            let mut state = self.state.borrow_mut();
            state.worker = None;
            state.engine = None;
            state.restarts += 1;
            state.restarts <= RESTARTS_MAX
        };
        if may_restart {
            TimeoutFuture::new(RESTART_DELAY_MS).await;
            self.connect();
        } else {
            let detail = format!("the engine worker ended {} times", RESTARTS_MAX + 1);
            self.tell(&to_js(&PageMessage::bug(detail)));
        }
    }

    fn start_staging(self: &Rc<Self>) {
        let page = Rc::downgrade(self);
        let staging = Staging::start(&self.options.staging_worker_url, self.id, move |message| {
            if let Some(page) = page.upgrade() {
                page.on_staging_message(message);
            }
        });
        let page = Rc::downgrade(self);
        let bugs = BugListener::start(self.id, move |detail| {
            if let Some(page) = page.upgrade() {
                page.on_staging_bug(detail);
            }
        });
        let mut state = self.state.borrow_mut();
        state.staging = staging;
        state.bugs = bugs;
    }

    fn on_staging_message(&self, message: FromStaging) {
        match message {
            FromStaging::Ready { can_stage } => {
                let is_attached = {
                    let mut state = self.state.borrow_mut();
                    state.can_stage = Some(can_stage);
                    state.engine.is_some()
                };
                if is_attached {
                    self.offer_staging(can_stage);
                }
            }
            FromStaging::Done(done) => self.post(&ToEngine::JobDone(done)),
        }
    }

    /// The staging worker has ended by a bug: its jobs go elsewhere, and a new one is started.
    fn on_staging_bug(self: &Rc<Self>, detail: String) {
        self.post(&ToEngine::StagingGone);
        let may_restart = {
            let mut state = self.state.borrow_mut();
            state.staging = None;
            state.can_stage = None;
            state.restarts += 1;
            state.restarts <= RESTARTS_MAX
        };
        self.tell(&to_js(&PageMessage::bug(detail)));
        if may_restart {
            let page = Rc::clone(self);
            // Not from within the old listener's call, which the new one replaces.
            spawn_local(async move { page.start_staging() });
        }
    }

    /// Asks the browser, once, not to delete this origin's storage when the disk runs low. Its answer
    /// changes nothing: less of it is only less safe.
    fn ask_for_persistence(&self) {
        let was_asked = std::mem::replace(&mut self.state.borrow_mut().asked_for_persistence, true);
        if was_asked {
            return;
        }
        let Some(storage) = storage_manager() else { return };
        spawn_local(async move {
            let Ok(persisted) = storage.persisted() else {
                return;
            };
            let is_persisted = JsFuture::from(persisted)
                .await
                .is_ok_and(|answer| answer.is_truthy());
            if !is_persisted && let Ok(asked) = storage.persist() {
                drop(JsFuture::from(asked).await);
            }
        });
    }

    fn close(&self) {
        self.post(&ToEngine::Bye);
        let mut state = self.state.borrow_mut();
        state.closed = true;
        // Dropped after the borrow: each tells the browser, none calls back here.
        let leaving = (
            state.worker.take(),
            state.staging.take(),
            state.bugs.take(),
            state.page_lock.take(),
        );
        drop(state);
        drop(leaving);
    }
}
