//! Starts and completes of small files, gathered so that one call serves many.
//!
//! Nothing waits for the sake of waiting: the first goes out alone and at once. While as many calls of a
//! kind are under way as may be, the others gather, and the next call takes them all.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::ClientUploadId;
use upload_protocol::limits::BATCH_LENGTH_MAX;

use crate::action::ActionId;
use crate::control::ControlCall;

/// What waits and what is under way, by kind of call.
#[derive(Debug, Default)]
pub(crate) struct SharedCalls {
    waiting: BTreeMap<ControlCall, BTreeSet<ClientUploadId>>,
    under_way: BTreeMap<ActionId, ControlCall>,
}

impl SharedCalls {
    /// An upload wants a call that others may share.
    pub(crate) fn want(&mut self, call: ControlCall, upload: ClientUploadId) {
        self.waiting.entry(call).or_default().insert(upload);
    }

    /// Those whose turn it is, at most a full batch; empty while enough calls of the kind are under way.
    /// They may have changed their mind since they asked.
    pub(crate) fn take(&mut self, call: ControlCall, under_way_max: usize) -> Vec<ClientUploadId> {
        let under_way = self.under_way.values().filter(|other| **other == call).count();
        let Some(waiting) = self.waiting.get_mut(&call).filter(|_| under_way < under_way_max) else {
            return Vec::new();
        };
        std::iter::from_fn(|| waiting.pop_first())
            .take(BATCH_LENGTH_MAX)
            .collect()
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

    #[test]
    fn calls_gather_while_enough_are_under_way_and_then_go_a_full_batch_at_a_time() {
        let mut calls = SharedCalls::default();
        calls.want(ControlCall::Start, upload(0));
        assert_eq!(calls.take(ControlCall::Start, 1), [upload(0)]);
        calls.sent(ActionId(1), ControlCall::Start);
        for number in 1..=BATCH_LENGTH_MAX as u128 + 1 {
            calls.want(ControlCall::Start, upload(number));
            calls.want(ControlCall::Start, upload(number));
        }
        assert!(calls.take(ControlCall::Start, 1).is_empty());
        assert!(calls.take(ControlCall::Complete, 1).is_empty());
        calls.ended(ActionId(1));
        assert_eq!(calls.take(ControlCall::Start, 1).len(), BATCH_LENGTH_MAX);
        assert_eq!(calls.take(ControlCall::Start, 1).len(), 1);
        assert!(calls.take(ControlCall::Start, 1).is_empty());
    }
}
