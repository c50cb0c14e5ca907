//! Why a call failed, in the terms of the wire.

use std::fmt;

use upload_protocol::{ErrorCode, Problem, SessionId};
use upload_storage::StorageError;

use crate::store::SessionStoreError;

/// A failed call: its stable code, and what was wrong this time. Holds no secret and no signed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadError {
    /// The code.
    pub code: ErrorCode,
    /// The value, the limit, what to do.
    pub detail: String,
    /// Seconds to wait before it is repeated, at least; `None` leaves it to the code.
    pub retry_after_seconds: Option<u32>,
}

/// What every fallible call of this crate answers.
pub type Result<T> = std::result::Result<T, UploadError>;

impl UploadError {
    /// A failure of one code with its own detail.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code,
            detail,
            retry_after_seconds: None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, detail)
    }

    pub(crate) fn session_not_found(id: SessionId) -> Self {
        let detail = format!("there is no upload session {id}: start afresh");
        Self::new(ErrorCode::SessionNotFound, detail)
    }

    /// Its problem details, without a request id.
    pub fn to_problem(&self) -> Problem {
        Problem::new(self.code, self.detail.clone())
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for UploadError {}

impl From<StorageError> for UploadError {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::NoSuchUpload => ErrorCode::SessionAborted,
            StorageError::KeyTaken { .. } => ErrorCode::KeyTaken,
            StorageError::PartsChanged { .. } => ErrorCode::PartsMissing,
            StorageError::SizeMismatch { .. } => ErrorCode::SizeMismatch,
            StorageError::ChecksumMismatch { .. } => ErrorCode::ChecksumMismatch,
            StorageError::Unavailable { .. } => ErrorCode::StoreUnavailable,
            StorageError::Source { .. } => ErrorCode::InvalidRequest,
            StorageError::Refused { .. } | StorageError::Credentials { .. } => ErrorCode::StoreRefused,
            // Keys and headers are made here: one that can't be signed is this server's fault.
            _ => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SessionStoreError> for UploadError {
    fn from(error: SessionStoreError) -> Self {
        let code = match &error {
            SessionStoreError::Conflict { .. } => ErrorCode::SessionBusy,
            SessionStoreError::Unavailable { .. } => ErrorCode::SessionStoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}
