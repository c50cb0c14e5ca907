//! The way to a page: its port, or the worker that has its port.

use serde::{Deserialize, Serialize};
use web_sys::{BroadcastChannel, MessagePort};

use crate::messages::{MESSAGES_VERSION, OnChannel, PageId, ToPage, from_js, to_js};

/// The way to a page.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// It is this worker's own.
    Port(MessagePort),
    /// It is another worker's.
    Channel(BroadcastChannel, PageId),
}

impl Link {
    /// Tells the page. One that is gone hears nothing; its end is noticed by its lock.
    pub(super) fn post(&self, message: &ToPage) {
        match self {
            Self::Port(port) => drop(port.post_message(&to_js(message))),
            Self::Channel(channel, page) => post_on_channel(
                channel,
                OnChannel::ForPage {
                    page: *page,
                    message: message.clone(),
                },
            ),
        }
    }
}

/// What stands on the channel: two builds may share it.
#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    body: OnChannel,
}

pub(super) fn post_on_channel(channel: &BroadcastChannel, body: OnChannel) {
    let envelope = Envelope {
        version: MESSAGES_VERSION,
        body,
    };
    drop(channel.post_message(&to_js(&envelope)));
}

/// Reads what came by the channel. `None` for another build's message.
pub(super) fn read_from_channel(data: wasm_bindgen::JsValue) -> Option<OnChannel> {
    let envelope: Envelope = from_js(data)?;
    (envelope.version == MESSAGES_VERSION).then_some(envelope.body)
}
