//! The router: which path does what, and what each passes through first.

mod health;
mod keys;
mod page;
mod relay;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use upload_protocol::{IdempotencyKey, UploadToken};

use crate::auth::{Authorizer, OpenAuthorizer};
use crate::http::access::{AccessRules, check_host, check_origin};
use crate::http::extract::BODY_LENGTH_BYTES_MAX;
use crate::http::observe::{REQUEST_ID, observe};
use crate::http::problem::{method_not_allowed, on_panic, route_not_found};
use crate::uploads::Uploads;

/// How long a browser may remember what it was told about cross-origin calls.
const PREFLIGHT_AGE: Duration = Duration::from_hours(2);

/// What the router works with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The sessions.
    pub uploads: Uploads,
    /// Decides who a caller is.
    pub authorizer: Arc<dyn Authorizer>,
    /// Who may ask.
    pub access: AccessRules,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// How long the body of a request may pause.
    pub body_timeout: Duration,
}

impl AppState {
    /// State that lets everybody start uploads, with a time limit of 60 seconds a call.
    pub fn new(uploads: Uploads, access: AccessRules) -> Self {
        Self {
            uploads,
            authorizer: Arc::new(OpenAuthorizer),
            access,
            request_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_secs(30),
        }
    }
}

/// What the calls of the API work with.
#[derive(Debug, Clone, FromRef)]
struct ApiState {
    uploads: Uploads,
    authorizer: Arc<dyn Authorizer>,
}

/// The server as a router, to be served alone or mounted in an own app.
///
/// Run a [`Sealer`](crate::Sealer) beside it: it completes what clients have sealed and left.
pub fn router(state: AppState) -> Router {
    let access = Arc::new(state.access);
    let cors = cors(access.origins());
    let uploads = state.uploads;
    let api = Router::new()
        .route("/upload-sessions", post(sessions::start))
        .route("/upload-sessions/batch", post(sessions::start_batch))
        // No session is called `batch`: ids are UUIDs.
        .route("/upload-sessions/batch/complete", post(sessions::complete_batch))
        .route(
            "/upload-sessions/{id}",
            get(sessions::status).delete(sessions::abort),
        )
        .route("/upload-sessions/{id}/parts", post(sessions::sign_parts))
        .route("/upload-sessions/{id}/parts/{number}/relay", post(relay::relay))
        .route("/upload-sessions/{id}/seal", post(sessions::seal))
        .route("/upload-sessions/{id}/complete", post(sessions::complete))
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(access.clone(), check_origin))
        .layer(cors)
        .with_state(ApiState {
            uploads: uploads.clone(),
            authorizer: state.authorizer,
        });
    let guarded = Router::new()
        .nest("/api", api)
        .merge(
            Router::new()
                .route("/.well-known/jwks.json", get(keys::keys))
                .with_state(uploads.clone()),
        )
        .fallback(page::serve)
        .with_state(page::PageState::new(&uploads.storage().public_origin()))
        .layer(from_fn_with_state(access, check_host));
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .with_state(uploads)
        .method_not_allowed_fallback(method_not_allowed)
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_LENGTH_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(state.body_timeout))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn_with_state(state.request_timeout, observe))
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
            HeaderName::from_static(IdempotencyKey::HEADER),
            HeaderName::from_static(UploadToken::HEADER),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}
