//! What a store can do.

use upload_protocol::limits::{KEY_LENGTH_BYTES_MAX, PART_COUNT_MAX};

/// What a store can do, as declared: it decides which guarantees are asked of it. A
/// [`StoreProfile`](crate::StoreProfile) declares it by the store's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Keeps and checks CRC64NVME: of each part, listed with it, and of the whole object
    /// (`FULL_OBJECT`). Where it is absent no checksum is sent, asked for or read.
    pub checksum: bool,
    /// Obeys `If-None-Match: *` on `PutObject` and `CompleteMultipartUpload`. Where it is absent the
    /// condition is not sent, and no object is written by a single PUT.
    pub conditional_write: bool,
    /// Compares `x-amz-mp-object-size` of a complete with what it has. Where it is absent the header is
    /// not sent; the size is checked before and after in any case.
    pub object_size: bool,
    /// Most parts of one upload, 10,000 at Amazon.
    pub part_count_max: u32,
    /// Longest piece of a key between two slashes, in bytes. As long as a key at Amazon; a store that
    /// makes files and folders of keys takes no longer name than its file system.
    pub key_segment_length_bytes_max: usize,
}

impl Default for Capabilities {
    /// Amazon S3's own.
    fn default() -> Self {
        Self {
            checksum: true,
            conditional_write: true,
            object_size: true,
            part_count_max: PART_COUNT_MAX,
            key_segment_length_bytes_max: KEY_LENGTH_BYTES_MAX,
        }
    }
}
