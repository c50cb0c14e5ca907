//! Time as an argument.

use std::ops::Add;

/// A point in time of the host's monotonic clock, in milliseconds from any fixed start.
///
/// The engine only compares and adds; it never reads a clock and never sees a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Milliseconds from the host's fixed start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds from the host's fixed start.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this; 0 when it is not earlier.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Timestamp {
    type Output = Self;

    /// This point and `millis` more.
    fn add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}
