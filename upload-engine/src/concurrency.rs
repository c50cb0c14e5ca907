//! How many parts may be in flight at once.

use std::fmt::Debug;

use crate::time::Timestamp;

/// A strategy for the number of parts in flight. Synchronous and pure: it learns of results and answers
/// a number.
pub(crate) trait ConcurrencyController: Debug {
    /// A part of so many bytes was confirmed.
    fn on_confirmed(&mut self, now: Timestamp, size_bytes: u64);
    /// The store asked for less, or an attempt stalled.
    fn on_congestion(&mut self, now: Timestamp);
    /// Most parts in flight now, at least 1.
    fn limit(&self) -> u32;
}

/// Additive increase, multiplicative decrease.
///
/// Starts at as many as a browser has connections, halves on congestion, and grows by one a round of
/// confirmed parts: back to where it started in any case, further for as long as more parts in flight
/// move more bytes.
#[derive(Debug)]
pub(crate) struct Aimd {
    limit: u32,
    start: u32,
    max: u32,
    round: Round,
    /// Bytes a second of the best round so far, and the number in flight that reached it.
    best: (u64, u32),
    halved_at: Option<Timestamp>,
}

/// As many confirmed parts as there may be in flight.
#[derive(Debug, Default)]
struct Round {
    started_at: Option<Timestamp>,
    parts: u32,
    bytes: u64,
}

/// A browser opens so many connections to an HTTP/1.1 host.
const START: u32 = 6;

/// One burst of refusals counts once: answers to parts sent before the halving say nothing new.
const CONGESTION_PAUSE_MS: u64 = 1_000;

impl Aimd {
    pub(crate) fn new(max: u32) -> Self {
        let max = max.max(1);
        let start = max.min(START);
        Self {
            limit: start,
            start,
            max,
            round: Round::default(),
            best: (0, start),
            halved_at: None,
        }
    }

    /// Whether this round moved a twentieth more than the best one before.
    fn is_faster(&self, rate: u64) -> bool {
        rate > self.best.0 + self.best.0 / 20
    }

    fn on_round(&mut self, rate: u64) {
        if self.limit < self.start {
            self.limit += 1;
        } else if self.is_faster(rate) {
            self.best = (rate, self.limit);
            self.limit = (self.limit + 1).min(self.max);
        } else if self.limit > self.best.1 {
            // More in flight moved nothing more.
            self.limit -= 1;
        }
    }
}

impl ConcurrencyController for Aimd {
    fn on_confirmed(&mut self, now: Timestamp, size_bytes: u64) {
        let Some(started_at) = self.round.started_at else {
            // When the first was begun is not known: it only starts the clock.
            self.round.started_at = Some(now);
            return;
        };
        self.round.parts += 1;
        self.round.bytes = self.round.bytes.saturating_add(size_bytes);
        if self.round.parts >= self.limit {
            let millis = now.millis_since(started_at).max(1);
            let rate = self.round.bytes.saturating_mul(1000) / millis;
            self.round = Round {
                started_at: Some(now),
                ..Round::default()
            };
            self.on_round(rate);
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
        self.round = Round::default();
        self.limit = (self.limit / 2).max(1);
        // What was reached before the store complained is no measure any more.
        self.best = (0, self.start);
    }

    fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Confirms parts of 1 MB, so many a second for each one in flight, but never more than `line`.
    fn run(aimd: &mut Aimd, from_ms: u64, rounds: u32, line: u64) -> u64 {
        let mut now_ms = from_ms;
        for _ in 0..rounds {
            let in_flight = aimd.limit();
            let rate = (u64::from(in_flight) * 1_000_000).min(line);
            now_ms += u64::from(in_flight) * 1_000_000_000 / rate;
            for _ in 0..in_flight {
                aimd.on_confirmed(at(now_ms), 1_000_000);
            }
        }
        now_ms
    }

    #[test]
    fn aimd_halves_once_for_a_burst_of_refusals_and_never_below_one() {
        let mut aimd = Aimd::new(6);
        for _ in 0..5 {
            aimd.on_congestion(at(10));
        }
        assert_eq!(aimd.limit(), 3);
        aimd.on_congestion(at(10 + CONGESTION_PAUSE_MS - 1));
        assert_eq!(aimd.limit(), 3);
        aimd.on_congestion(at(10 + CONGESTION_PAUSE_MS));
        assert_eq!(aimd.limit(), 1);
        for second in 3..10 {
            aimd.on_congestion(at(second * 1_000));
        }
        assert_eq!(aimd.limit(), 1);
    }

    #[test]
    fn aimd_grows_by_one_a_round_back_to_where_it_started() {
        let mut aimd = Aimd::new(6);
        aimd.on_congestion(at(0));
        run(&mut aimd, 0, 2, 1);
        assert_eq!(aimd.limit(), 4);
        run(&mut aimd, 10_000, 100, 1);
        assert_eq!(aimd.limit(), 6);
    }

    #[test]
    fn aimd_grows_further_while_more_in_flight_moves_more_and_stays_near_where_it_stops_to() {
        let mut aimd = Aimd::new(64);
        assert_eq!(aimd.limit(), START);
        let now_ms = run(&mut aimd, 0, 50, 20_000_000);
        assert!((19..=22).contains(&aimd.limit()), "{}", aimd.limit());
        run(&mut aimd, now_ms, 50, 20_000_000);
        assert!((19..=22).contains(&aimd.limit()), "{}", aimd.limit());
    }

    #[test]
    fn aimd_never_exceeds_its_maximum() {
        for max in [0, 1, 2, 6, 7] {
            let mut aimd = Aimd::new(max);
            run(&mut aimd, 0, 100, u64::MAX);
            assert!(aimd.limit() <= max.max(1), "{max}");
        }
    }
}
