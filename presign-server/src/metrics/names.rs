//! The names of all metrics, with what they mean.

use metrics::{KeyName, Recorder as _, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

pub(super) const BUILD_INFO: &str = "holdfast_build_info";
pub(super) const REQUESTS: &str = "holdfast_requests_total";
pub(super) const REQUEST_DURATION: &str = "holdfast_request_duration_seconds";
pub(super) const REQUESTS_IN_FLIGHT: &str = "holdfast_requests_in_flight";
pub(super) const ERRORS: &str = "holdfast_errors_total";
pub(super) const CONNECTIONS: &str = "holdfast_connections";
pub(super) const CONNECTIONS_REFUSED: &str = "holdfast_connections_refused_total";
pub(super) const SESSIONS_STARTED: &str = "holdfast_sessions_started_total";
pub(super) const SESSIONS_COMPLETED: &str = "holdfast_sessions_completed_total";
pub(super) const SESSIONS_ABORTED: &str = "holdfast_sessions_aborted_total";
pub(super) const COMPLETED_BYTES: &str = "holdfast_completed_bytes_total";
pub(super) const URLS_SIGNED: &str = "holdfast_urls_signed_total";
pub(super) const STORE_CALLS: &str = "holdfast_store_calls_total";
pub(super) const STORE_CALL_DURATION: &str = "holdfast_store_call_duration_seconds";
pub(super) const SESSION_STORE_CALLS: &str = "holdfast_session_store_calls_total";
pub(super) const SESSION_STORE_CALL_DURATION: &str = "holdfast_session_store_call_duration_seconds";

/// How a metric's numbers are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows, from 0 at each start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, in buckets.
    Histogram,
}

/// One metric as it is documented.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the document by a test"))]
    pub(crate) labels: &'static [&'static str],
    pub(crate) meaning: &'static str,
}

/// Every metric. `docs/metrics.md` has the same table, and a test compares the two.
pub(crate) const METRICS: &[Metric] = &[
    metric(
        BUILD_INFO,
        Kind::Gauge,
        &["version"],
        "Always 1; which version runs.",
    ),
    metric(
        REQUESTS,
        Kind::Counter,
        &["method", "route", "status"],
        "Calls answered. The route is a pattern, `other` for whatever has none, as the page's files.",
    ),
    metric(
        REQUEST_DURATION,
        Kind::Histogram,
        &["method", "route"],
        "How long they took, from the headers' end to the answer's beginning.",
    ),
    metric(
        REQUESTS_IN_FLIGHT,
        Kind::Gauge,
        &[],
        "Calls that are being answered now.",
    ),
    metric(
        ERRORS,
        Kind::Counter,
        &["code"],
        "Failures by their code, those of one in a batch too.",
    ),
    metric(
        CONNECTIONS,
        Kind::Gauge,
        &[],
        "Connections there are now, WebSockets included.",
    ),
    metric(
        CONNECTIONS_REFUSED,
        Kind::Counter,
        &[],
        "Connections closed because `--connections-max` were there.",
    ),
    metric(
        SESSIONS_STARTED,
        Kind::Counter,
        &["mode"],
        "Sessions started; a repeated start counts once.",
    ),
    metric(
        SESSIONS_COMPLETED,
        Kind::Counter,
        &["mode"],
        "Sessions that this process completed, or found complete.",
    ),
    metric(
        SESSIONS_ABORTED,
        Kind::Counter,
        &["mode"],
        "Sessions aborted: by a call, by the end of their lease, or found so at the store.",
    ),
    metric(
        COMPLETED_BYTES,
        Kind::Counter,
        &[],
        "Bytes of the sessions completed.",
    ),
    metric(URLS_SIGNED, Kind::Counter, &[], "URLs signed."),
    metric(
        STORE_CALLS,
        Kind::Counter,
        &["action", "outcome"],
        "Calls of the object store; `ok`, or what kind of failure it was.",
    ),
    metric(
        STORE_CALL_DURATION,
        Kind::Histogram,
        &["action"],
        "How long they took, repetitions included.",
    ),
    metric(
        SESSION_STORE_CALLS,
        Kind::Counter,
        &["action", "outcome"],
        "Calls of the session store; `conflict` is a write that came second, and is repeated.",
    ),
    metric(
        SESSION_STORE_CALL_DURATION,
        Kind::Histogram,
        &["action"],
        "How long they took.",
    ),
];

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        meaning,
    }
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    for metric in METRICS {
        let (name, meaning) = (
            KeyName::from_const_str(metric.name),
            SharedString::const_str(metric.meaning),
        );
        match metric.kind {
            Kind::Counter => recorder.describe_counter(name, None, meaning),
            Kind::Gauge => recorder.describe_gauge(name, None, meaning),
            Kind::Histogram => recorder.describe_histogram(name, Some(Unit::Seconds), meaning),
        }
    }
}
