//! The metrics, for those who run the server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use upload_protocol::ErrorCode;

use crate::auth::{Authorizer, Role};
use crate::error::{Result, UploadError};
use crate::http::caller::Caller;
use crate::metrics::Metrics;
use crate::openapi::OperatorProblems;

/// Prometheus' own name of its text format.
const CONTENT_TYPE_OF_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whoever may see how the server does: an operator, or, where nobody needs credentials, somebody on
/// this machine.
#[derive(Debug)]
pub(super) struct Watcher;

impl<S> FromRequestParts<S> for Watcher
where
    S: Send + Sync,
    Arc<dyn Authorizer>: FromRef<S>,
{
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        let open = Arc::<dyn Authorizer>::from_ref(state).is_open();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let far = open && peer.is_some_and(|peer| !peer.0.ip().to_canonical().is_loopback());
        if principal.role == Role::Operator && !far {
            return Ok(Self);
        }
        let detail = if far {
            "a server without authentication shows its metrics on this machine only"
        } else {
            "metrics are for operators: use credentials whose role is `operator`"
        };
        Err(UploadError::new(ErrorCode::Forbidden, detail))
    }
}

/// Everything counted since the process started.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain"),
        OperatorProblems,
    ),
)]
pub(super) async fn metrics(_watcher: Watcher, State(metrics): State<Metrics>) -> Response {
    ([(CONTENT_TYPE, CONTENT_TYPE_OF_METRICS)], metrics.render()).into_response()
}
