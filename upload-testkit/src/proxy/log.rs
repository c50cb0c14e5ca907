//! What the proxy remembers of each request.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::config::Fault;

/// One request, in the order of arrival. The query, which may hold a signature, is left out but for
/// `partNumber` and `uploadId`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// Counts from 1, never used twice.
    pub id: u64,
    /// As the client wrote it.
    pub method: String,
    /// The target without its query.
    pub path: String,
    /// Query parameter `partNumber`.
    pub part_number: Option<u32>,
    /// Query parameter `uploadId`.
    pub upload_id: Option<String>,
    /// The declared length of the body in bytes.
    pub content_length: Option<u64>,
    /// Bytes of the body that the server's side of the connection has taken.
    pub body_bytes_forwarded: u64,
    /// Status of the answer, once its head was passed to the client.
    pub status: Option<u16>,
    /// When its head was read, ms since 1970.
    pub start_ms: u64,
    /// When it ended, ms since 1970; `null` while it is in flight.
    pub end_ms: Option<u64>,
    /// It ended before the whole answer reached the client.
    pub cut_off: bool,
    /// The fault it met: the kind's name as in the configuration.
    pub fault: Option<&'static str>,
}

/// Sums since the start; a reset of the log leaves them as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyStats {
    /// Requests whose head was read.
    pub requests: u64,
    /// Bytes of bodies that the server's side of their connections has taken.
    pub body_bytes_forwarded: u64,
    /// How often each kind of fault has struck: once its delay began, its answer was written, its
    /// connection was cut. A fault that was drawn for a request whose client gave up before is none.
    /// Every kind is listed, `expiredUrlWithoutCors` apart from `expiredUrl`.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Default for ProxyStats {
    fn default() -> Self {
        Self {
            requests: 0,
            body_bytes_forwarded: 0,
            faults: Fault::COUNTED.map(|kind| (kind, 0)).into(),
        }
    }
}

/// All requests since the start or the last reset.
#[derive(Debug, Default)]
pub(super) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stats: ProxyStats,
    entries: Vec<LogEntry>,
}

impl Log {
    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.lock().entries.clone()
    }

    pub(super) fn in_flight(&self) -> Vec<LogEntry> {
        let inner = self.lock();
        let in_flight = inner.entries.iter().filter(|entry| entry.end_ms.is_none());
        in_flight.cloned().collect()
    }

    /// Forgets the requests that have ended. Those in flight stay, with what they have sent so far.
    pub(super) fn reset(&self) {
        self.lock().entries.retain(|entry| entry.end_ms.is_none());
    }

    /// Enters a request; its id is set here.
    pub(super) fn begin(&self, mut entry: LogEntry) -> u64 {
        let mut inner = self.lock();
        inner.stats.requests += 1;
        entry.id = inner.stats.requests;
        let id = entry.id;
        inner.entries.push(entry);
        id
    }

    /// Counts bytes of a body that were passed on.
    pub(super) fn forwarded(&self, id: u64, size_bytes: u64) {
        self.lock().stats.body_bytes_forwarded += size_bytes;
        self.update(id, |entry| entry.body_bytes_forwarded += size_bytes);
    }

    /// Counts a fault that has struck.
    pub(super) fn struck(&self, fault: &Fault) {
        *self.lock().stats.faults.entry(fault.counted_as()).or_default() += 1;
    }

    pub(super) fn stats(&self) -> ProxyStats {
        self.lock().stats.clone()
    }

    pub(super) fn update(&self, id: u64, change: impl FnOnce(&mut LogEntry)) {
        let mut inner = self.lock();
        if let Ok(at) = inner.entries.binary_search_by_key(&id, |entry| entry.id) {
            change(&mut inner.entries[at]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wall clock, ms since 1970: comparable with the times of a test in another process.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
