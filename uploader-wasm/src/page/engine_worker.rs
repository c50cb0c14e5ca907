//! Starting or joining the engine worker.

use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessagePort, SharedWorker, Worker, WorkerOptions, WorkerType};

use crate::browser::fault;
use crate::view::HostKind;

/// Every page must name its shared worker alike, or each gets one of its own.
const NAME: &str = "holdfast";

/// A worker and this page's port to it.
#[derive(Debug)]
pub(super) struct EngineWorker {
    pub(super) port: MessagePort,
    pub(super) kind: HostKind,
    worker: Handle,
    _on_error: Closure<dyn FnMut()>,
}

#[derive(Debug)]
enum Handle {
    Shared(SharedWorker),
    Dedicated(Worker),
}

impl EngineWorker {
    /// Joins the shared worker, or starts a dedicated one where there is none or it is not wanted.
    /// `on_error` is called when its script doesn't load.
    pub(super) fn connect(
        wanted: HostKind,
        url: &str,
        on_error: impl FnMut() + 'static,
    ) -> Result<Self, String> {
        let on_error = Closure::<dyn FnMut()>::new(on_error);
        let listener = on_error.as_ref().unchecked_ref();
        if wanted == HostKind::SharedWorker
            && has_shared_workers()
            && let Ok(worker) = SharedWorker::new_with_worker_options(url, &options())
        {
            worker.set_onerror(Some(listener));
            return Ok(Self {
                port: worker.port(),
                kind: HostKind::SharedWorker,
                worker: Handle::Shared(worker),
                _on_error: on_error,
            });
        }
        let explain = |thrown: JsValue| format!("the engine worker can't be started: {}", fault(&thrown));
        let channel = MessageChannel::new().map_err(explain)?;
        let worker = Worker::new_with_options(url, &options()).map_err(explain)?;
        worker.set_onerror(Some(listener));
        let port = channel.port2();
        worker
            .post_message_with_transfer(&JsValue::NULL, &Array::of1(&port))
            .map_err(explain)?;
        Ok(Self {
            port: channel.port1(),
            kind: HostKind::DedicatedWorker,
            worker: Handle::Dedicated(worker),
            _on_error: on_error,
        })
    }
}

impl Drop for EngineWorker {
    /// Leaves the worker: a shared one goes on, a dedicated one has nobody else and ends.
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        match &self.worker {
            Handle::Shared(worker) => {
                worker.set_onerror(None);
                self.port.close();
            }
            Handle::Dedicated(worker) => {
                worker.set_onerror(None);
                worker.terminate();
            }
        }
    }
}

fn has_shared_workers() -> bool {
    Reflect::get(&js_sys::global(), &"SharedWorker".into()).is_ok_and(|class| class.is_function())
}

fn options() -> WorkerOptions {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(NAME);
    // The worker goes on after its last page: Chromium since 2026, elsewhere not read.
    // <https://github.com/w3c/ServiceWorker/issues/1803>
    Reflect::set(&options, &"extendedLifetime".into(), &true.into()).ok();
    options
}
