//! Starts and completes of small files, gathered so that one call serves many.
//!
//! A call goes out as soon as waiting would gain nothing: when slots would stand idle, when every small
//! upload at work wants the same, when a batch is full, or after [`GATHER_MS`]. While as many calls of a
//! kind are under way as may be, the others gather in any case.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::ClientUploadId;
use upload_protocol::limits::BATCH_LENGTH_MAX;

use crate::action::ActionId;
use crate::control::ControlCall;
use crate::time::Timestamp;

/// What waits and what is under way, by kind of call.
#[derive(Debug, Default)]
pub(crate) struct SharedCalls {
    waiting: BTreeMap<ControlCall, Waiting>,
    under_way: BTreeMap<ActionId, ControlCall>,
}

#[derive(Debug)]
struct Waiting {
    uploads: BTreeSet<ClientUploadId>,
    since: Timestamp,
}

/// What decides whether a call goes out now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    pub(crate) now: Timestamp,
    /// Most calls of a kind under way.
    pub(crate) under_way_max: usize,
    /// Uploads that might still join.
    pub(crate) at_work: usize,
    /// Something stands idle until it is answered.
    pub(crate) urgent: bool,
}

/// Longest time that an upload waits for others to join its call, in ms.
const GATHER_MS: u64 = 200;

impl SharedCalls {
    /// An upload wants a call that others may share.
    pub(crate) fn want(&mut self, now: Timestamp, call: ControlCall, upload: ClientUploadId) {
        let waiting = self.waiting.entry(call).or_insert_with(|| Waiting {
            uploads: BTreeSet::new(),
            since: now,
        });
        waiting.uploads.insert(upload);
    }

    /// Those whose turn it is, at most a full batch; empty while it is nobody's. They may have changed
    /// their mind since they asked.
    pub(crate) fn take(&mut self, call: ControlCall, gate: Gate) -> Vec<ClientUploadId> {
        let under_way = self.under_way.values().filter(|other| **other == call).count();
        let Some(waiting) = self
            .waiting
            .get_mut(&call)
            .filter(|_| under_way < gate.under_way_max)
        else {
            return Vec::new();
        };
        let count = waiting.uploads.len();
        let gains_nothing = gate.urgent || count >= gate.at_work || count >= BATCH_LENGTH_MAX;
        if !gains_nothing && gate.now < waiting.since + GATHER_MS {
            return Vec::new();
        }
        let taken = std::iter::from_fn(|| waiting.uploads.pop_first())
            .take(BATCH_LENGTH_MAX)
            .collect();
        waiting.since = gate.now;
        if waiting.uploads.is_empty() {
            self.waiting.remove(&call);
        }
        taken
    }

    /// When some call goes out although nothing happens until then.
    pub(crate) fn next_deadline(&self, under_way_max: usize) -> Option<Timestamp> {
        let open = |call: &ControlCall| {
            self.under_way.values().filter(|other| *other == call).count() < under_way_max
        };
        let waiting = self.waiting.iter().filter(|(call, _)| open(call));
        waiting.map(|(_, waiting)| waiting.since + GATHER_MS).min()
    }

    /// A call that was taken is on its way.
    pub(crate) fn sent(&mut self, id: ActionId, call: ControlCall) {
        self.under_way.insert(id, call);
    }

    /// An action has ended; one that isn't of these changes nothing.
    pub(crate) fn ended(&mut self, id: ActionId) {
        self.under_way.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn upload(number: u128) -> ClientUploadId {
        ClientUploadId::new(Uuid::from_u128(number))
    }

    fn gate(now_ms: u64, at_work: usize, urgent: bool) -> Gate {
        Gate {
            now: Timestamp::from_millis(now_ms),
            under_way_max: 1,
            at_work,
            urgent,
        }
    }

    fn wanting(count: u128) -> SharedCalls {
        let mut calls = SharedCalls::default();
        for number in 0..count {
            calls.want(Timestamp::default(), ControlCall::Start, upload(number));
        }
        calls
    }

    #[test]
    fn calls_gather_while_enough_are_under_way_and_then_go_a_full_batch_at_a_time() {
        let mut calls = wanting(1);
        assert_eq!(calls.take(ControlCall::Start, gate(0, 9, true)), [upload(0)]);
        calls.sent(ActionId(1), ControlCall::Start);
        for number in 1..=BATCH_LENGTH_MAX as u128 + 1 {
            calls.want(Timestamp::default(), ControlCall::Start, upload(number));
            calls.want(Timestamp::default(), ControlCall::Start, upload(number));
        }
        assert!(calls.take(ControlCall::Start, gate(1_000, 0, true)).is_empty());
        assert_eq!(calls.next_deadline(1), None);
        assert!(calls.take(ControlCall::Complete, gate(1_000, 0, true)).is_empty());
        calls.ended(ActionId(1));
        assert_eq!(
            calls.take(ControlCall::Start, gate(1_000, 0, true)).len(),
            BATCH_LENGTH_MAX
        );
        assert_eq!(calls.take(ControlCall::Start, gate(1_000, 0, true)).len(), 1);
        assert!(calls.take(ControlCall::Start, gate(1_000, 0, true)).is_empty());
    }

    #[test]
    fn call_waits_for_those_at_work_to_join_but_no_longer_than_its_time() {
        for (now_ms, at_work, taken) in [(0, 3, 3), (0, 4, 0), (GATHER_MS - 1, 4, 0), (GATHER_MS, 4, 3)] {
            let mut calls = wanting(3);
            assert_eq!(calls.next_deadline(1), Some(Timestamp::from_millis(GATHER_MS)));
            let count = calls.take(ControlCall::Start, gate(now_ms, at_work, false)).len();
            assert_eq!(count, taken, "{now_ms} ms, {at_work} at work");
        }
    }

    #[test]
    fn full_batch_and_an_urgent_call_wait_for_nobody() {
        let full = BATCH_LENGTH_MAX as u128;
        assert_eq!(
            wanting(full).take(ControlCall::Start, gate(0, 900, false)).len(),
            BATCH_LENGTH_MAX
        );
        assert!(
            wanting(full - 1)
                .take(ControlCall::Start, gate(0, 900, false))
                .is_empty()
        );
        assert_eq!(wanting(1).take(ControlCall::Start, gate(0, 900, true)).len(), 1);
    }
}
