//! The upload rate that all connections share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A pause may bring so much at once afterwards; short, so that progress stays smooth.
const BURST: Duration = Duration::from_millis(20);

/// A token bucket kept as the time at which it would be empty: each taker books the next stretch of
/// time and waits for its beginning, so takers are served in order.
#[derive(Debug)]
pub(super) struct Bucket {
    booked_until: Mutex<Instant>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self {
            booked_until: Mutex::new(Instant::now()),
        }
    }

    /// Forgets what was booked, after the rate has changed.
    pub(super) fn reset(&self) {
        *self.booked_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Books `size_bytes` at `bytes_per_second` and says from when they may be sent.
    pub(super) fn book(&self, size_bytes: usize, bytes_per_second: u64) -> Instant {
        let mut booked_until = self.booked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let begin = (*booked_until).max(now.checked_sub(BURST).unwrap_or(now));
        let nanos = (size_bytes as u128 * 1_000_000_000) / u128::from(bytes_per_second.max(1));
        *booked_until = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *booked_until
    }
}

/// How much to forward at once at this rate: a fiftieth of a second's worth, at most 16 KiB.
pub(super) fn slice_bytes(bytes_per_second: Option<u64>) -> usize {
    const SLICE_BYTES_MAX: u64 = 16 * 1024;
    let slice = bytes_per_second.map_or(SLICE_BYTES_MAX, |rate| (rate / 50).clamp(512, SLICE_BYTES_MAX));
    usize::try_from(slice).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookings_of_many_takers_add_up_to_the_rate() {
        let bucket = Bucket::new();
        let start = Instant::now();
        let last = (0..100).map(|_| bucket.book(10_000, 1_000_000)).max().unwrap();
        let took = last.saturating_duration_since(start);
        assert!(
            took <= Duration::from_millis(1_100) && took >= Duration::from_millis(970),
            "{took:?}"
        );
    }

    #[test]
    fn slices_are_small_at_a_low_rate() {
        assert_eq!(slice_bytes(Some(100_000)), 2_000);
        assert_eq!(slice_bytes(Some(1)), 512);
        assert_eq!(slice_bytes(None), 16_384);
    }
}
