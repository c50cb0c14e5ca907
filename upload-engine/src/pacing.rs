//! The bandwidth limit: a token bucket that parts are taken from when they start.

use crate::time::Timestamp;

/// Bytes that may be sent: they trickle in at the limit's rate and are taken whole parts at a time.
///
/// A browser sends what it is given as fast as it can, so the rate holds as an average: a part may start
/// while the balance is not negative, and what it takes too much is waited for before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenBucket {
    bytes_per_second: Option<u64>,
    /// In thousandths of a byte, so that no time is lost to rounding.
    balance: i128,
    counted_at: Timestamp,
}

/// What is saved up while nothing is sent: a second's worth, not more.
const BURST_MS: u64 = 1_000;

impl TokenBucket {
    /// A bucket with a balance of nothing; `None` and 0 limit nothing.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0),
            balance: 0,
            counted_at: Timestamp::default(),
        }
    }

    /// Whether a part may start at `now`.
    pub(crate) fn may_start(&mut self, now: Timestamp) -> bool {
        let Some(rate) = self.bytes_per_second else {
            return true;
        };
        let gained = i128::from(rate) * i128::from(now.millis_since(self.counted_at));
        let most = i128::from(rate) * i128::from(BURST_MS);
        self.balance = (self.balance + gained).min(most);
        self.counted_at = self.counted_at.max(now);
        self.balance >= 0
    }

    /// A part of so many bytes starts.
    pub(crate) fn take(&mut self, size_bytes: u64) {
        if self.bytes_per_second.is_some() {
            self.balance -= i128::from(size_bytes) * 1000;
        }
    }

    /// Of a part that was started, so many bytes were not sent after all.
    pub(crate) fn give_back(&mut self, size_bytes: u64) {
        if let Some(rate) = self.bytes_per_second {
            let most = i128::from(rate) * i128::from(BURST_MS);
            self.balance = (self.balance + i128::from(size_bytes) * 1000).min(most);
        }
    }

    /// When the next part may start; `None` when that is already so.
    pub(crate) fn ready_at(&self) -> Option<Timestamp> {
        let rate = self.bytes_per_second?;
        let missing = -self.balance;
        (missing > 0).then(|| {
            let millis = (missing + i128::from(rate) - 1) / i128::from(rate);
            self.counted_at + u64::try_from(millis).unwrap_or(u64::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn part_starts_at_once_and_the_next_when_it_is_paid_for() {
        let mut bucket = TokenBucket::new(Some(1_000));
        assert!(bucket.may_start(at(5)));
        bucket.take(2_000);
        assert_eq!(bucket.ready_at(), Some(at(2_000)));
        assert!(!bucket.may_start(at(1_999)));
        assert!(bucket.may_start(at(2_000)));
        assert_eq!(bucket.ready_at(), None);
    }

    #[test]
    fn idle_time_saves_up_a_second_and_not_more() {
        let mut bucket = TokenBucket::new(Some(1_000));
        assert!(bucket.may_start(at(3_600_000)));
        bucket.take(1_001);
        assert!(!bucket.may_start(at(3_600_000)));
        assert_eq!(bucket.ready_at(), Some(at(3_600_001)));
    }

    #[test]
    fn what_was_not_sent_is_given_back_and_saves_up_no_more_than_a_second() {
        let mut bucket = TokenBucket::new(Some(1_000));
        assert!(bucket.may_start(at(0)));
        bucket.take(100_000);
        bucket.give_back(99_000);
        assert_eq!(bucket.ready_at(), Some(at(1_000)));
        bucket.give_back(100_000);
        bucket.take(1_001);
        assert_eq!(bucket.ready_at(), Some(at(1)));
    }

    #[test]
    fn no_limit_and_a_limit_of_nothing_hold_nothing_up() {
        for limit in [None, Some(0)] {
            let mut bucket = TokenBucket::new(limit);
            bucket.take(u64::MAX);
            assert!(bucket.may_start(at(0)));
            assert_eq!(bucket.ready_at(), None);
        }
    }

    // Its generator needs the randomness of an operating system.
    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn average_never_exceeds_the_limit(
            rate in 1u64..1 << 40,
            sizes in proptest::collection::vec(0u64..1 << 36, 1..50),
        ) {
            let mut bucket = TokenBucket::new(Some(rate));
            let mut now = at(0);
            let mut sent = 0u128;
            for size in sizes {
                prop_assert!(bucket.may_start(now));
                // Everything before this part has been paid for by the time that went by.
                prop_assert!(sent * 1000 <= u128::from(rate) * u128::from(now.as_millis() + BURST_MS));
                bucket.take(size);
                sent += u128::from(size);
                now = bucket.ready_at().unwrap_or(now).max(now);
            }
        }
    }
}
