//! Control calls: JSON to our own server and back.

use std::cell::RefCell;
use std::rc::Rc;

use futures::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use serde::de::DeserializeOwned;
use upload_engine::{Failure, Outcome, SessionCall};
use upload_protocol::{
    CompleteBatchRequest, IdempotencyKey, SessionId, StartBatchRequest, StartRequest, UploadToken,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Headers, RequestCache, RequestInit, Response};

use super::answer::{Answer, shorten};
use crate::browser::{fault, worker_scope};
use crate::json;
use crate::messages::ExtraHeaders;

/// A call that isn't answered for so long is given up, in milliseconds. A complete of 10,000 parts may
/// take a store many seconds.
const CALL_TIMEOUT_MS: u32 = 60_000;

/// The server's API under one endpoint. A clone is the same server.
#[derive(Debug, Clone)]
pub struct Server {
    sessions_url: String,
    /// Sent with every call.
    headers: Rc<RefCell<ExtraHeaders>>,
}

/// One request.
struct Call {
    /// Those of the page, read when the call is sent.
    extra_headers: Rc<RefCell<ExtraHeaders>>,
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Server {
    /// The server at an absolute URL without a slash at its end.
    pub fn new(endpoint: &str) -> Self {
        Self {
            sessions_url: format!("{endpoint}/api/upload-sessions"),
            headers: Rc::default(),
        }
    }

    /// Sends these headers with every call from now on. Whether they are others than before.
    pub fn set_headers(&self, headers: ExtraHeaders) -> bool {
        let are_others = *self.headers.borrow() != headers;
        self.headers.replace(headers);
        are_others
    }

    /// `POST /api/upload-sessions`. Dropping the future aborts the request.
    pub async fn start(&self, key: IdempotencyKey, request: &StartRequest) -> Outcome {
        let call = Call {
            extra_headers: Rc::clone(&self.headers),
            method: "POST",
            url: self.sessions_url.clone(),
            headers: vec![(IdempotencyKey::HEADER, key.to_string())],
            body: json::write(request).ok(),
        };
        answered(call.send_for().await.map(Box::new), Outcome::Started)
    }

    /// `POST /api/upload-sessions/batch`. Dropping the future aborts the request.
    pub async fn start_many(&self, request: &StartBatchRequest) -> Outcome {
        answered(
            self.post_batch("", json::write(request).ok()).send_for().await,
            Outcome::StartedMany,
        )
    }

    /// `POST /api/upload-sessions/batch/complete`. Dropping the future aborts the request.
    pub async fn complete_many(&self, request: &CompleteBatchRequest) -> Outcome {
        answered(
            self.post_batch("/complete", json::write(request).ok())
                .send_for()
                .await,
            Outcome::CompletedMany,
        )
    }

    fn post_batch(&self, path: &str, body: Option<String>) -> Call {
        Call {
            extra_headers: Rc::clone(&self.headers),
            method: "POST",
            url: format!("{}/batch{path}", self.sessions_url),
            headers: Vec::new(),
            body,
        }
    }

    /// A call on a session. Dropping the future aborts the request.
    pub async fn call(&self, session: SessionId, token: &UploadToken, call: &SessionCall) -> Outcome {
        let at = |method, path: &str, body| Call {
            extra_headers: Rc::clone(&self.headers),
            method,
            url: format!("{}/{session}{path}", self.sessions_url),
            headers: vec![(UploadToken::HEADER, token.expose().to_owned())],
            body,
        };
        match call {
            SessionCall::Sign(request) => answered(
                at("POST", "/parts", json::write(request).ok()).send_for().await,
                Outcome::Signed,
            ),
            SessionCall::Fetch => answered(
                at("GET", "", None).send_for().await.map(Box::new),
                Outcome::Session,
            ),
            SessionCall::Seal(request) => answered(
                at("POST", "/seal", json::write(request).ok()).send_for().await,
                Outcome::Sealed,
            ),
            SessionCall::Complete(request) => answered(
                at("POST", "/complete", json::write(request).ok())
                    .send_for()
                    .await,
                Outcome::Completed,
            ),
            SessionCall::Abort => answered(at("DELETE", "", None).send().await, |_| Outcome::Done),
        }
    }
}

impl Call {
    /// Sends, and reads the answer as `T`.
    async fn send_for<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let body = self.send().await?;
        json::read(&body).map_err(|error| Failure::InvalidAnswer {
            detail: format!("{} {}: {error}", self.method, self.path()),
        })
    }

    /// Sends, and answers the body of a 2xx.
    async fn send(&self) -> Result<String, Failure> {
        let abort = AbortOnDrop(AbortController::new().map_err(|thrown| transport(&thrown))?);
        let exchange = self.exchange(&abort.0);
        let deadline = TimeoutFuture::new(CALL_TIMEOUT_MS);
        match select(std::pin::pin!(exchange), deadline).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Failure::Transport {
                detail: format!(
                    "{} {} had no answer for {} s",
                    self.method,
                    self.path(),
                    CALL_TIMEOUT_MS / 1000
                ),
            }),
        }
    }

    async fn exchange(&self, abort: &AbortController) -> Result<String, Failure> {
        let to_transport = |thrown: JsValue| transport(&thrown);
        let init = RequestInit::new();
        init.set_method(self.method);
        init.set_cache(RequestCache::NoStore);
        init.set_signal(Some(&abort.signal()));
        let headers = Headers::new().map_err(to_transport)?;
        // First, so that none of ours can be replaced.
        for (name, value) in &self.extra_headers.borrow().0 {
            headers.set(name, value).map_err(to_transport)?;
        }
        for (name, value) in &self.headers {
            headers.set(name, value).map_err(to_transport)?;
        }
        if let Some(body) = &self.body {
            headers
                .set("content-type", "application/json")
                .map_err(to_transport)?;
            init.set_body(&body.as_str().into());
        }
        init.set_headers(&headers);

        let worker = worker_scope().ok_or_else(|| Failure::Transport {
            detail: "control calls are only made by workers".into(),
        })?;
        let response: Response = JsFuture::from(worker.fetch_with_str_and_init(&self.url, &init))
            .await
            .map_err(to_transport)?
            .dyn_into()
            .map_err(|_| Failure::Transport {
                detail: "fetch answered something that is no response".into(),
            })?;
        let text = JsFuture::from(response.text().map_err(to_transport)?)
            .await
            .map_err(to_transport)?;
        let body = text.as_string().unwrap_or_default();
        if response.ok() {
            return Ok(body);
        }
        let retry_after = response.headers().get("retry-after").ok().flatten();
        Err(Answer {
            status: response.status(),
            body: &body,
            retry_after: retry_after.as_deref(),
        }
        .of_server())
    }

    /// For messages: what is asked for, without the host.
    fn path(&self) -> &str {
        self.url
            .find("/api/")
            .map_or(self.url.as_str(), |at| &self.url[at..])
    }
}

/// Aborts the request when its future is dropped or timed out; after the answer it does nothing.
struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn answered<T>(result: Result<T, Failure>, outcome: impl FnOnce(T) -> Outcome) -> Outcome {
    result.map_or_else(Outcome::Failed, outcome)
}

fn transport(thrown: &JsValue) -> Failure {
    Failure::Transport {
        detail: shorten(&fault(thrown).to_string()),
    }
}
