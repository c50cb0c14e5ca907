//! The trait over any S3 store: control calls by the AWS SDK, URLs signed here.

mod complete;
mod config;
mod credentials;
mod errors;
mod exact;
mod inspection;
mod put;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, Part};
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};

pub use config::S3StorageConfig;

use crate::address::{AddressError, BucketAddress};
use crate::capabilities::Capabilities;
use crate::error::StorageError;
use crate::object_storage::{
    CompleteMultipart, ListedPart, NewObject, ObjectStorage, PartStream, PartToSign, PutTarget, SignedPut,
    StoredObject,
};
use crate::signing::{check_object, sign_object, sign_parts};
use credentials::SigningContexts;
use errors::{from_sdk, is_not_found};

/// Times an abort is tried while the store still lists parts: those that were in flight during it.
const ABORT_ATTEMPTS_MAX: u32 = 5;

/// Wait before an abort is repeated, times the attempt.
const ABORT_DELAY: Duration = Duration::from_millis(200);

/// One bucket, reached by the S3 protocol.
#[derive(Debug)]
pub struct S3Storage {
    client: Client,
    bucket: String,
    address: BucketAddress,
    sender: put::PartSender,
    capabilities: Capabilities,
    signing: SigningContexts,
}

impl S3Storage {
    /// Prepares the client; makes no request to the store. Credentials not given are looked for where
    /// every AWS tool looks: environment, profile, web identity, container, instance.
    ///
    /// # Errors
    /// [`AddressError`] when an endpoint is no plain http or https URL.
    pub async fn connect(config: S3StorageConfig) -> Result<Self, AddressError> {
        if let Some(endpoint) = &config.endpoint {
            BucketAddress::of_endpoint(endpoint, &config.bucket)?;
        }
        let sdk = config.load().await;
        let region = sdk.region().map(ToString::to_string).unwrap_or_default();
        Ok(Self {
            client: Client::from_conf(config.client_config(&sdk)),
            address: config.public_address(&region)?,
            sender: put::PartSender::new(config.own_address(&region)?),
            bucket: config.bucket,
            capabilities: config.capabilities,
            signing: SigningContexts::new(sdk.credentials_provider(), region),
        })
    }

    async fn list_page(
        &self,
        key: &str,
        upload_id: &MultipartUploadId,
        marker: Option<String>,
    ) -> Result<(Vec<Part>, Option<String>), StorageError> {
        let page = self
            .client
            .list_parts()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&upload_id.0)
            .set_part_number_marker(marker.clone())
            .send()
            .await
            .map_err(|error| from_sdk("ListParts", &error))?;
        let next = page.next_part_number_marker().map(str::to_owned);
        let more = page.is_truncated().unwrap_or(false);
        if more && (next.is_none() || next == marker) {
            return Err(StorageError::Unavailable {
                action: "ListParts",
                message: "it says there are more parts and not from where".to_owned(),
            });
        }
        Ok((page.parts.unwrap_or_default(), next.filter(|_| more)))
    }

    async fn abort_once(&self, key: &str, upload_id: &MultipartUploadId) -> Result<(), StorageError> {
        let answer = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&upload_id.0)
            .send()
            .await;
        match answer.map_err(|error| from_sdk("AbortMultipartUpload", &error)) {
            Ok(_) | Err(StorageError::NoSuchUpload) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn listed_part(&self, part: &Part) -> Result<ListedPart, StorageError> {
        let number = part.part_number().and_then(|number| u32::try_from(number).ok());
        let number = number.and_then(|number| PartNumber::new(number).ok());
        let size_bytes = part.size().and_then(|size| u64::try_from(size).ok());
        match (number, size_bytes, part.e_tag()) {
            (Some(part_number), Some(size_bytes), Some(etag)) => Ok(ListedPart {
                part_number,
                size_bytes,
                etag: etag.to_owned(),
                checksum_crc64nvme: self.read_crc(part.checksum_crc64_nvme()),
            }),
            _ => Err(StorageError::Unavailable {
                action: "ListParts",
                message: "a part without number, size or ETag".to_owned(),
            }),
        }
    }

    /// A checksum as the store answers it. A composite one (`…-3`) is none of ours and reads as none,
    /// and so does what a store says that is not declared to check it.
    fn read_crc(&self, text: Option<&str>) -> Option<Crc64Nvme> {
        let text = text.filter(|_| self.capabilities.checksum)?;
        Crc64Nvme::from_base64(text).ok()
    }
}

#[async_trait]
impl ObjectStorage for S3Storage {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn public_origin(&self) -> String {
        self.address.origin()
    }

