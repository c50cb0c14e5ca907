//! The router: which path does what, and what each passes through first.

mod document;
mod health;
mod keys;
mod live;
mod metrics;
mod owners;
mod page;
mod relay;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderName, Method, header};
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;
use upload_protocol::{IdempotencyKey, UploadToken};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Authorizer, GrantMaker, OpenAuthorizer};
use crate::http::access::{AccessRules, SharedAccess, check_host, check_origin};
use crate::http::extract::BODY_LENGTH_BYTES_MAX;
use crate::http::observe::{Observing, REQUEST_ID, observe};
use crate::http::problem::{method_not_allowed, on_panic, route_not_found};
use crate::http::rate::{RateLimit, RateLimits, find_budget};
use crate::live::{Live, LiveLimits};
use crate::metrics::Metrics;
use crate::uploads::Uploads;
use document::Document;

/// How long a browser may remember what it was told about cross-origin calls.
const PREFLIGHT_AGE: Duration = Duration::from_hours(2);

/// What the router works with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The sessions.
    pub uploads: Uploads,
    /// Decides who a caller is.
    pub authorizer: Arc<dyn Authorizer>,
    /// Makes the grants that the authorizer takes; `None` where there are none.
    pub grants: Option<GrantMaker>,
    /// The live view: logins, tickets, viewers.
    pub live: Live,
    /// Who may ask.
    pub access: SharedAccess,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// How long the body of a request may pause.
    pub body_timeout: Duration,
    /// How often one client may call.
    pub rate_limits: RateLimits,
}

impl AppState {
    /// State that lets everybody start uploads, with a time limit of 60 seconds a call.
    pub fn new(uploads: Uploads, access: AccessRules) -> Self {
        Self {
            live: Live::new(&uploads, LiveLimits::default()),
            uploads,
            authorizer: Arc::new(OpenAuthorizer),
            grants: None,
            access: access.into(),
            request_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_secs(30),
            rate_limits: RateLimits::new(RateLimit::default(), Vec::new()),
        }
    }
}

/// What the calls of the API work with.
#[derive(Debug, Clone, FromRef)]
struct ApiState {
    uploads: Uploads,
    authorizer: Arc<dyn Authorizer>,
    metrics: Metrics,
    grants: Option<GrantMaker>,
    live: Live,
}

/// The server as a router, to be served alone or mounted in an own app.
///
/// Run a [`Sealer`](crate::Sealer) beside it: it completes what clients have sealed and left.
pub fn router(state: AppState) -> Router {
    let access = state.access;
    let cors = cors(access.clone());
    let uploads = state.uploads;
    let observing = Observing {
        timeout: state.request_timeout,
        metrics: uploads.metrics().clone(),
    };
    let api_state = ApiState {
        uploads: uploads.clone(),
        authorizer: state.authorizer,
        grants: state.grants,
        live: state.live,
        metrics: uploads.metrics().clone(),
    };
    let (api, api_document) = api_routes().split_for_parts();
    let (viewers, viewers_document) = viewer_routes().split_for_parts();
    let (operators, operators_document) = operator_routes().split_for_parts();
    let (keys, keys_document) = key_routes().split_for_parts();
    let (probes, probes_document) = probe_routes().split_for_parts();
    let documents = OpenApi::default().nest("/api", api_document);
    let documents = documents
        .merge_from(viewers_document)
        .merge_from(operators_document)
        .merge_from(keys_document)
        .merge_from(probes_document);
    let (public, public_document) = public_routes().split_for_parts();
    let document = crate::openapi::document(documents.merge_from(public_document));
    let api = api
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(access.clone(), check_origin))
        .layer(cors)
        .with_state(api_state.clone());
    let viewers = viewers
        .layer(from_fn_with_state(access.clone(), check_origin))
        .with_state(api_state.clone());
    let guarded = Router::new()
        .nest("/api", api)
        .merge(viewers)
        .merge(operators.with_state(api_state))
        .merge(keys.with_state(uploads.clone()))
        .merge(public.with_state(Document::new(&document)))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(page::serve)
        .with_state(page::PageState::new(&uploads.storage().public_origin()))
        .layer(from_fn_with_state(access, check_host));
    Router::new()
        .merge(probes.with_state(uploads))
        .method_not_allowed_fallback(method_not_allowed)
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_LENGTH_BYTES_MAX))
        .layer(from_fn_with_state(state.rate_limits, find_budget))
        .layer(RequestBodyTimeoutLayer::new(state.body_timeout))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn_with_state(observing, observe))
}

/// What clients call, below `/api`. A route that is listed here is in the `OpenAPI` document too;
/// `crate::openapi` says how to write one.
fn api_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(sessions::start, owners::list))
        .routes(routes!(sessions::start_batch))
        // No session is called `batch`: ids are UUIDs.
        .routes(routes!(sessions::complete_batch))
        .routes(routes!(sessions::status, sessions::abort))
        .routes(routes!(sessions::sign_parts))
        .routes(routes!(relay::relay))
        .routes(routes!(sessions::seal))
        .routes(routes!(owners::revoke))
        .routes(routes!(owners::grant))
        .routes(routes!(live::ticket))
        .routes(routes!(live::login))
        .routes(routes!(live::logout))
        .routes(routes!(sessions::complete))
        .routes(routes!(sessions::progress))
}

/// Where viewers connect.
fn viewer_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(live::watch))
}

/// What operators call.
fn operator_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(metrics::metrics))
}

/// What anybody may ask, at the hosts this server answers for.
fn public_routes() -> OpenApiRouter<Document> {
    OpenApiRouter::new().routes(routes!(document::openapi))
}

/// The same, of the uploads.
fn key_routes() -> OpenApiRouter<Uploads> {
    OpenApiRouter::new().routes(routes!(keys::keys))
}

/// What is asked by whatever keeps the process running, at any host.
fn probe_routes() -> OpenApiRouter<Uploads> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
}

fn cors(access: SharedAccess) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| access.lists(origin)))
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
