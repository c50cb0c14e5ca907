//! Every failure as problem details. <https://www.rfc-editor.org/rfc/rfc9457>

use std::any::Any;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use upload_protocol::{ErrorCode, Problem};

use crate::error::UploadError;

/// Said with a 503: long enough for a restart, short enough for a person who waits.
const RETRY_AFTER_SECONDS: u32 = 5;

impl IntoResponse for UploadError {
    /// The body is written on the way out, where the request's id is known: mount
    /// [`router`](crate::router), which does so.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status());
        let mut response = status
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        if let Some(seconds) = retry_after_seconds(self.code) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
            .extensions_mut()
            .insert(PendingProblem(self.to_problem()));
        response
    }
}

/// How long to leave alone what is not available now.
fn retry_after_seconds(code: ErrorCode) -> Option<u32> {
    match code {
        ErrorCode::StoreUnavailable | ErrorCode::SessionStoreUnavailable | ErrorCode::RelayUnavailable => {
            Some(RETRY_AFTER_SECONDS)
        }
        _ => None,
    }
}

/// A problem whose body is not written yet.
#[derive(Debug, Clone)]
struct PendingProblem(Problem);

/// Writes the body of a failure, and what to log of it.
pub(crate) fn write_problem(response: &mut Response, request_id: &str) -> Option<Problem> {
    let PendingProblem(mut problem) = response.extensions_mut().remove()?;
    problem.request_id = Some(request_id.to_owned());
    // Strings and numbers always serialize; an empty body would still have its status.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Problem::CONTENT_TYPE));
    headers.remove(axum::http::header::CONTENT_LENGTH);
    Some(problem)
}

/// What a panic in a handler is answered with; the panic itself is in the log.
pub(crate) fn on_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    let detail = "the call failed inside the server; its log says more";
    UploadError::new(ErrorCode::Internal, detail).into_response()
}

/// No such path.
pub(crate) async fn route_not_found(method: axum::http::Method, uri: axum::http::Uri) -> UploadError {
    let path: String = uri.path().chars().take(200).collect();
    UploadError::new(
        ErrorCode::RouteNotFound,
        format!("there is nothing at {method} {path}"),
    )
}

/// The path exists, with another method.
pub(crate) async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> UploadError {
    let path: String = uri.path().chars().take(200).collect();
    UploadError::new(
        ErrorCode::MethodNotAllowed,
        format!("{method} is not allowed at {path}: the header `Allow` names what is"),
    )
}
