//! Noticing that the machine slept: the wall clock has moved, the monotonic one has not. Pure.

/// Difference between the two clocks, in ms, that is no drift any more.
const JUMP_MS_MIN: f64 = 10_000.0;

/// How often to look, in ms.
pub(super) const CHECK_INTERVAL_MS: u32 = 5_000;

/// A look this late, in ms, means that nothing ran meanwhile: on systems whose monotonic clock counts
/// sleep, the two clocks agree.
const GAP_MS_MIN: f64 = 60_000.0;

/// Compares the clocks from time to time.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockWatch {
    monotonic_ms: f64,
    wall_ms: f64,
}

impl ClockWatch {
    pub(super) fn new(monotonic_ms: f64, wall_ms: f64) -> Self {
        Self {
            monotonic_ms,
            wall_ms,
        }
    }

    /// Whether the machine slept, or its clock was set, since the last look.
    pub(super) fn has_jumped(&mut self, monotonic_ms: f64, wall_ms: f64) -> bool {
        let gap_ms = monotonic_ms - self.monotonic_ms;
        let drift_ms = (wall_ms - self.wall_ms) - gap_ms;
        *self = Self::new(monotonic_ms, wall_ms);
        drift_ms.abs() > JUMP_MS_MIN || gap_ms > GAP_MS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: f64 = 1.8e12;

    #[test]
    fn clocks_that_go_together_have_not_jumped() {
        let mut watch = ClockWatch::new(0.0, WALL_MS);
        for look in 1..100 {
            let passed = f64::from(look) * 5_001.0;
            assert!(!watch.has_jumped(passed, WALL_MS + passed));
        }
    }

    #[test]
    fn sleep_is_noticed_once() {
        let mut watch = ClockWatch::new(0.0, WALL_MS);
        assert!(watch.has_jumped(5_000.0, WALL_MS + 3_600_000.0));
        assert!(!watch.has_jumped(10_000.0, WALL_MS + 3_605_000.0));
    }

    #[test]
    fn clock_set_back_is_a_jump_and_ten_seconds_are_not() {
        let mut watch = ClockWatch::new(0.0, WALL_MS);
        assert!(!watch.has_jumped(5_000.0, WALL_MS + 15_000.0));
        assert!(watch.has_jumped(10_000.0, WALL_MS - 60_000.0));
    }

    #[test]
    fn sleep_that_the_monotonic_clock_counted_is_noticed() {
        let mut watch = ClockWatch::new(0.0, WALL_MS);
        assert!(watch.has_jumped(120_000.0, WALL_MS + 120_000.0));
    }
}
