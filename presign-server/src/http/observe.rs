//! Around every request: its id, its log line, its time limit, the headers of its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum_server::tls::TlsInfo;
use tracing::Instrument as _;
use upload_protocol::ErrorCode;
use uuid::Uuid;

use super::problem::write_problem;
use super::relayed::{DURATION_MAX, is_relay};
use crate::error::UploadError;

/// The header of a request's id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Browsers that were here by TLS come by TLS alone for a year. This host only: what stands beside it
/// is not this server's to decide.
const STAY_ENCRYPTED: &str = "max-age=31536000";

/// Longest request id taken from a client or a proxy.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Runs the request and finishes its answer.
///
/// Logged are method and path alone: no query, no header, no body, so neither tokens nor signatures.
pub(crate) async fn observe(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = %id);
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(200).collect();
    // A part takes as long as its client's line; its own limits are with the relay.
    let timeout = if is_relay(&request) { DURATION_MAX } else { timeout };
    let encrypted = request.extensions().get::<Arc<TlsInfo>>().is_some();
    let started = tokio::time::Instant::now();
    let answer = tokio::time::timeout(timeout, next.run(request));
    let mut response = answer.instrument(span.clone()).await.unwrap_or_else(|_| {
        let seconds = timeout.as_secs();
        let detail = format!("the call took longer than {seconds} s; what it began goes on: repeat it");
        UploadError::new(ErrorCode::Timeout, detail).into_response()
    });
    let problem = write_problem(&mut response, &id);
    finish_headers(response.headers_mut(), &id, path.starts_with("/api/"));
    if encrypted {
        let headers = response.headers_mut();
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(STAY_ENCRYPTED),
        );
    }
    let _entered = span.enter();
    let (status, ms) = (response.status().as_u16(), started.elapsed().as_millis());
    match problem {
        Some(problem) if status >= 500 => {
            tracing::error!(%method, path, status, ms, code = problem.code.as_str(), detail = problem.detail);
        }
        Some(problem) => {
            tracing::info!(%method, path, status, ms, code = problem.code.as_str(), detail = problem.detail);
        }
        None => tracing::info!(%method, path, status, ms),
    }
    response
}

/// The id a proxy gave, where it is harmless, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given
        .filter(harmless)
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

fn finish_headers(headers: &mut HeaderMap, id: &str, api: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
