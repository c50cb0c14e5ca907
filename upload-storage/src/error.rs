//! Why a call to the store failed, and whether to repeat it.

use upload_protocol::limits::KEY_LENGTH_BYTES_MAX;

/// Whether repeating a failed call can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// The same call may succeed later.
    AfterBackoff,
}

/// Why a call to the store failed. No variant carries a signature or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The key can't be an object's key, or can't be in a URL unchanged. Retry: never.
    #[error(
        "object key of {length_bytes} bytes is refused: {reason}; at most {KEY_LENGTH_BYTES_MAX} bytes, no control characters, no `.` or `..` as a segment"
    )]
    InvalidKey {
        /// Its length.
        length_bytes: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header that would be signed can't be sent. Retry: never.
    #[error("header `{name}` has a value that HTTP can't carry")]
    InvalidHeader {
        /// The header.
        name: String,
    },
    /// The store knows no such multipart upload: it was completed, aborted or swept, and no object of
    /// it is there. Retry: never.
    #[error("the store has no such multipart upload")]
    NoSuchUpload,
    /// Another object has the key. Retry: never.
    #[error("another object has the key: {found_size_bytes} bytes where {expected_size_bytes} were expected")]
    KeyTaken {
        /// Size of what is there.
        found_size_bytes: u64,
        /// Size of what should be.
        expected_size_bytes: u64,
    },
    /// The store has other parts than those named: one was overwritten meanwhile. Retry: after a
    /// back-off, with a fresh list.
    #[error("the store's parts changed meanwhile: {message}")]
    PartsChanged {
        /// The store's words.
        message: String,
    },
    /// A size isn't what was declared. Retry: never with the same parts.
    #[error("the store refused the size: {message}")]
    SizeMismatch {
        /// The store's words.
        message: String,
    },
    /// A checksum isn't what was declared. Retry: never with the same parts.
    #[error("the store refused the checksum: {message}")]
    ChecksumMismatch {
        /// The store's words.
        message: String,
    },
    /// The bytes to send ended early, by no fault of the store. Retry: never with the same stream.
    #[error("the bytes of the part ended early: {message}")]
    Source {
        /// What their source said.
        message: String,
    },
    /// No answer, or one that says "later". Retry: after a back-off.
    #[error("{action}: the store is unavailable: {message}")]
    Unavailable {
        /// The S3 call.
        action: &'static str,
        /// What happened.
        message: String,
    },
    /// The store understood and refused: credentials, permissions, no such bucket. Retry: after a
    /// back-off, since an operator can mend it.
    #[error("{action}: the store refused with status {status}, code {code}: {message}")]
    Refused {
        /// The S3 call.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// S3's error code.
        code: String,
        /// The store's words.
        message: String,
    },
    /// There are no credentials to sign with. Retry: after a back-off, since an operator can mend it.
    #[error("no credentials to sign with: {message}")]
    Credentials {
        /// What the provider said.
        message: String,
    },
}

impl StorageError {
    /// Whether repeating the call can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::InvalidKey { .. }
            | Self::InvalidHeader { .. }
            | Self::NoSuchUpload
            | Self::KeyTaken { .. }
            | Self::SizeMismatch { .. }
            | Self::ChecksumMismatch { .. }
            | Self::Source { .. } => Retry::Never,
            Self::PartsChanged { .. }
            | Self::Unavailable { .. }
            | Self::Refused { .. }
            | Self::Credentials { .. } => Retry::AfterBackoff,
        }
    }
}
