//! One realm in one worker. Whoever of all workers holds the realm's Web Lock runs the engine; the
//! others pass messages between their pages and that one, and wait for the lock.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{BroadcastChannel, MessageEvent, MessagePort};

use super::driver::Driver;
use super::link::{Link, post_on_channel, read_from_channel};
use super::welcome;
use crate::browser::{HeldLock, WorkerKind, locks_available, worker_kind};
use crate::messages::{Hello, OnChannel, PageId, Settings, ToEngine};
use crate::realm::Realm;
use crate::view::HostKind;

/// One realm in one worker.
pub(super) struct Node {
    realm: Realm,
    settings: Settings,
    /// To the other workers of the realm. `None` where the browser has no such channel: then there is
    /// no other worker that could be told either.
    channel: Option<BroadcastChannel>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Pages whose ports this worker has.
    pages: HashMap<PageId, (MessagePort, Hello)>,
    /// Pages whose end is waited for.
    watched: HashSet<PageId>,
    role: Role,
}

#[derive(Default)]
enum Role {
    /// Another worker is the engine, or this one is about to be.
    #[default]
    Follower,
    /// This worker is the engine.
    Engine {
        driver: Rc<Driver>,
        /// Never released but by this worker's end. `None` where there are no locks.
        _lock: Option<HeldLock>,
    },
}

impl Node {
    pub(super) fn start(realm: Realm, settings: Settings) -> Rc<Self> {
        let node = Rc::new(Self {
            channel: BroadcastChannel::new(&realm.engine_name()).ok(),
            realm,
            settings,
            state: RefCell::default(),
        });
        node.listen_to_channel();
        spawn_local(Rc::clone(&node).become_engine());
        node
    }

    /// Takes a page's port. A page that comes again, after a reconnect, replaces itself.
    pub(super) fn add_page(self: &Rc<Self>, port: MessagePort, hello: Hello) {
        let link = Link::Port(port.clone());
        link.post(&welcome());
        self.watch(&hello);
        let page = hello.page;
        self.state.borrow_mut().pages.insert(page, (port, hello.clone()));
        match self.driver() {
            Some(driver) => driver.attach(page, &link),
            None => self.broadcast(OnChannel::Join(hello)),
        }
    }

    /// Passes on what a page of this worker said.
    pub(super) fn on_page_message(&self, page: PageId, message: ToEngine) {
        let is_bye = matches!(message, ToEngine::Bye);
        match self.driver() {
            Some(driver) => driver.on_page_message(page, message),
            // Lost when there is no engine just now: the page sends again what wasn't acknowledged.
            None => self.broadcast(OnChannel::FromPage { page, message }),
        }
        if is_bye {
            self.state.borrow_mut().pages.remove(&page);
        }
    }

    /// Tells all pages again what a page is told first: the worker's lock is held now.
    pub(super) fn welcome_all(&self) {
        for (port, _) in self.state.borrow().pages.values() {
            Link::Port(port.clone()).post(&welcome());
        }
    }

    async fn become_engine(self: Rc<Self>) {
        let lock = if locks_available() {
            Some(HeldLock::acquire(&self.realm.engine_name()).await)
        } else {
            None
        };
        let host = match worker_kind() {
            WorkerKind::Shared => HostKind::SharedWorker,
            WorkerKind::Dedicated | WorkerKind::None => HostKind::DedicatedWorker,
        };
        let driver = Driver::start(self.realm.clone(), &self.settings, host).await;
        let pages: Vec<_> = {
            let mut state = self.state.borrow_mut();
            state.role = Role::Engine {
                driver: Rc::clone(&driver),
                _lock: lock,
            };
            let own = state.pages.iter();
            own.map(|(page, (port, _))| (*page, Link::Port(port.clone())))
                .collect()
        };
        for (page, link) in pages {
            driver.attach(page, &link);
        }
        self.broadcast(OnChannel::HolderHere);
    }

    fn driver(&self) -> Option<Rc<Driver>> {
        match &self.state.borrow().role {
            Role::Follower => None,
            Role::Engine { driver, .. } => Some(Rc::clone(driver)),
        }
    }

    fn broadcast(&self, message: OnChannel) {
        if let Some(channel) = &self.channel {
            post_on_channel(channel, message);
        }
    }

    fn listen_to_channel(self: &Rc<Self>) {
        let Some(channel) = &self.channel else { return };
        let node = Rc::downgrade(self);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if let (Some(node), Some(message)) = (node.upgrade(), read_from_channel(event.data())) {
                node.on_channel_message(message);
            }
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // A node lives as long as its worker.
        on_message.forget();
    }

    fn on_channel_message(self: &Rc<Self>, message: OnChannel) {
        match (message, self.driver()) {
            (OnChannel::HolderHere, None) => {
                let hellos: Vec<_> = {
                    let state = self.state.borrow();
                    state.pages.values().map(|(_, hello)| hello.clone()).collect()
                };
                for hello in hellos {
                    self.broadcast(OnChannel::Join(hello));
                }
            }
            (OnChannel::Join(hello), Some(driver)) => {
                if let Some(channel) = &self.channel
                    && hello.realm == self.realm
                {
                    self.watch(&hello);
                    driver.attach(hello.page, &Link::Channel(channel.clone(), hello.page));
                }
            }
            (OnChannel::FromPage { page, message }, Some(driver)) => driver.on_page_message(page, message),
            (OnChannel::ForPage { page, message }, None) => {
                if let Some((port, _)) = self.state.borrow().pages.get(&page) {
                    Link::Port(port.clone()).post(&message);
                }
            }
            // The engine hears itself called only by a worker of another build that stole its lock, and
            // followers don't answer each other.
            (OnChannel::HolderHere | OnChannel::ForPage { .. }, Some(_))
            | (OnChannel::Join(_) | OnChannel::FromPage { .. }, None) => {}
        }
    }

    /// Waits for a page's end: the browser releases its lock then, however it ended.
    fn watch(self: &Rc<Self>, hello: &Hello) {
        let page = hello.page;
        if !hello.locked || !self.state.borrow_mut().watched.insert(page) {
            return;
        }
        let node = Rc::clone(self);
        spawn_local(async move {
            drop(HeldLock::acquire(&page.lock_name()).await);
            {
                let mut state = node.state.borrow_mut();
                state.watched.remove(&page);
                state.pages.remove(&page);
            }
            if let Some(driver) = node.driver() {
                driver.detach(page);
            }
        });
    }
}
