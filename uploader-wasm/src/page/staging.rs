//! The page's staging worker, by gloo-worker.

use gloo_worker::{Spawnable, WorkerBridge};
use js_sys::Array;
use wasm_bindgen::prelude::*;
use web_sys::{BroadcastChannel, MessageEvent};

use crate::messages::PageId;
use crate::staging::{BUG_CHANNEL, FromStaging, MessageCodec, StagingWorker, ToStaging};

/// A running staging worker. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Staging {
    bridge: WorkerBridge<StagingWorker>,
}

impl Staging {
    /// Starts the worker. `None` where its script is of another origin, which no worker may be: the
    /// engine then hashes by itself.
    pub(super) fn start(url: &str, page: PageId, on_message: impl Fn(FromStaging) + 'static) -> Option<Self> {
        let origin = web_sys::window()?.location().origin().ok()?;
        let is_own = url
            .strip_prefix(&origin)
            .is_some_and(|path| path.starts_with('/'));
        if !is_own {
            return None;
        }
        let bridge = StagingWorker::spawner()
            .encoding::<MessageCodec>()
            .with_loader(true)
            .callback(on_message)
            .spawn(url);
        bridge.send(ToStaging::Page(page));
        Some(Self { bridge })
    }

    pub(super) fn send(&self, message: ToStaging) {
        self.bridge.send(message);
    }
}

/// Listens for bugs of this page's staging workers.
#[derive(Debug)]
pub(super) struct BugListener {
    channel: BroadcastChannel,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl BugListener {
    pub(super) fn start(page: PageId, on_bug: impl Fn(String) + 'static) -> Option<Self> {
        let channel = BroadcastChannel::new(BUG_CHANNEL).ok()?;
        let own = page.0.to_string();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let Ok(message) = event.data().dyn_into::<Array>() else {
                return;
            };
            if message.get(0).as_string().as_deref() == Some(own.as_str()) {
                on_bug(message.get(1).as_string().unwrap_or_default());
            }
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Some(Self {
            channel,
            _on_message: on_message,
        })
    }
}

impl Drop for BugListener {
    fn drop(&mut self) {
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}
