//! What a bucket is set up to do, beside taking uploads.

use async_trait::async_trait;

use crate::error::StorageError;

/// Asks a bucket how it is set up. Nothing that is needed to upload: what is found is told to whoever
/// runs the server.
#[async_trait]
pub trait BucketInspection: Send + Sync {
    /// When the bucket itself ends multipart uploads below this prefix that nobody has finished.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when it doesn't answer.
    async fn lifecycle(&self, key_prefix: &str) -> Result<Lifecycle, StorageError>;

    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// Where clients would PUT an object with this key, unsigned. The key needs no escaping.
    fn public_url(&self, key: &str) -> String;
}

/// When a bucket ends multipart uploads that nobody has finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// So many days after they were started.
    AbortsAfter {
        /// Days.
        days: u32,
    },
    /// Never.
    Never,
    /// The store doesn't tell: it doesn't know the call, or may not be asked.
    Unknown {
        /// Its answer.
        reason: String,
    },
}
