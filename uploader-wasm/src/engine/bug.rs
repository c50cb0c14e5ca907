//! A panic must not look like a stalled upload: the pages are told, then the worker ends, so that its
//! lock passes to another and the uploads go on from disk.

use std::cell::RefCell;

use js_sys::{Array, Function, Reflect};
use upload_engine::Recording;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessagePort;

use crate::browser::report;
use crate::json;
use crate::messages::{ToPage, to_js};
use crate::view::PageMessage;

thread_local! {
    /// Of every engine of this worker.
    static RECORDINGS: RefCell<Vec<Recording>> = const { RefCell::new(Vec::new()) };
    static PORTS: RefCell<Vec<MessagePort>> = const { RefCell::new(Vec::new()) };
}

/// Ports that are told of a panic, at most; the oldest are forgotten.
const PORTS_MAX: usize = 64;

pub(super) fn remember_port(port: &MessagePort) {
    PORTS.with_borrow_mut(|ports| {
        if ports.len() >= PORTS_MAX {
            ports.remove(0);
        }
        ports.push(port.clone());
    });
}

/// An engine's recording is told with the bug that ends it.
pub(super) fn remember_recording(recording: Recording) {
    RECORDINGS.with_borrow_mut(|recordings| recordings.push(recording));
}

/// Of the newest engine: where there are several, any may be the one that failed.
fn last_report() -> Option<String> {
    RECORDINGS.with(|recordings| {
        let recordings = recordings.try_borrow().ok()?;
        json::write(&recordings.last()?.report()).ok()
    })
}

pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let detail = format!("upload engine: {info}");
        report(&detail);
        let bug = PageMessage::EngineBug {
            detail,
            report: last_report(),
        };
        let message = to_js(&ToPage::Messages(Array::of1(&to_js(&bug))));
        PORTS.with(|ports| {
            if let Ok(ports) = ports.try_borrow() {
                for port in ports.iter() {
                    drop(port.post_message(&message));
                }
            }
        });
        let global = js_sys::global();
        if let Ok(close) = Reflect::get(&global, &JsValue::from("close"))
            && let Some(close) = close.dyn_ref::<Function>()
        {
            drop(close.call0(&global));
        }
    }));
}
