//! Completing: the one call whose answer must never be believed by itself.

use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};

use super::S3Storage;
use super::errors::from_sdk;
use crate::error::{Retry, StorageError};
use crate::object_storage::{CompleteMultipart, ObjectStorage as _, StoredObject};

impl S3Storage {
    /// Sends everything the store can check, then looks at what it made.
    ///
    /// Stores differ in what a repeated complete answers (200, 404, 409, 412, 403), an answer can be
    /// lost, and one store completes a wrong size: so whatever it says, HEAD decides.
    pub(super) async fn complete_and_settle(
        &self,
        request: CompleteMultipart<'_>,
    ) -> Result<StoredObject, StorageError> {
        let answer = self.send_complete(&request).await;
        match &answer {
            // The store has looked at the parts and found them wanting: there is no object.
            Err(
                error @ (StorageError::PartsChanged { .. }
                | StorageError::SizeMismatch { .. }
                | StorageError::ChecksumMismatch { .. }),
            ) => return Err(error.clone()),
            Err(error) => tracing::debug!(%error, "complete not confirmed, asking what is at the key"),
            Ok(()) => {}
        }
        let checksum = request.checksum_crc64nvme.filter(|_| self.capabilities.checksum);
        match self.head(request.key).await {
            Ok(Some(object)) if object.is(request.size_bytes, checksum) => Ok(object),
            Ok(Some(object)) => Err(StorageError::KeyTaken {
                found_size_bytes: object.size_bytes,
                expected_size_bytes: request.size_bytes,
            }),
            Ok(None) => Err(answer.err().unwrap_or_else(|| StorageError::Unavailable {
                action: "CompleteMultipartUpload",
                message: "it answered 200, yet there is no object at the key".to_owned(),
            })),
            // Whether the upload is gone for good is not known as long as HEAD isn't answered.
            Err(error) => match answer {
                Err(first) if first.retry() == Retry::AfterBackoff => Err(first),
                _ => Err(error),
            },
        }
    }

    async fn send_complete(&self, request: &CompleteMultipart<'_>) -> Result<(), StorageError> {
        let parts = request.parts.iter().map(|part| {
            let checksum = part.checksum_crc64nvme.filter(|_| self.capabilities.checksum);
            CompletedPart::builder()
                .part_number(i32::try_from(part.part_number.value()).unwrap_or(i32::MAX))
                .e_tag(&part.etag)
                .set_checksum_crc64_nvme(checksum.map(upload_protocol::Crc64Nvme::to_base64))
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let checksum = request.checksum_crc64nvme.filter(|_| self.capabilities.checksum);
        let size = i64::try_from(request.size_bytes).ok();
        self.client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(request.key)
            .upload_id(&request.upload_id.0)
            .multipart_upload(parts)
            .set_checksum_type(checksum.map(|_| ChecksumType::FullObject))
            .set_checksum_crc64_nvme(checksum.map(upload_protocol::Crc64Nvme::to_base64))
            .set_mpu_object_size(size.filter(|_| self.capabilities.object_size))
            .set_if_none_match(self.capabilities.conditional_write.then(|| "*".to_owned()))
            .send()
            .await
            .map(drop)
            .map_err(|error| from_sdk("CompleteMultipartUpload", &error))
    }
}
