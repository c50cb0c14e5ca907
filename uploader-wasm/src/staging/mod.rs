//! A page's dedicated worker: hashes parts, and writes them to disk.
//!
//! A worker of the page, because a `SharedWorker` can't start one in Chromium, nor open a sync access
//! handle anywhere.

mod codec;
mod crc64;
mod lanes;
mod read;
mod worker;
mod write;

use wasm_bindgen::prelude::*;

pub use codec::MessageCodec;
pub use read::hash_part;
pub use worker::{BUG_CHANNEL, FromStaging, StagingWorker, ToStaging};

/// Starts the staging worker in this context. Called once by the worker's script, after the module has
/// loaded; messages that came before are waiting at the page.
#[wasm_bindgen(js_name = startStaging)]
pub fn start_staging() {
    use gloo_worker::Registrable;

    worker::report_panics();
    StagingWorker::registrar().encoding::<MessageCodec>().register();
}
