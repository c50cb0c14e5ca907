//! Around every request: its id, its log line, its time limit, the headers of its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum_server::tls::TlsInfo;
use metrics::Gauge;
use tracing::Instrument as _;
use upload_protocol::{ErrorCode, Problem};
use uuid::Uuid;

use super::caller::KnownClient;
use super::problem::write_problem;
use super::relayed::{DURATION_MAX, is_relay};
use crate::error::UploadError;
use crate::metrics::Metrics;

/// The header of a request's id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Browsers that were here by TLS come by TLS alone for a year. This host only: what stands beside it
/// is not this server's to decide.
const STAY_ENCRYPTED: &str = "max-age=31536000";

/// Longest request id taken from a client or a proxy.
const REQUEST_ID_LENGTH_MAX: usize = 64;

/// Probes ask every few seconds: they are logged at debug level while all is well.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The route of whatever has none: files of the page, and paths that don't exist.
const NO_ROUTE: &str = "other";

/// What every request is run with.
#[derive(Debug, Clone)]
pub(crate) struct Observing {
    /// How long a call may take.
    pub(crate) timeout: Duration,
    /// Where it is counted.
    pub(crate) metrics: Metrics,
}

/// Runs the request and finishes its answer.
///
/// Logged are method, path and client: no query, no header, no body, so neither tokens nor signatures.
pub(crate) async fn observe(
    State(observing): State<Observing>,
    mut request: Request,
    next: Next,
) -> Response {
    let call = Call::of(&request);
    let client = KnownClient::default();
    request.extensions_mut().insert(client.clone());
    let span = tracing::info_span!("request", id = %call.id);
    // A part takes as long as its client's line; its own limits are with the relay.
    let timeout = if is_relay(&request) {
        DURATION_MAX
    } else {
        observing.timeout
    };
    let in_flight = InFlight::begin(&observing.metrics);
    let started = tokio::time::Instant::now();
    let answer = tokio::time::timeout(timeout, next.run(request));
    let mut response = answer.instrument(span.clone()).await.unwrap_or_else(|_| {
        let seconds = timeout.as_secs();
        let detail = format!("the call took longer than {seconds} s; what it began goes on: repeat it");
        UploadError::new(ErrorCode::Timeout, detail).into_response()
    });
    drop(in_flight);
    let took = started.elapsed();
    let problem = write_problem(&mut response, &call.id);
    finish_headers(response.headers_mut(), &call);
    let status = response.status().as_u16();
    observing
        .metrics
        .answered(method_name(&call.method), &call.route, status, took);
    if let Some(problem) = &problem {
        observing.metrics.failed(problem.code);
    }
    let _entered = span.enter();
    call.log(client.name(), status, took, problem.as_ref());
    response
}

/// What is kept of a request while it runs.
#[derive(Debug)]
struct Call {
    id: String,
    method: Method,
    path: String,
    route: String,
    encrypted: bool,
}

impl Call {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            id: request_id(request.headers()),
            method: request.method().clone(),
            path: request.uri().path().chars().take(200).collect(),
            route: route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned(),
            encrypted: request.extensions().get::<Arc<TlsInfo>>().is_some(),
        }
    }

    fn log(&self, client: Option<&str>, status: u16, took: Duration, problem: Option<&Problem>) {
        let Self {
            method, path, route, ..
        } = self;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let code = problem.map(|problem| problem.code.as_str());
        let detail = problem.map(|problem| problem.detail.as_str());
        if status >= 500 {
            tracing::error!(%method, path, route, client, status, ms, code, detail);
        } else if status < 400 && PROBES.contains(&route.as_str()) {
            tracing::debug!(%method, path, route, client, status, ms);
        } else {
            tracing::info!(%method, path, route, client, status, ms, code, detail);
        }
    }
}

/// Counts a call while it is answered, and not any more when its client goes away.
struct InFlight(Gauge);

impl InFlight {
    fn begin(metrics: &Metrics) -> Self {
        let gauge = metrics.requests_in_flight();
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The method as a label: anybody may make one up.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
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

fn finish_headers(headers: &mut HeaderMap, call: &Call) {
    if let Ok(id) = HeaderValue::from_str(&call.id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if call.encrypted {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(STAY_ENCRYPTED),
        );
    }
    if call.path.starts_with("/api/") {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
