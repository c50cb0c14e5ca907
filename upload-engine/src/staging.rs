//! How many parts are written to disk at a time: large ones few, small ones many, neither waiting for
//! the other.

use crate::config::EngineConfig;

/// The two lanes to the disk.
#[derive(Debug)]
pub(crate) struct StagingLanes {
    large: StagingLane,
    small: StagingLane,
}

#[derive(Debug)]
struct StagingLane {
    under_way: usize,
    max: usize,
}

impl StagingLanes {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let lane = |max| StagingLane { under_way: 0, max };
        Self {
            large: lane(config.stage_actions_max),
            small: lane(config.small_stage_actions_max),
        }
    }

    /// Whether a part of so many bytes may begin.
    pub(crate) fn is_free(&self, size_bytes: u64) -> bool {
        let lane = if is_small(size_bytes) {
            &self.small
        } else {
            &self.large
        };
        lane.under_way < lane.max
    }

    /// Whether no part of any size may begin.
    pub(crate) fn are_full(&self) -> bool {
        [&self.large, &self.small]
            .iter()
            .all(|lane| lane.under_way >= lane.max)
    }

    pub(crate) fn begin(&mut self, size_bytes: u64) {
        self.lane(size_bytes).under_way += 1;
    }

    pub(crate) fn end(&mut self, size_bytes: u64) {
        let lane = self.lane(size_bytes);
        lane.under_way = lane.under_way.saturating_sub(1);
    }

    fn lane(&mut self, size_bytes: u64) -> &mut StagingLane {
        if is_small(size_bytes) {
            &mut self.small
        } else {
            &mut self.large
        }
    }
}

fn is_small(size_bytes: u64) -> bool {
    size_bytes <= EngineConfig::SMALL_PART_BYTES_MAX
}
