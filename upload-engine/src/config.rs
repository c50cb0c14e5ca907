//! What a host sets once, at construction.

/// The engine's limits. Times in ms, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Wished part size, or the server's default.
    pub part_size_bytes: Option<u64>,
    /// Most parts in flight over all uploads. Browsers open 6 HTTP/1.1 connections a host.
    pub parts_in_flight_max: u32,
    /// Most uploads worked on at once; the others are queued.
    pub active_uploads_max: u32,
    /// Most parts signed by one call.
    pub sign_batch_parts_max: usize,
    /// Most parts written to disk at a time. One keeps the disk busy, a second hides the way there.
    pub stage_actions_max: usize,
    /// An attempt that sends no byte for so long is cut off and sent again.
    pub stall_timeout_ms: u64,
    /// First wait after a failure; doubled for each further one.
    pub retry_delay_ms_min: u64,
    /// Longest wait between two attempts.
    pub retry_delay_ms_max: u64,
    /// How often a part is refused for good (an unexpected 4xx) before the upload fails.
    pub refusals_max: u32,
    /// A URL is not used when it expires within this time.
    pub url_margin_ms: u64,
    /// A part that has been in flight for so long is staged as well.
    pub at_risk_ms_max: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            part_size_bytes: None,
            parts_in_flight_max: 6,
            active_uploads_max: 16,
            sign_batch_parts_max: 32,
            stage_actions_max: 2,
            stall_timeout_ms: 30_000,
            retry_delay_ms_min: 500,
            retry_delay_ms_max: 30_000,
            refusals_max: 5,
            url_margin_ms: 10_000,
            at_risk_ms_max: 2_000,
        }
    }
}
