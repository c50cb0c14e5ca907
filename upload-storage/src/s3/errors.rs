//! The SDK's errors in our words.

use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::error::StorageError;

/// Longest piece of a store's message that is kept.
const MESSAGE_LENGTH_MAX: usize = 300;

/// An SDK error by what it means here. `action` is the S3 call's name.
pub(super) fn from_sdk<E>(action: &'static str, error: &SdkError<E>) -> StorageError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(failure) => {
            let metadata = failure.err().meta();
            from_code(
                action,
                failure.raw().status().as_u16(),
                metadata.code().unwrap_or_default(),
                metadata.message().unwrap_or_default(),
            )
        }
        other => StorageError::Unavailable {
            action,
            message: shortened(&DisplayErrorContext(other).to_string()),
        },
    }
}

/// Whether an answer is S3's plain 404 of a HEAD, which has no code.
pub(super) fn is_not_found<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ServiceError(failure) => failure.raw().status().as_u16() == 404,
        _ => false,
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
pub(super) fn from_code(action: &'static str, status: u16, code: &str, message: &str) -> StorageError {
    let message = shortened(message);
    match code {
        "NoSuchUpload" => StorageError::NoSuchUpload,
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" => {
            StorageError::ChecksumMismatch { message }
        }
        "InvalidPart" | "InvalidPartOrder" => StorageError::PartsChanged { message },
        "EntityTooSmall" | "EntityTooLarge" | "IncompleteBody" => StorageError::SizeMismatch { message },
        // Errors inside a 200 carry their own code and are no success.
        "InternalError"
        | "SlowDown"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "Busy"
        | "Throttling"
        | "ThrottlingException" => unavailable(action, status, code, &message),
        // A 200 that holds neither a result nor an error says nothing of what was done.
        "" if (200..300).contains(&status) => unavailable(action, status, "none", &message),
        _ if matches!(status, 408 | 425 | 429) || status >= 500 => {
            unavailable(action, status, code, &message)
        }
        _ => StorageError::Refused {
            action,
            status,
            code: shortened(if code.is_empty() { "none" } else { code }),
            message,
        },
    }
}

fn unavailable(action: &'static str, status: u16, code: &str, message: &str) -> StorageError {
    StorageError::Unavailable {
        action,
        message: shortened(&format!("status {status}, code {code}: {message}")),
    }
}

pub(super) fn shortened(text: &str) -> String {
    let printable = text.chars().filter(|char| !char.is_control());
    printable.take(MESSAGE_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Retry;

    #[test]
    fn error_codes_of_s3_map_to_what_a_caller_can_do() {
        let map = |status, code| from_code("Call", status, code, "words");
        assert_eq!(map(404, "NoSuchUpload"), StorageError::NoSuchUpload);
        assert_eq!(map(503, "SlowDown").retry(), Retry::AfterBackoff);
        assert_eq!(map(200, "InternalError").retry(), Retry::AfterBackoff);
        assert!(matches!(
            map(200, "InternalError"),
            StorageError::Unavailable { .. }
        ));
        assert!(matches!(
            map(400, "BadDigest"),
            StorageError::ChecksumMismatch { .. }
        ));
        assert!(matches!(
            map(400, "InvalidPart"),
            StorageError::PartsChanged { .. }
        ));
        assert!(matches!(
            map(403, "AccessDenied"),
            StorageError::Refused { status: 403, .. }
        ));
        assert!(matches!(
            map(404, "NoSuchBucket"),
            StorageError::Refused { status: 404, .. }
        ));
        assert!(matches!(map(500, ""), StorageError::Unavailable { .. }));
        assert!(matches!(map(200, ""), StorageError::Unavailable { .. }));
    }

    #[test]
    fn message_of_a_store_is_cut_and_has_no_line_breaks() {
        let error = from_code("Call", 403, "AccessDenied", &format!("a\nb{}", "x".repeat(5000)));
        assert!(error.to_string().len() < 600);
        assert!(!error.to_string().contains('\n'));
    }
}
