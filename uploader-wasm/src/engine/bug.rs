//! A panic must not look like a stalled upload: the pages are told, then the worker ends, so that its
//! lock passes to another and the uploads go on from disk.

use std::cell::RefCell;

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessagePort;

use crate::browser::report;
use crate::messages::{ToPage, to_js};
use crate::view::PageMessage;

thread_local! {
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

pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let detail = format!("upload engine: {info}");
        report(&detail);
        let message = to_js(&ToPage::Message(to_js(&PageMessage::EngineBug { detail })));
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
