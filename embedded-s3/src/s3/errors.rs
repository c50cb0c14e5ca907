//! The store's refusals with S3's codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;

use http::StatusCode;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::{BodySizeLimitExceeded, S3Error, S3ErrorCode, StdError};

use crate::store::StoreError;

/// The S3 error for a refusal of the store.
pub(super) fn to_s3(error: StoreError) -> S3Error {
    let code = match &error {
        StoreError::NoSuchBucket => S3ErrorCode::NoSuchBucket,
        StoreError::BucketAlreadyOwnedByYou => S3ErrorCode::BucketAlreadyOwnedByYou,
        StoreError::InvalidBucketName => S3ErrorCode::InvalidBucketName,
        StoreError::BucketNotEmpty { .. } => S3ErrorCode::BucketNotEmpty,
        StoreError::NoSuchKey => S3ErrorCode::NoSuchKey,
        StoreError::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        StoreError::NoSuchLifecycle => S3ErrorCode::NoSuchLifecycleConfiguration,
        StoreError::PreconditionFailed { .. } => S3ErrorCode::PreconditionFailed,
        StoreError::InvalidPart { .. } => S3ErrorCode::InvalidPart,
        StoreError::InvalidPartOrder { .. } => S3ErrorCode::InvalidPartOrder,
        StoreError::EntityTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        StoreError::EntityTooLarge { .. } => S3ErrorCode::EntityTooLarge,
        StoreError::IncompleteBody { .. } => S3ErrorCode::IncompleteBody,
        StoreError::BadDigest { .. } => S3ErrorCode::BadDigest,
        StoreError::InvalidDigest { .. } => S3ErrorCode::InvalidDigest,
        StoreError::InvalidRequest(_) => S3ErrorCode::InvalidRequest,
        StoreError::InvalidArgument(_) => S3ErrorCode::InvalidArgument,
        StoreError::MalformedXml(_) => S3ErrorCode::MalformedXML,
        StoreError::MetadataTooLarge { .. } => S3ErrorCode::MetadataTooLarge,
        StoreError::NotImplemented(_) => S3ErrorCode::NotImplemented,
        StoreError::Body(_) | StoreError::Io { .. } => return unusual(error),
    };
    S3Error::with_message(code, error.to_string())
}

/// Bodies that broke off and disks that failed.
fn unusual(error: StoreError) -> S3Error {
    match error {
        StoreError::Body(source) => body_error(source),
        StoreError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            custom(
                "InsufficientStorage",
                StatusCode::INSUFFICIENT_STORAGE,
                "the disk of the store is full: free space or choose another data folder",
            )
        }
        error => {
            tracing::error!(error = %with_causes(&error), "the store failed");
            let mut answer = S3Error::with_message(
                S3ErrorCode::InternalError,
                "the store could not read or write its folder; its log says why",
            );
            answer.set_source(Box::new(error));
            answer
        }
    }
}

/// s3s checks signatures, hashes and sizes of streamed bodies while they are read, and reports them
/// as errors of the body. Anything else means that the connection broke off.
fn body_error(source: StdError) -> S3Error {
    let source = match source.downcast::<S3Error>() {
        Ok(error) => return *error,
        Err(source) => source,
    };
    let code = code_of(source.as_ref()).unwrap_or(S3ErrorCode::IncompleteBody);
    let status = code.status_code().unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = S3Error::with_source(code, source);
    answer.set_status_code(status);
    answer
}

fn code_of(error: &(dyn Error + 'static)) -> Option<S3ErrorCode> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<BodySizeLimitExceeded>() {
            return Some(S3ErrorCode::EntityTooLarge);
        }
        match error.downcast_ref::<UploadStreamError>() {
            Some(UploadStreamError::Underlying(_)) | None => {}
            Some(UploadStreamError::Sha256Mismatch) => {
                return Some(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()));
            }
            Some(error) => return Some(error.to_s3_error_code()),
        }
        match error.downcast_ref::<AwsChunkedStreamError>() {
            Some(AwsChunkedStreamError::Underlying(_)) | None => {}
            Some(error) => return Some(error.to_s3_error_code()),
        }
        cause = error.source();
    }
    None
}

/// An error whose code s3s does not list.
pub(super) fn custom(
    code: &'static str,
    status: StatusCode,
    message: impl Into<Cow<'static, str>>,
) -> S3Error {
    let mut answer = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    answer.set_status_code(status);
    answer
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
