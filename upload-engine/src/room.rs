//! How much can still be written to disk: the host's estimate, carried on by what is staged and freed.

/// Room for staged parts, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    /// `None`: the host can't tell, so only a write that fails does.
    estimate: Option<u64>,
    reserve_bytes: u64,
    /// Being written now.
    under_way_bytes: u64,
}

impl Room {
    pub(crate) fn new(reserve_bytes: u64) -> Self {
        Self {
            estimate: None,
            reserve_bytes,
            under_way_bytes: 0,
        }
    }

    /// The host has looked. What is being written may or may not be in its figure: it counts once more,
    /// so that the disk is never planned too full.
    pub(crate) fn on_estimate(&mut self, bytes: Option<u64>) {
        self.estimate = bytes;
    }

    pub(crate) fn begin(&mut self, size_bytes: u64) {
        self.under_way_bytes = self.under_way_bytes.saturating_add(size_bytes);
    }

    /// A write has ended; `written` says whether its bytes are on disk now.
    pub(crate) fn end(&mut self, size_bytes: u64, written: bool) {
        self.under_way_bytes = self.under_way_bytes.saturating_sub(size_bytes);
        if written {
            self.estimate = self.estimate.map(|room| room.saturating_sub(size_bytes));
        }
    }

    pub(crate) fn on_freed(&mut self, size_bytes: u64) {
        self.estimate = self.estimate.map(|room| room.saturating_add(size_bytes));
    }

    /// Whether so many bytes more fit.
    pub(crate) fn has(&self, size_bytes: u64) -> bool {
        self.left_bytes().is_none_or(|left| size_bytes <= left)
    }

    fn left_bytes(&self) -> Option<u64> {
        let taken = self.reserve_bytes.saturating_add(self.under_way_bytes);
        self.estimate.map(|room| room.saturating_sub(taken))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn unknown_room_is_taken_for_enough() {
        assert!(Room::new(10).has(u64::MAX));
    }

    #[test]
    fn room_ends_exactly_at_the_reserve() {
        let mut room = Room::new(10);
        room.on_estimate(Some(110));
        assert!(room.has(100) && !room.has(101));
        room.begin(60);
        assert!(room.has(40) && !room.has(41));
        room.end(60, true);
        assert!(room.has(40) && !room.has(41));
        room.on_freed(60);
        assert!(room.has(100) && !room.has(101));
        room.begin(60);
        room.end(60, false);
        assert!(room.has(100));
    }

    #[test]
    fn estimate_below_the_reserve_leaves_no_room() {
        let mut room = Room::new(10);
        room.on_estimate(Some(9));
        assert!(!room.has(1));
    }
}
