//! How many parts may be in flight at once.

use std::fmt::Debug;

use crate::time::Timestamp;

/// A strategy for the number of parts in flight. Synchronous and pure: it learns of results and answers
/// a number.
pub(crate) trait ConcurrencyController: Debug {
    /// A part was confirmed.
    fn on_confirmed(&mut self, now: Timestamp);
    /// The store asked for less, or an attempt stalled.
    fn on_congestion(&mut self, now: Timestamp);
    /// Most parts in flight now, at least 1.
    fn limit(&self) -> u32;
}

/// Additive increase, multiplicative decrease: starts at the maximum, halves on congestion, and grows
/// by one for each round of confirmed parts.
#[derive(Debug)]
pub(crate) struct Aimd {
    limit: u32,
    max: u32,
    confirmed_in_round: u32,
    halved_at: Option<Timestamp>,
}

/// One burst of refusals counts once: answers to parts sent before the halving say nothing new.
const CONGESTION_PAUSE_MS: u64 = 1_000;

impl Aimd {
    pub(crate) fn new(max: u32) -> Self {
        let max = max.max(1);
        Self {
            limit: max,
            max,
            confirmed_in_round: 0,
            halved_at: None,
        }
    }
}

impl ConcurrencyController for Aimd {
    fn on_confirmed(&mut self, _now: Timestamp) {
        self.confirmed_in_round += 1;
        if self.confirmed_in_round >= self.limit {
            self.confirmed_in_round = 0;
            self.limit = (self.limit + 1).min(self.max);
        }
    }

    fn on_congestion(&mut self, now: Timestamp) {
        if self
            .halved_at
            .is_some_and(|at| now.millis_since(at) < CONGESTION_PAUSE_MS)
        {
            return;
        }
        self.halved_at = Some(now);
        self.confirmed_in_round = 0;
        self.limit = (self.limit / 2).max(1);
    }

    fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aimd_halves_once_for_a_burst_of_refusals_and_never_below_one() {
        let mut aimd = Aimd::new(6);
        for _ in 0..5 {
            aimd.on_congestion(Timestamp::from_millis(10));
        }
        assert_eq!(aimd.limit(), 3);
        for second in 2..10 {
            aimd.on_congestion(Timestamp::from_millis(second * 1_000));
        }
        assert_eq!(aimd.limit(), 1);
    }

    #[test]
    fn aimd_grows_by_one_a_round_up_to_its_maximum() {
        let mut aimd = Aimd::new(6);
        aimd.on_congestion(Timestamp::from_millis(0));
        for _ in 0..3 {
            aimd.on_confirmed(Timestamp::from_millis(1));
        }
        assert_eq!(aimd.limit(), 4);
        for _ in 0..100 {
            aimd.on_confirmed(Timestamp::from_millis(1));
        }
        assert_eq!(aimd.limit(), 6);
    }
}
