//! How fast bytes move.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// Bytes a second over the last few seconds.
#[derive(Debug, Default)]
pub(crate) struct RateMeter {
    buckets: VecDeque<(u64, u64)>,
    started_at_ms: Option<u64>,
}

/// Width of a bucket.
const BUCKET_MS: u64 = 500;
/// Buckets looked back on.
const WINDOW_BUCKETS: u64 = 10;

impl RateMeter {
    /// `bytes` more have moved.
    pub(crate) fn add(&mut self, now: Timestamp, bytes: u64) {
        let bucket = now.as_millis() / BUCKET_MS;
        let idle = self
            .buckets
            .back()
            .is_none_or(|(last, _)| bucket > last + WINDOW_BUCKETS);
        if idle {
            self.buckets.clear();
            self.started_at_ms = Some(now.as_millis());
        }
        match self.buckets.back_mut() {
            Some((last, sum)) if *last == bucket => *sum += bytes,
            _ => self.buckets.push_back((bucket, bytes)),
        }
        while self
            .buckets
            .front()
            .is_some_and(|(first, _)| bucket >= first + WINDOW_BUCKETS)
        {
            self.buckets.pop_front();
        }
    }

    /// Bytes a second; 0 when nothing moved lately.
    pub(crate) fn bytes_per_second(&self, now: Timestamp) -> u64 {
        let oldest = (now.as_millis() / BUCKET_MS).saturating_sub(WINDOW_BUCKETS - 1);
        let sum: u64 = self
            .buckets
            .iter()
            .filter(|(at, _)| *at >= oldest)
            .map(|(_, sum)| sum)
            .sum();
        let since_start = now.as_millis().saturating_sub(self.started_at_ms.unwrap_or(0));
        let window_ms = since_start.clamp(BUCKET_MS, WINDOW_BUCKETS * BUCKET_MS);
        sum.saturating_mul(1000) / window_ms
    }

    /// The same, once there is enough history to decide by, and while anything moves at all.
    pub(crate) fn settled_bytes_per_second(&self, now: Timestamp) -> Option<u64> {
        let since_start = now.as_millis().saturating_sub(self.started_at_ms?);
        let rate = self.bytes_per_second(now);
        (since_start >= SETTLED_AFTER_MS && rate > 0).then_some(rate)
    }
}

/// History below which a rate says nothing: the first bytes only fill the browser's and the system's
/// buffers, at any speed.
const SETTLED_AFTER_MS: u64 = 2_000;

/// Bytes a second of jobs that are timed one by one: a moving average that trusts the newest by a
/// quarter.
#[derive(Debug, Default)]
pub(crate) struct JobRate {
    bytes_per_second: u64,
}

impl JobRate {
    /// A job of `bytes` took `millis`.
    pub(crate) fn add(&mut self, bytes: u64, millis: u64) {
        let rate = bytes.saturating_mul(1000) / millis.max(1);
        self.bytes_per_second = match self.bytes_per_second {
            0 => rate,
            old => old - old / 4 + rate / 4,
        };
    }

    /// 0 until the first job.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }
}

/// How long jobs take: a moving average that trusts the newest by a quarter.
#[derive(Debug, Default)]
pub(crate) struct JobTime {
    millis: Option<u64>,
}

impl JobTime {
    /// A job took so long.
    pub(crate) fn add(&mut self, millis: u64) {
        self.millis = Some(match self.millis {
            None => millis,
            Some(old) => old - old / 4 + millis / 4,
        });
    }

    /// `None` until the first job.
    pub(crate) fn millis(&self) -> Option<u64> {
        self.millis
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn rate_is_what_moved_over_the_window() {
        let mut meter = RateMeter::default();
        for tick in 0..100 {
            meter.add(Timestamp::from_millis(tick * 100), 1_000);
        }
        let rate = meter.bytes_per_second(Timestamp::from_millis(9_999));
        assert!((9_000..=11_000).contains(&rate), "{rate}");
    }

    #[test]
    fn burst_that_fills_the_buffers_is_no_rate_to_decide_by() {
        let mut meter = RateMeter::default();
        meter.add(Timestamp::from_millis(100), 50_000_000);
        assert_eq!(
            meter.settled_bytes_per_second(Timestamp::from_millis(1_000)),
            None
        );
        assert_eq!(
            meter.settled_bytes_per_second(Timestamp::from_millis(3_000)),
            Some(17_241_379)
        );
    }

    #[test]
    fn rate_falls_to_zero_when_nothing_moves() {
        let mut meter = RateMeter::default();
        meter.add(Timestamp::from_millis(0), 1_000_000);
        assert_eq!(meter.bytes_per_second(Timestamp::from_millis(60_000)), 0);
    }
}
