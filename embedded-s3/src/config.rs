//! What a caller says to open a store, and why opening may fail.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How to open an [`EmbeddedS3`](crate::EmbeddedS3).
#[derive(Clone)]
pub struct EmbeddedS3Config {
    /// Folder that holds everything; made when missing. One process at a time may use it.
    pub data_dir: PathBuf,
    /// The one access key id that signatures may name. Not empty.
    pub access_key: String,
    /// The secret of `access_key`. Not empty; never logged.
    pub secret_key: String,
    /// Region that the store says it is in. Default `us-east-1`. Signatures for any region are
    /// accepted, as the store is the only one at its address.
    pub region: String,
    /// Buckets to make at opening when they do not exist yet. Default none.
    pub buckets: Vec<String>,
    /// Origins whose pages may read answers, such as `http://127.0.0.1:4000`. Empty, the default,
    /// allows every origin: each request must be signed, so an origin alone opens nothing.
    pub allowed_origins: Vec<String>,
    /// For tests of sizes that no disk holds: bodies are hashed and checked as ever, then thrown away
    /// and counted here. In their place stand sparse files of the same size, so objects read back as
    /// zeros. Default none.
    pub discard: Option<Discarded>,
}

/// What a store that keeps no bytes has taken. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Discarded {
    counts: Arc<DiscardedCounts>,
}

#[derive(Debug, Default)]
struct DiscardedCounts {
    bytes: AtomicU64,
    bodies: AtomicU64,
}

impl Discarded {
    /// Bytes of bodies, those of refused and broken-off requests too.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Bodies that were read to their end, refused afterwards or not.
    pub fn bodies(&self) -> u64 {
        self.counts.bodies.load(Ordering::Relaxed)
    }

    pub(crate) fn count_bytes(&self, size_bytes: usize) {
        self.counts.bytes.fetch_add(size_bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_body(&self) {
        self.counts.bodies.fetch_add(1, Ordering::Relaxed);
    }
}

impl EmbeddedS3Config {
    /// A store in `data_dir` with one pair of keys, no buckets, and every origin allowed.
    pub fn new(
        data_dir: impl Into<PathBuf>,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
    ) -> Self {
        Self {
            data_dir: data_dir.into(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            region: "us-east-1".to_owned(),
            buckets: Vec::new(),
            allowed_origins: Vec::new(),
            discard: None,
        }
    }
}

impl fmt::Debug for EmbeddedS3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedS3Config")
            .field("data_dir", &self.data_dir)
            .field("access_key", &self.access_key)
            .field("secret_key", &"[hidden]")
            .field("region", &self.region)
            .field("buckets", &self.buckets)
            .field("allowed_origins", &self.allowed_origins)
            .field("discard", &self.discard)
            .finish()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A key is empty; set both before opening.
    #[error("the {name} of the embedded store is empty: set it to a value of at least 1 character")]
    EmptyKey {
        /// Which of the two keys.
        name: &'static str,
    },
    /// A configured bucket has a name that S3 would refuse.
    #[error("bucket name {name:?} is not valid: use 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName {
        /// The name as configured.
        name: String,
    },
    /// An allowed origin can't be put into a header.
    #[error("allowed origin {origin:?} is not valid: write it as scheme://host or scheme://host:port")]
    Origin {
        /// The origin as configured.
        origin: String,
    },
    /// Another process serves this folder; stop it, or use another folder.
    #[error("folder {path:?} is in use by another process: stop it, or choose another data folder")]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder could not be read or written.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}
