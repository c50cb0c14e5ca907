//! What the server counts and measures, in Prometheus' terms.
//!
//! A recorder of its own, not the process' global one: two servers in one process count apart, and an
//! app that mounts the router keeps its own. Every label has few values: routes are patterns, methods
//! and outcomes come from short lists, and no label names a client, a session or a key.

mod names;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use upload_protocol::{ErrorCode, UploadMode};

/// Upper bounds of the histograms' buckets, in seconds: from a look into memory to the longest call.
const BUCKETS_SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// Measurements are kept one by one until they are summed up: after this many, or when somebody reads.
const MEASUREMENTS_MAX: u64 = 4096;

const METADATA: Metadata<'static> = Metadata::new("holdfast", Level::INFO, None);

/// The server's metrics. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    measurements: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS);
        // It refuses an empty list alone.
        let recorder = builder.unwrap_or_default().build_recorder();
        names::describe(&recorder);
        let metrics = Self {
            inner: Arc::new(Inner {
                handle: recorder.handle(),
                recorder,
                measurements: AtomicU64::new(0),
            }),
        };
        let version = Label::from_static_parts("version", env!("CARGO_PKG_VERSION"));
        metrics.gauge(names::BUILD_INFO, vec![version]).set(1.0);
        metrics
    }

    /// Everything in the text format of Prometheus.
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    pub fn render(&self) -> String {
        self.inner.handle.render()
    }

    /// A call was answered.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let method = Label::from_static_parts("method", method);
        let route = Label::new("route", route.to_owned());
        let counted = vec![
            method.clone(),
            route.clone(),
            Label::new("status", status.to_string()),
        ];
        self.counter(names::REQUESTS, counted).increment(1);
        self.measure(names::REQUEST_DURATION, vec![method, route], took);
    }

    /// A call, or one of many in a call, failed.
    pub(crate) fn failed(&self, code: ErrorCode) {
        let code = Label::from_static_parts("code", code.as_str());
        self.counter(names::ERRORS, vec![code]).increment(1);
    }

    /// Calls that are being answered now.
    pub(crate) fn requests_in_flight(&self) -> Gauge {
        self.gauge(names::REQUESTS_IN_FLIGHT, Vec::new())
    }

    /// Connections there are now.
    pub(crate) fn connections(&self) -> Gauge {
        self.gauge(names::CONNECTIONS, Vec::new())
    }

    /// Connections closed because all places were taken.
    pub(crate) fn connections_refused(&self) -> Counter {
        self.counter(names::CONNECTIONS_REFUSED, Vec::new())
    }

    /// A session was started.
    pub(crate) fn started(&self, mode: UploadMode) {
        self.counter(names::SESSIONS_STARTED, vec![mode_label(mode)])
            .increment(1);
    }

    /// A session was completed with so many bytes.
    pub(crate) fn completed(&self, mode: UploadMode, size_bytes: u64) {
        self.counter(names::SESSIONS_COMPLETED, vec![mode_label(mode)])
            .increment(1);
        self.counter(names::COMPLETED_BYTES, Vec::new())
            .increment(size_bytes);
    }

    /// A session was aborted: by a call, by its lease, or at the store.
    pub(crate) fn aborted(&self, mode: UploadMode) {
        self.counter(names::SESSIONS_ABORTED, vec![mode_label(mode)])
            .increment(1);
    }

    /// URLs were signed.
    pub(crate) fn signed(&self, urls: usize) {
        let urls = u64::try_from(urls).unwrap_or(u64::MAX);
        self.counter(names::URLS_SIGNED, Vec::new()).increment(urls);
    }

    /// The object store was called.
    pub(crate) fn store_called(&self, action: &'static str, outcome: &'static str, took: Duration) {
        self.called(
            names::STORE_CALLS,
            names::STORE_CALL_DURATION,
            action,
            outcome,
            took,
        );
    }

    /// The session store was called.
    pub(crate) fn session_store_called(&self, action: &'static str, outcome: &'static str, took: Duration) {
        self.called(
            names::SESSION_STORE_CALLS,
            names::SESSION_STORE_CALL_DURATION,
            action,
            outcome,
            took,
        );
    }

    fn called(
        &self,
        calls: &'static str,
        duration: &'static str,
        action: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let action = Label::from_static_parts("action", action);
        let outcome = Label::from_static_parts("outcome", outcome);
        self.counter(calls, vec![action.clone(), outcome]).increment(1);
        self.measure(duration, vec![action], took);
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        let key = Key::from_parts(name, labels);
        self.inner.recorder.register_counter(&key, &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        let key = Key::from_parts(name, labels);
        self.inner.recorder.register_gauge(&key, &METADATA)
    }

    fn measure(&self, name: &'static str, labels: Vec<Label>, took: Duration) {
        let key = Key::from_parts(name, labels);
        let histogram = self.inner.recorder.register_histogram(&key, &METADATA);
        histogram.record(took.as_secs_f64());
        let before = self.inner.measurements.fetch_add(1, Ordering::Relaxed);
        if before % MEASUREMENTS_MAX == MEASUREMENTS_MAX - 1 {
            self.inner.handle.run_upkeep();
        }
    }
}

fn mode_label(mode: UploadMode) -> Label {
    let mode = match mode {
        UploadMode::Single => "single",
        UploadMode::Multipart => "multipart",
    };
    Label::from_static_parts("mode", mode)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::names::METRICS;
    use super::*;

    #[test]
    fn two_servers_in_one_process_count_apart() {
        let (one, two) = (Metrics::new(), Metrics::new());
        one.signed(3);
        assert!(one.render().contains("holdfast_urls_signed_total 3"));
        assert!(!two.render().contains("holdfast_urls_signed_total 3"));
    }

    #[test]
    fn document_lists_every_metric_with_its_labels_and_meaning() {
        let document = include_str!("../../../docs/metrics.md");
        let (_, table) = document
            .split_once("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
            .unwrap();
        let written: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
        let rows = METRICS.iter().map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() {
                "–".to_owned()
            } else {
                labels.join(", ")
            };
            let kind = format!("{:?}", metric.kind).to_lowercase();
            format!("| `{}` | {kind} | {labels} | {} |", metric.name, metric.meaning)
        });
        assert_eq!(written, rows.collect::<Vec<_>>());
    }

    #[test]
    fn every_metric_is_described_and_named_with_its_unit_last() {
        for metric in METRICS {
            assert!(metric.name.starts_with("holdfast_"), "{}", metric.name);
            assert!(!metric.meaning.is_empty(), "{}", metric.name);
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == names::Kind::Counter, "{}", metric.name);
        }
    }
}
