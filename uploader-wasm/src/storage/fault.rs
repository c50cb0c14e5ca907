//! Why storage did not do as asked.

use upload_engine::Failure;
use wasm_bindgen::JsValue;

use crate::browser::{JsFault, fault};
use crate::messages::JobFailure;

/// Why storage did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageFault {
    /// There is no such file or row. Retry: never.
    #[error("it is not there")]
    NotFound,
    /// The disk or the origin's quota is full. Retry: after freeing some.
    #[error("storage is full")]
    QuotaExceeded,
    /// Storage is missing, forbidden or broken. Retry: never in this visit.
    #[error("{0}")]
    Unavailable(String),
}

impl StorageFault {
    /// Reads whatever the browser threw.
    pub fn of(thrown: &JsValue) -> Self {
        fault(thrown).into()
    }
}

impl From<JsFault> for StorageFault {
    fn from(fault: JsFault) -> Self {
        if fault.is_quota() {
            Self::QuotaExceeded
        } else if fault.is_not_found() {
            Self::NotFound
        } else {
            Self::Unavailable(fault.to_string())
        }
    }
}

impl From<StorageFault> for Failure {
    fn from(fault: StorageFault) -> Self {
        match fault {
            StorageFault::QuotaExceeded => Self::QuotaExceeded,
            StorageFault::NotFound | StorageFault::Unavailable(_) => Self::StorageUnavailable {
                detail: fault.to_string(),
            },
        }
    }
}

impl From<StorageFault> for JobFailure {
    fn from(fault: StorageFault) -> Self {
        match fault {
            StorageFault::QuotaExceeded => Self::QuotaExceeded,
            StorageFault::NotFound | StorageFault::Unavailable(_) => {
                Self::StorageUnavailable(fault.to_string())
            }
        }
    }
}