    async fn create_multipart(&self, object: &NewObject) -> Result<MultipartUploadId, StorageError> {
        check_object(object)?;
        let checksum = object.checksum && self.capabilities.checksum;
        let metadata = object.metadata.clone().into_iter().collect();
        let answer = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(&object.key)
            .content_type(&object.content_type)
            .content_disposition(&object.content_disposition)
            .set_metadata(Some(metadata))
            .set_checksum_algorithm(checksum.then_some(ChecksumAlgorithm::Crc64Nvme))
            .set_checksum_type(checksum.then_some(ChecksumType::FullObject))
            .send()
            .await
            .map_err(|error| from_sdk("CreateMultipartUpload", &error))?;
        let upload_id = answer.upload_id.ok_or_else(|| StorageError::Unavailable {
            action: "CreateMultipartUpload",
            message: "it answered without an upload id".to_owned(),
        })?;
        Ok(MultipartUploadId(upload_id))
    }

    async fn find_multipart(&self, key: &str) -> Result<Vec<MultipartUploadId>, StorageError> {
        // One page is enough: the key is one that this server chose, with a UUID in it.
        let page = self
            .client
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(key)
            .send()
            .await
            .map_err(|error| from_sdk("ListMultipartUploads", &error))?;
        let mut uploads = page.uploads.unwrap_or_default();
        uploads.retain(|upload| upload.key() == Some(key));
        uploads.sort_by_key(|upload| upload.initiated().map(|time| (time.secs(), time.subsec_nanos())));
        let ids = uploads.into_iter().filter_map(|upload| upload.upload_id);
        Ok(ids.map(MultipartUploadId).collect())
    }

    async fn presign_parts(
        &self,
        now: SystemTime,
        lifetime: Duration,
        key: &str,
        upload_id: &MultipartUploadId,
        parts: &[PartToSign],
    ) -> Result<Vec<SignedPut>, StorageError> {
        let context = self.signing.at(now).await?;
        let sign = |parts| sign_parts(&context, &self.address, now, lifetime, key, upload_id, parts);
        if self.capabilities.checksum {
            return sign(parts);
        }
        let without_checksum = parts.iter().map(without_checksum);
        sign(&without_checksum.collect::<Vec<_>>())
    }

    async fn presign_single(
        &self,
        now: SystemTime,
        lifetime: Duration,
        object: &NewObject,
        part: &PartToSign,
    ) -> Result<SignedPut, StorageError> {
        let context = self.signing.at(now).await?;
        sign_object(&context, &self.address, now, lifetime, object, part)
    }

    async fn put_part(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
        source: PartStream,
    ) -> Result<Option<String>, StorageError> {
        self.send_part(now, target, part, source).await
    }

    async fn list_parts(
        &self,
        key: &str,
        upload_id: &MultipartUploadId,
    ) -> Result<Vec<ListedPart>, StorageError> {
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let (page, next) = self.list_page(key, upload_id, marker).await?;
            for part in page {
                parts.push(self.listed_part(&part)?);
            }
            if next.is_none() {
                break;
            }
            marker = next;
        }
        parts.sort_unstable_by_key(|part| part.part_number);
        Ok(parts)
    }

    async fn complete(&self, request: CompleteMultipart<'_>) -> Result<StoredObject, StorageError> {
        self.complete_and_settle(request).await
    }

    async fn abort(&self, key: &str, upload_id: &MultipartUploadId) -> Result<(), StorageError> {
        for attempt in 1..=ABORT_ATTEMPTS_MAX {
            self.abort_once(key, upload_id).await?;
            // A part that was in flight may have been stored after the abort, and is paid for.
            // https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
            match self.list_page(key, upload_id, None).await {
                Err(StorageError::NoSuchUpload) => return Ok(()),
                Ok((parts, _)) if parts.is_empty() => return Ok(()),
                Ok(_) => tokio::time::sleep(ABORT_DELAY * attempt).await,
                Err(error) => return Err(error),
            }
        }
        Err(StorageError::Unavailable {
            action: "AbortMultipartUpload",
            message: format!("parts are still listed after {ABORT_ATTEMPTS_MAX} aborts"),
        })
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, StorageError> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .set_checksum_mode(self.capabilities.checksum.then_some(ChecksumMode::Enabled))
            .send()
            .await;
        match answer {
            Ok(object) => Ok(Some(StoredObject {
                size_bytes: object
                    .content_length()
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0),
                checksum_crc64nvme: self.read_crc(object.checksum_crc64_nvme()),
            })),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(from_sdk("HeadObject", &error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let answer = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match answer {
            Err(error) if !is_not_found(&error) => Err(from_sdk("DeleteObject", &error)),
            _ => Ok(()),
        }
    }

    async fn ready(&self) -> Result<(), StorageError> {
        let answer = self.client.head_bucket().bucket(&self.bucket).send().await;
        answer.map(drop).map_err(|error| from_sdk("HeadBucket", &error))
    }
}

/// The same part for a store that keeps no checksums.
fn without_checksum(part: &PartToSign) -> PartToSign {
    PartToSign {
        checksum_crc64nvme: None,
        ..*part
    }
}
