//! What is kept at Redis, and under which names.

use sha2::{Digest as _, Sha256};
use upload_protocol::{LiveEvent, PartNumber, SessionId};

/// Field of a run's hash that holds how it started; the others hold one event each.
pub(super) const RUN_FIELD: &str = "run";

/// Names of keys and of the channel. The braces keep all keys of a Redis cluster on one node.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// Where news are published. Channels know no databases, keys do.
    pub(super) channel: String,
    /// Start of the key of a run's hash.
    pub(super) run_prefix: String,
    /// Sorted set of all runs: those that ended first, then those that go on, each by when they were
    /// last heard of.
    pub(super) runs: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self {
            channel: format!("{{{prefix}:live}}:{database}"),
            run_prefix: format!("{{{prefix}:live}}:run:"),
            runs: format!("{{{prefix}:live}}:runs"),
        }
    }

    pub(super) fn run(&self, id: SessionId) -> String {
        format!("{}{id}", self.run_prefix)
    }
}

/// The field that an event is kept in: the same fact, the same field. `None` for a start, which comes
/// with the run.
pub(super) fn field(event: &LiveEvent) -> Option<String> {
    match event {
        LiveEvent::SessionStart(_) => None,
        LiveEvent::PartDone(part) => Some(format!("part:{}", part.part)),
        LiveEvent::SessionDone(_) => Some("done".to_owned()),
        LiveEvent::Error(error) => {
            let part = error.part_number.map_or(0, PartNumber::value);
            let hash = Sha256::digest(format!("{part}:{}", error.message));
            let start = hash
                .first_chunk::<8>()
                .map_or(0, |bytes| u64::from_be_bytes(*bytes));
            Some(format!("error:{start:016x}"))
        }
    }
}
