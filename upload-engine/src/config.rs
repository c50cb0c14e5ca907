//! What a host sets once, at construction.

use serde::{Deserialize, Serialize};
use upload_protocol::limits::MIB;

/// The engine's limits. Times in ms, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineConfig {
    /// Wished part size, or the server's default.
    pub part_size_bytes: Option<u64>,
    /// Most parts in flight over all uploads. Browsers open 6 HTTP/1.1 connections a host.
    pub parts_in_flight_max: u32,
    /// Most uploads of several parts worked on at once; the others are queued.
    pub active_uploads_max: u32,
    /// Most uploads of a single part worked on at once, beside the others: two full batches.
    pub active_small_uploads_max: u32,
    /// Most calls of one kind under way for uploads of a single part. While they are, the others gather
    /// for the next, which is one call for up to 100 of them.
    pub shared_calls_max: usize,
    /// Most parts signed by one call.
    pub sign_batch_parts_max: usize,
    /// Most parts written to disk at a time. One keeps the disk busy, a second hides the way there.
    pub stage_actions_max: usize,
    /// Most parts of at most [`EngineConfig::SMALL_PART_BYTES_MAX`] written to disk at a time, beside the
    /// others: hosts write many of them at once.
    pub small_stage_actions_max: usize,
    /// An attempt that sends no byte for so long is cut off and sent again.
    pub stall_timeout_ms: u64,
    /// First wait after a failure; doubled for each further one.
    pub retry_delay_ms_min: u64,
    /// Longest wait between two attempts.
    pub retry_delay_ms_max: u64,
    /// How often a part is refused for good (an unexpected 4xx) before the upload fails.
    pub refusals_max: u32,
    /// A URL is not used when it expires within this time, or within a quarter of its life where that
    /// is shorter.
    pub url_margin_ms: u64,
    /// Most bytes a second over all uploads, as an average: parts start no faster. `None`: no limit.
    pub bandwidth_bytes_per_second: Option<u64>,
    /// Room that staging leaves free on disk, in bytes: for checkpoints and whatever else the page keeps.
    pub storage_reserve_bytes: u64,
    /// A part that has been in flight for so long is staged as well.
    pub at_risk_ms_max: u64,
}

impl EngineConfig {
    /// Parts of at most so many bytes are small: a database takes them better than a file system.
    pub const SMALL_PART_BYTES_MAX: u64 = MIB;
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            part_size_bytes: None,
            parts_in_flight_max: 6,
            active_uploads_max: 16,
            active_small_uploads_max: 200,
            shared_calls_max: 1,
            sign_batch_parts_max: 32,
            stage_actions_max: 2,
            small_stage_actions_max: 32,
            stall_timeout_ms: 30_000,
            retry_delay_ms_min: 500,
            retry_delay_ms_max: 30_000,
            refusals_max: 5,
            url_margin_ms: 10_000,
            bandwidth_bytes_per_second: None,
            storage_reserve_bytes: 2 * MIB,
            at_risk_ms_max: 2_000,
        }
    }
}
