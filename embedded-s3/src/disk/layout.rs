//! Where things stand below the data folder.

use std::path::{Path, PathBuf};

use crate::config::Discarded;

/// The paths below one data folder. Bucket names have passed S3's rules, so they are safe names.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    discard: Option<Discarded>,
}

impl Layout {
    pub(crate) fn new(root: &Path, discard: Option<Discarded>) -> Self {
        Self {
            root: root.to_path_buf(),
            discard,
        }
    }

    /// Where bodies are counted instead of kept; `None` in a store that keeps them.
    pub(crate) fn discard(&self) -> Option<&Discarded> {
        self.discard.as_ref()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A name in the temporary folder that nothing else uses.
    pub(crate) fn tmp_unique(&self) -> PathBuf {
        self.tmp().join(uuid::Uuid::new_v4().simple().to_string())
    }

    pub(crate) fn buckets(&self) -> PathBuf {
        self.root.join("buckets")
    }

    pub(crate) fn bucket(&self, bucket: &str) -> PathBuf {
        self.buckets().join(bucket)
    }
}

/// What a bucket's folder holds.
pub(crate) const BUCKET_FILE: &str = "bucket.json";
pub(crate) const UPLOADS: &str = "uploads";
pub(crate) const OBJECTS: &str = "objects";
/// What an upload's folder holds besides its parts.
pub(crate) const UPLOAD_FILE: &str = "upload.json";
/// What an object's folder holds besides its parts.
pub(crate) const OBJECT_FILE: &str = "object.json";
