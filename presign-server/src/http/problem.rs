//! Every failure as problem details. <https://www.rfc-editor.org/rfc/rfc9457>

use std::any::Any;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use upload_protocol::{ErrorCode, Problem};

use crate::error::UploadError;

impl IntoResponse for UploadError {
    /// The body is written on the way out, where the request's id is known: mount
    /// [`router`](crate::router), which does so.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status());
        let mut response = status
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        if let Some(seconds) = self.retry_after_seconds.or(retry_after_seconds(self.code)) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::Unauthorized {
            // <https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1>
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
            .extensions_mut()
            .insert(PendingProblem(self.to_problem()));
        response
    }
}

/// How long to leave the server alone before a failed call is repeated, where that can help.
/// <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
///
/// Whoever calls adds a back-off of its own with each failure: this is the least.
pub(crate) const fn retry_after_seconds(code: ErrorCode) -> Option<u32> {
    match code {
        // Over in a moment, as another call on the session.
        ErrorCode::SessionBusy | ErrorCode::Timeout | ErrorCode::RateLimited => Some(1),
        // A store that restarts, or that is told too much at once.
        ErrorCode::StoreUnavailable
        | ErrorCode::SessionStoreUnavailable
        | ErrorCode::RelayUnavailable
        | ErrorCode::IdentityUnavailable
        | ErrorCode::HookUnavailable
        | ErrorCode::Internal => Some(2),
        // Others have to end first.
        ErrorCode::QuotaExceeded | ErrorCode::TooManyViewers => Some(10),
        // Somebody has to mend it.
        ErrorCode::StoreRefused => Some(15),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_that_may_pass_says_when_to_come_back() {
        for code in ErrorCode::ALL {
            let may_pass = matches!(code.http_status(), 408 | 429 | 500..) || *code == ErrorCode::SessionBusy;
            assert_eq!(retry_after_seconds(*code).is_some(), may_pass, "{code:?}");
        }
    }
}
