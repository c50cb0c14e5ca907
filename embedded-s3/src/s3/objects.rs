//! Writing and deleting objects.

use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::errors;
use super::fields::{add_trailers, announced_trailers};
use super::fields::{answer_checksums, declared_checksums, object_headers, refuse_unsupported};
use super::fields::{size, strong};
use crate::checksum::{Algorithm, Digest, Expected, StoredChecksum};
use crate::disk::{PartFileName, stage};
use crate::store::{Manifest, PartRecord, StoreError, StoredObject, WriteCondition, body_etag, now_ms};

/// Largest body of one PUT, and largest part: 5 GiB,
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub(super) const BODY_SIZE_MAX_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// Keys that one DeleteObjects may name.
const DELETE_KEYS_MAX: usize = 1000;

impl Api {
    pub(super) async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> Result<PutObjectOutput, StoreError> {
        let input = &mut request.input;
        let bucket = self.bucket(&input.bucket)?;
        check_key(&input.key)?;
        refuse_unsupported!(input)?;
        if input.write_offset_bytes.is_some() {
            return Err(StoreError::NotImplemented("x-amz-write-offset-bytes"));
        }
        let condition = WriteCondition::new(input.if_match.take(), input.if_none_match.as_ref())?;
        // Before the body is read; it is checked again when it is committed.
        condition.check(bucket.object(&input.key).ok().as_deref())?;
        let headers = object_headers!(input)?;
        let mut expected = Expected {
            checksums: declared_checksums!(input),
            content_md5: input.content_md5.take(),
            size_bytes: declared_size(input.content_length)?,
        };
        expected.check_form()?;
        let announced = announced_trailers(&request.headers);
        let digest = Digest::new(expected.algorithms().chain(announced.iter().copied()));
        let staged = stage(
            &self.store.layout,
            &self.store.trash,
            request.input.body.take(),
            digest,
            BODY_SIZE_MAX_BYTES,
        )
        .await?;
        add_trailers(&mut expected, &announced, request.trailing_headers.as_ref())?;
        staged.digests.check(&expected)?;

        let digests = staged.digests;
        let declared = expected
            .checksums
            .into_iter()
            .find(|(algorithm, _)| *algorithm != Algorithm::Crc64Nvme)
            .map(|(algorithm, value)| StoredChecksum::full(algorithm, value));
        let etag = body_etag(digests.crc64, digests.size_bytes);
        let file = PartFileName {
            number: 1,
            size_bytes: digests.size_bytes,
            crc64: digests.crc64,
            sequence: 0,
            declared: Vec::new(),
        };
        let manifest = Manifest {
            version: 1,
            key: request.input.key,
            size_bytes: digests.size_bytes,
            crc64: digests.crc64,
            etag: etag.clone(),
            last_modified_ms: now_ms(),
            headers,
            declared,
            parts: vec![PartRecord {
                number: 1,
                size_bytes: digests.size_bytes,
                etag,
                crc64: digests.crc64,
                declared: None,
                file: file.format(),
            }],
            upload_id: None,
        };
        let file = staged.file;
        let object = self
            .on_disk(move |_| bucket.put(file, manifest, condition))
            .await?;
        let checksum = object.manifest.checksum();
        let mut output = PutObjectOutput {
            e_tag: Some(strong(&object.manifest.etag)),
            checksum_type: Some(checksum.kind.to_dto()),
            ..Default::default()
        };
        answer_checksums!(output, checksum.to_set());
        Ok(output)
    }

    pub(super) async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Result<DeleteObjectOutput, StoreError> {
        let input = request.input;
        refuse_version(input.version_id.as_deref())?;
        let bucket = self.bucket(&input.bucket)?;
        let condition = DeleteCondition {
            etag: input.if_match,
            size_bytes: input.if_match_size,
            last_modified: input.if_match_last_modified_time,
        };
        self.on_disk(move |_| bucket.delete(&input.key, |object| condition.check(object)))
            .await?;
        Ok(DeleteObjectOutput::default())
    }

    pub(super) async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Result<DeleteObjectsOutput, StoreError> {
        let Delete { objects, quiet } = request.input.delete;
        let bucket = self.bucket(&request.input.bucket)?;
        if objects.is_empty() || objects.len() > DELETE_KEYS_MAX {
            return Err(StoreError::MalformedXml(format!(
                "{} keys to delete: give 1 to {DELETE_KEYS_MAX}",
                objects.len()
            )));
        }
        self.on_disk(move |_| {
            let (mut deleted, mut refused) = (Vec::new(), Vec::new());
            for object in objects {
                let condition = DeleteCondition {
                    etag: object.e_tag.map(ETagCondition::ETag),
                    size_bytes: object.size,
                    last_modified: object.last_modified_time,
                };
                let result = refuse_version(object.version_id.as_deref())
                    .and_then(|()| bucket.delete(&object.key, |found| condition.check(found)));
                let key = Some(object.key);
                match result {
                    Ok(()) => deleted.push(DeletedObject {
                        key,
                        ..Default::default()
                    }),
                    Err(error) => {
                        let error = errors::to_s3(error);
                        refused.push(Error {
                            code: Some(error.code().as_str().to_owned()),
                            message: error.message().map(str::to_owned),
                            key,
                            version_id: object.version_id,
                        });
                    }
                }
            }
            Ok(DeleteObjectsOutput {
                deleted: (quiet != Some(true)).then_some(deleted),
                errors: (!refused.is_empty()).then_some(refused),
                request_charged: None,
            })
        })
        .await
    }
}

/// Conditions on a delete.
struct DeleteCondition {
    etag: Option<ETagCondition>,
    size_bytes: Option<i64>,
    last_modified: Option<Timestamp>,
}

impl DeleteCondition {
    fn check(&self, object: Option<&StoredObject>) -> Result<(), StoreError> {
        if self.etag.is_none() && self.size_bytes.is_none() && self.last_modified.is_none() {
            return Ok(());
        }
        WriteCondition::new(self.etag.clone(), None)?.check(object)?;
        let manifest = &object.ok_or(StoreError::NoSuchKey)?.manifest;
        let fails = |condition| Err(StoreError::PreconditionFailed { condition });
        if self
            .size_bytes
            .is_some_and(|wanted| wanted != size(manifest.size_bytes))
        {
            return fails("x-amz-if-match-size");
        }
        let second = super::read::whole_seconds(manifest.last_modified_ms);
        if self
            .last_modified
            .as_ref()
            .is_some_and(|wanted| *wanted != second)
        {
            return fails("x-amz-if-match-last-modified-time");
        }
        Ok(())
    }
}

/// S3's rule on keys, for those that do not come from the path.
pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::InvalidArgument(
            "the object key is empty: give 1 to 1024 bytes".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn declared_size(content_length: Option<i64>) -> Result<Option<u64>, StoreError> {
    content_length
        .map(|declared| {
            u64::try_from(declared)
                .map_err(|_| StoreError::InvalidArgument(format!("the content length {declared} is below 0")))
        })
        .transpose()
}

/// Nothing is versioned; `null` names the only version there is.
pub(super) fn refuse_version(version_id: Option<&str>) -> Result<(), StoreError> {
    match version_id {
        None | Some("null") => Ok(()),
        Some(_) => Err(StoreError::NotImplemented("versionId")),
    }
}
