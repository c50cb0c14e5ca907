//! What a store can do.

use upload_protocol::limits::PART_COUNT_MAX;

/// What a store can do, as declared: it decides which guarantees are asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Keeps and checks CRC64NVME: of each part, and of the whole object (`FULL_OBJECT`).
    pub checksum: bool,
    /// Obeys `If-None-Match: *` on `PutObject` and `CompleteMultipartUpload`.
    pub conditional_write: bool,
    /// Most parts of one upload, 10,000 at Amazon.
    pub part_count_max: u32,
}

impl Default for Capabilities {
    /// Amazon S3's own.
    fn default() -> Self {
        Self {
            checksum: true,
            conditional_write: true,
            part_count_max: PART_COUNT_MAX,
        }
    }
}
