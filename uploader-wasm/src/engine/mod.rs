//! The engine worker: shared by the pages of an origin, or of one page.
//!
//! One worker serves every realm its pages name, each apart from the others.

mod bug;
mod clock;
mod driver;
mod link;
mod node;
mod publisher;
mod pump;
mod readers;
mod tasks;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{MessageEvent, MessagePort};

use crate::browser::{HeldLock, crypto_uuid, locks_available};
use crate::messages::{Hello, MESSAGES_VERSION, PageId, ToEngine, ToPage, from_js};
use crate::realm::Realm;
use node::Node;

thread_local! {
    static NODES: RefCell<HashMap<Realm, Rc<Node>>> = RefCell::default();
    /// Held for as long as this worker lives; pages wait for it to notice the worker's end.
    static WORKER_LOCK: RefCell<WorkerLock> = const { RefCell::new(WorkerLock::None) };
}

enum WorkerLock {
    /// Not yet granted, or there are no locks.
    None,
    Held {
        name: String,
        _lock: HeldLock,
    },
}

/// Prepares this worker. Called once, by the worker's script, before the first [`engine_connect`].
#[wasm_bindgen(js_name = startEngine)]
pub fn start_engine() {
    reserve_memory();
    bug::report_panics();
    if !locks_available() {
        return;
    }
    spawn_local(async {
        let name = format!("holdfast-worker:{}", crypto_uuid());
        let lock = HeldLock::acquire(&name).await;
        WORKER_LOCK.set(WorkerLock::Held { name, _lock: lock });
        NODES.with_borrow(|nodes| nodes.values().for_each(|node| node.welcome_all()));
    });
}

/// Takes the memory that an engine may need at once and gives it back to the allocator. What wasm has
/// taken it keeps, so from here on memory is the same whatever is uploaded.
fn reserve_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(
        RESERVED_MEMORY_BYTES,
    )));
}

/// A table of 10,000 parts takes one MiB, and sixteen uploads of that size are worked on at a time.
const RESERVED_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// Takes a page's port. What the page has sent on it already is waiting in it.
#[wasm_bindgen(js_name = engineConnect)]
pub fn engine_connect(port: &MessagePort) {
    let pages_port = port.clone();
    let mut connected: Option<(PageId, Rc<Node>)> = None;
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let Some(message) = from_js::<ToEngine>(event.data()) else {
            return;
        };
        match (message, &connected) {
            (ToEngine::Hello(hello), _) if hello.version == MESSAGES_VERSION => {
                let page = hello.page;
                let node = node_of(&hello);
                node.add_page(pages_port.clone(), hello);
                connected = Some((page, node));
            }
            (ToEngine::Hello(_), _) | (_, None) => {}
            (message, Some((page, node))) => node.on_page_message(*page, message),
        }
    });
    port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    bug::remember_port(port);
    // Lives as long as its port, of which the browser keeps count, not we.
    on_message.forget();
}

/// What a page is told when it has been taken.
fn welcome() -> ToPage {
    let worker_lock = WORKER_LOCK.with_borrow(|lock| match lock {
        WorkerLock::None => None,
        WorkerLock::Held { name, .. } => Some(name.clone()),
    });
    ToPage::Welcome { worker_lock }
}

fn node_of(hello: &Hello) -> Rc<Node> {
    let known = NODES.with_borrow(|nodes| nodes.get(&hello.realm).cloned());
    known.unwrap_or_else(|| {
        let node = Node::start(hello.realm.clone(), hello.settings.clone());
        NODES.with_borrow_mut(|nodes| nodes.insert(hello.realm.clone(), Rc::clone(&node)));
        node
    })
}
