//! CopyObject and UploadPartCopy.

use std::fs;
use std::sync::Arc;

use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::fields::{answer_checksums, object_headers, refuse, refuse_unsupported};
use super::fields::{strong, timestamp};
use super::multipart::{check_part_number, part_set};
use super::objects::{BODY_SIZE_MAX_BYTES, check_key, refuse_version};
use super::read::{ReadCondition, Unmet};
use crate::checksum::Digest;
use crate::disk::{read_stream, stage};
use crate::store::{Manifest, StoreError, StoredObject, WriteCondition, now_ms};

impl Api {
    pub(super) async fn copy_object(
        &self,
        mut request: S3Request<CopyObjectInput>,
    ) -> Result<CopyObjectOutput, StoreError> {
        let input = &mut request.input;
        refuse_unsupported!(input)?;
        refuse(&[(
            "x-amz-copy-source-server-side-encryption-customer-key",
            input.copy_source_sse_customer_key.is_some(),
        )])?;
        let source = self.source(&input.copy_source)?;
        let bucket = self.bucket(&input.bucket)?;
        check_key(&input.key)?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        refuse_source(&condition, &source)?;
        if source.manifest.size_bytes > BODY_SIZE_MAX_BYTES {
            return Err(StoreError::InvalidRequest(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {BODY_SIZE_MAX_BYTES}"
            )));
        }
        let checksum = source.manifest.checksum();
        if let Some(algorithm) = &input.checksum_algorithm
            && algorithm.as_str() != checksum.algorithm.name()
        {
            return Err(StoreError::NotImplemented(
                "x-amz-checksum-algorithm other than the source's",
            ));
        }
        let replaces = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => false,
            Some(MetadataDirective::REPLACE) => true,
            Some(other) => {
                return Err(StoreError::InvalidArgument(format!(
                    "Unknown metadata directive {other:?}."
                )));
            }
        };
        if !replaces && is_itself(input, &source) {
            return Err(StoreError::InvalidRequest(
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.".to_owned(),
            ));
        }
        let write_condition = WriteCondition::new(input.if_match.take(), input.if_none_match.as_ref())?;
        let headers = object_headers!(input)?;
        let manifest = Manifest {
            key: request.input.key,
            last_modified_ms: now_ms(),
            headers: if replaces {
                headers
            } else {
                source.manifest.headers.clone()
            },
            // The copy is no multipart upload's result: a repeated complete must not answer with it.
            upload_id: None,
            ..source.manifest.clone()
        };
        let object = self
            .on_disk(move |store| {
                let dir = store.trash.guard(store.layout.tmp_unique());
                fs::create_dir(dir.path())
                    .and_then(|()| source.link_parts(dir.path()))
                    .map_err(StoreError::io("copy an object to", dir.path()))?;
                bucket.commit_staged(dir, manifest, write_condition)
            })
            .await?;
        let checksum = object.manifest.checksum();
        let mut result = CopyObjectResult {
            e_tag: Some(strong(&object.manifest.etag)),
            last_modified: Some(timestamp(object.manifest.last_modified_ms)),
            checksum_type: Some(checksum.kind.to_dto()),
            ..Default::default()
        };
        answer_checksums!(result, checksum.to_set());
        Ok(CopyObjectOutput {
            copy_object_result: Some(result),
            ..Default::default()
        })
    }

    pub(super) async fn upload_part_copy(
        &self,
        mut request: S3Request<UploadPartCopyInput>,
    ) -> Result<UploadPartCopyOutput, StoreError> {
        let input = &mut request.input;
        let number = check_part_number(input.part_number)?;
        refuse(&[(
            "x-amz-copy-source-server-side-encryption-customer-key",
            input.copy_source_sse_customer_key.is_some(),
        )])?;
        let bucket = self.bucket(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        let source = self.source(&input.copy_source)?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        refuse_source(&condition, &source)?;
        let range = source_range(input.copy_source_range.as_deref(), source.manifest.size_bytes)?;
        let slices = source.manifest.slices(&range);
        let staged = stage(
            &self.store.layout,
            &self.store.trash,
            Some(read_stream(source, slices)),
            Digest::new([upload.algorithm()]),
            BODY_SIZE_MAX_BYTES,
        )
        .await?;
        let algorithm = upload.algorithm();
        let part = self
            .on_disk(move |_| upload.put_part(number, staged, &bucket))
            .await?;
        let mut result = CopyPartResult {
            e_tag: Some(strong(&part.etag())),
            last_modified: Some(timestamp(part.last_modified_ms)),
            ..Default::default()
        };
        answer_checksums!(result, part_set(&part, algorithm));
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..Default::default()
        })
    }

    fn source(&self, source: &CopySource) -> Result<Arc<StoredObject>, StoreError> {
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = source
        else {
            return Err(StoreError::NotImplemented("x-amz-copy-source with an ARN"));
        };
        refuse_version(version_id.as_deref())?;
        self.bucket(bucket)?.object(key)
    }
}

fn is_itself(input: &CopyObjectInput, source: &StoredObject) -> bool {
    let same_bucket = matches!(
        &input.copy_source,
        CopySource::Bucket { bucket, .. } if **bucket == *input.bucket
    );
    same_bucket && source.manifest.key == input.key
}

/// A copy knows no "not modified": S3 answers 412 for every condition of its source.
fn refuse_source(condition: &ReadCondition, source: &StoredObject) -> Result<(), StoreError> {
    condition
        .check(&source.manifest)
        .map_err(|unmet| StoreError::PreconditionFailed {
            condition: match unmet {
                Unmet::PreconditionFailed(name) => name,
                Unmet::NotModified => "x-amz-copy-source-if-none-match or if-modified-since",
            },
        })
}

/// `bytes=first-last`, both given and inside the source, as S3 demands here.
fn source_range(header: Option<&str>, size_bytes: u64) -> Result<std::ops::Range<u64>, StoreError> {
    let Some(header) = header else {
        return Ok(0..size_bytes);
    };
    match Range::parse(header) {
        Ok(Range::Int {
            first,
            last: Some(last),
        }) if last < size_bytes => Ok(first..last + 1),
        _ => Err(StoreError::InvalidArgument(format!(
            "The x-amz-copy-source-range value {header:?} must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy, within the source's {size_bytes} bytes"
        ))),
    }
}
