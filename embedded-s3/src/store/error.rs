//! Why the store refuses, in the store's terms; `s3::errors` gives each its S3 code.

use std::io;
use std::path::{Path, PathBuf};

use s3s::StdError;

/// A refusal or failure of the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the bucket does not exist")]
    NoSuchBucket,
    #[error("the bucket already exists and is yours")]
    BucketAlreadyOwnedByYou,
    #[error("the bucket name is not valid: use 3 to 63 lower-case letters, digits, dots, hyphens")]
    InvalidBucketName,
    #[error("the bucket still holds {objects} objects: delete them first")]
    BucketNotEmpty { objects: usize },
    #[error("the key does not exist")]
    NoSuchKey,
    #[error("the upload does not exist: it was aborted or completed, or never made")]
    NoSuchUpload,
    #[error("the bucket has no lifecycle configuration")]
    NoSuchLifecycle,
    #[error("at least one of the preconditions did not hold: {condition}")]
    PreconditionFailed { condition: &'static str },
    #[error(
        "part {number} is not one of the uploaded parts, or its entity tag or checksum differs: {detail}"
    )]
    InvalidPart { number: i32, detail: String },
    #[error("part {number} follows part {before}: list the parts in ascending order")]
    InvalidPartOrder { number: i32, before: i32 },
    #[error("part {number} is {size_bytes} bytes, below the 5242880-byte minimum of all but the last")]
    EntityTooSmall { number: u16, size_bytes: u64 },
    #[error("the body is larger than the {size_max_bytes} bytes allowed")]
    EntityTooLarge { size_max_bytes: u64 },
    #[error("{received_bytes} bytes arrived where {declared_bytes} were declared")]
    IncompleteBody {
        declared_bytes: u64,
        received_bytes: u64,
    },
    #[error("the {name} {declared} does not match the calculated {computed}")]
    BadDigest {
        name: &'static str,
        declared: String,
        computed: String,
    },
    #[error("the Content-MD5 {value:?} is not the base64 form of 16 bytes")]
    InvalidDigest { value: String },
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidArgument(String),
    #[error("{0}")]
    MalformedXml(String),
    #[error("the user metadata is {size_bytes} bytes, above the {size_max_bytes} bytes allowed")]
    MetadataTooLarge {
        size_bytes: usize,
        size_max_bytes: usize,
    },
    #[error("a header you provided implies functionality that is not implemented: {0}")]
    NotImplemented(&'static str),
    #[error("the body could not be read")]
    Body(#[source] StdError),
    #[error("cannot {action} {path:?}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// For `map_err`: what was attempted on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
