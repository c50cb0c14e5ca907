//! Carrying out the engine's actions: each a future that ends in its outcome. Dropped, it stops.

use std::rc::Rc;

use upload_engine::{Action, Failure, Outcome, PartBytes};
use upload_protocol::ByteRange;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use crate::messages::JobFailure;
use crate::net::{PutTarget, Server, put_part};
use crate::storage::{Storage, StorageFault};
use crate::view::size_to_js;

/// What actions are carried out with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) server: Server,
    pub(super) storage: Rc<Storage>,
}

impl Tools {
    /// Carries out an action that needs no staging worker. `source` is the picked file of a PUT from
    /// one. Hashing, staging and cancelling are the driver's own and end here in nothing done.
    pub(super) async fn carry_out(
        &self,
        action: Action,
        source: Option<File>,
        on_progress: impl Fn(u64) + 'static,
    ) -> Outcome {
        match action {
            Action::FreePart { upload, part, crc } => stored(self.storage.free(upload, part, crc).await),
            Action::Forget { upload } => stored(self.storage.forget(upload).await),
            Action::SaveCheckpoint { checkpoint } => stored(self.storage.save(&checkpoint).await),
            Action::Start { key, request } => self.server.start(key, &request).await,
            Action::StartMany { request } => self.server.start_many(&request).await,
            Action::CompleteMany { request } => self.server.complete_many(&request).await,
            Action::Call {
                session, token, call, ..
            } => self.server.call(session, &token, &call).await,
            Action::PutPart {
                upload,
                part,
                range,
                bytes,
                url,
                headers,
            } => {
                let blob = match bytes {
                    PartBytes::Source(_) => slice(source, range),
                    PartBytes::Staged(crc) => self.storage.read(upload, part, crc, range.size_bytes()).await,
                };
                let sent = match blob {
                    Ok(blob) => send(&PutTarget { url, headers }, &blob, bytes, on_progress).await,
                    Err(failure) => Err(failure),
                };
                sent.map_or_else(Outcome::Failed, |()| Outcome::Put)
            }
            Action::HashPart { .. } | Action::StagePart { .. } | Action::Cancel(_) => Outcome::Done,
        }
    }
}

/// The failure that a staging job's failure means.
pub(super) fn job_failure(failure: JobFailure) -> Failure {
    match failure {
        JobFailure::SourceUnreadable(detail) => Failure::SourceUnreadable { detail },
        JobFailure::QuotaExceeded => Failure::QuotaExceeded,
        JobFailure::StorageUnavailable(detail) => Failure::StorageUnavailable { detail },
    }
}

fn stored(result: Result<(), StorageFault>) -> Outcome {
    result.map_or_else(|fault| Outcome::Failed(fault.into()), |()| Outcome::Done)
}

fn slice(source: Option<File>, range: ByteRange) -> Result<Blob, Failure> {
    let unreadable = |detail: &str| Failure::SourceUnreadable {
        detail: detail.into(),
    };
    let file = source.ok_or_else(|| unreadable("this engine does not have the file"))?;
    file.slice_with_f64_and_f64(size_to_js(range.start), size_to_js(range.end))
        .map_err(|_| unreadable("the browser can't slice it"))
}

async fn send(
    target: &PutTarget,
    blob: &Blob,
    bytes: PartBytes,
    on_progress: impl Fn(u64) + 'static,
) -> Result<(), Failure> {
    let sent = put_part(target, blob, on_progress).await;
    // A browser tells a request whose body it can't read like one whose network is gone.
    if let Err(Failure::Transport { .. }) = &sent
        && let Err(detail) = probe(blob).await
    {
        return Err(match bytes {
            PartBytes::Source(_) => Failure::SourceUnreadable { detail },
            PartBytes::Staged(_) => Failure::StagedUnreadable { detail },
        });
    }
    sent
}

/// Reads one byte: `Err` says why that is impossible.
async fn probe(blob: &Blob) -> Result<(), String> {
    let explain = |thrown: wasm_bindgen::JsValue| crate::browser::fault(&thrown).to_string();
    let first = blob.slice_with_f64_and_f64(0.0, 1.0).map_err(explain)?;
    JsFuture::from(first.array_buffer())
        .await
        .map(drop)
        .map_err(explain)
}
