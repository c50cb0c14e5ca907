//! Parts to the store, by XHR: it tells how far it is, and a `Blob` slice costs no copy.
//!
//! Never byte arrays: Chromium sends a `Uint8Array` 15 to 20 times slower than a slice of a file
//! (Chromium 156, November 2026).

use std::cell::Cell;
use std::rc::Rc;

use futures::channel::oneshot;
use upload_engine::Failure;
use upload_protocol::{PresignedUrl, SignedHeader};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, ProgressEvent, XmlHttpRequest};

use super::answer::{Answer, shorten};
use crate::browser::fault;
use crate::view::size_from_js;

/// Where a part goes.
#[derive(Debug, Clone)]
pub struct PutTarget {
    /// The signed URL.
    pub url: PresignedUrl,
    /// The headers it demands.
    pub headers: Vec<SignedHeader>,
}

/// PUTs a slice of a file. `on_progress` is told the bytes sent so far. Dropping the future aborts the
/// request: the store keeps nothing of it.
///
/// # Errors
/// [`Failure::Http`] for an error status or an error inside a 200, [`Failure::Transport`] when no answer
/// arrived: the caller must find out whether the bytes could be read at all.
pub async fn put_part(
    target: &PutTarget,
    bytes: &Blob,
    on_progress: impl Fn(u64) + 'static,
) -> Result<(), Failure> {
    let (request, ended) =
        Request::send(target, bytes, on_progress).map_err(|thrown| Failure::Transport {
            detail: shorten(&fault(&thrown).to_string()),
        })?;
    // The sender lives in a closure of `request`, so it can't be gone before it has spoken.
    let has_answer = ended.await.unwrap_or(false);
    if !has_answer {
        return Err(Failure::Transport {
            detail: format!("PUT {} got no answer", target.url),
        });
    }
    request.outcome()
}

/// A request under way, with the closures the browser calls.
struct Request {
    xhr: XmlHttpRequest,
    is_over: Rc<Cell<bool>>,
    _on_end: Closure<dyn FnMut(web_sys::Event)>,
    _on_progress: Closure<dyn FnMut(ProgressEvent)>,
}

impl Request {
    fn send(
        target: &PutTarget,
        bytes: &Blob,
        on_progress: impl Fn(u64) + 'static,
    ) -> Result<(Self, oneshot::Receiver<bool>), JsValue> {
        let xhr = XmlHttpRequest::new()?;
        xhr.open_with_async("PUT", target.url.expose(), true)?;
        for header in &target.headers {
            // The browser sets these itself and refuses them from a script.
            if header.name != "host" && header.name != "content-length" {
                xhr.set_request_header(&header.name, &header.value)?;
            }
        }

        let is_over = Rc::new(Cell::new(false));
        let (sender, ended) = oneshot::channel();
        let mut sender = Some(sender);
        let on_end = Closure::<dyn FnMut(web_sys::Event)>::new({
            let is_over = Rc::clone(&is_over);
            move |event: web_sys::Event| {
                is_over.set(true);
                if let Some(sender) = sender.take() {
                    // Nobody listens any more when the part was cancelled: nothing to do then.
                    sender.send(event.type_() == "load").ok();
                }
            }
        });
        let on_progress = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
            if let Some(sent) = size_from_js(event.loaded()) {
                on_progress(sent);
            }
        });
        let listener = on_end.as_ref().unchecked_ref();
        xhr.set_onload(Some(listener));
        xhr.set_onerror(Some(listener));
        xhr.set_onabort(Some(listener));
        xhr.set_ontimeout(Some(listener));
        xhr.upload()?
            .set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
        xhr.send_with_opt_blob(Some(bytes))?;
        Ok((
            Self {
                xhr,
                is_over,
                _on_end: on_end,
                _on_progress: on_progress,
            },
            ended,
        ))
    }

    fn outcome(&self) -> Result<(), Failure> {
        let body = self.xhr.response_text().ok().flatten().unwrap_or_default();
        let status = self.xhr.status().unwrap_or(0);
        // Only asked for where it may stand: browsers log an error when the store doesn't expose it.
        let retry_after = matches!(status, 429 | 503)
            .then(|| self.xhr.get_response_header("retry-after").ok().flatten())
            .flatten();
        let answer = Answer {
            status,
            body: &body,
            retry_after: retry_after.as_deref(),
        };
        answer.of_store().map_or(Ok(()), Err)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // The closures go with this: the browser must not call them any more.
        self.xhr.set_onload(None);
        self.xhr.set_onerror(None);
        self.xhr.set_onabort(None);
        self.xhr.set_ontimeout(None);
        if let Ok(upload) = self.xhr.upload() {
            upload.set_onprogress(None);
        }
        if !self.is_over.get() {
            drop(self.xhr.abort());
        }
    }
}
