//! Multipart uploads.

use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::buckets::owner;
use super::fields::{NameEncoding, add_trailers, announced_trailers, count, page_size};
use super::fields::{answer_checksums, declared_checksums, object_headers, refuse_unsupported};
use super::fields::{size, strong, timestamp};
use super::list::given;
use super::objects::{BODY_SIZE_MAX_BYTES, check_key, declared_size};
use crate::checksum::{Algorithm, ChecksumKind, Digest, Expected};
use crate::disk::stage;
use crate::store::{CompleteRequest, ListedPart, NewUpload, StoreError, UploadedPart, WriteCondition};

/// Most parts of an upload: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PARTS_MAX: u16 = 10_000;

impl Api {
    pub(super) async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> Result<CreateMultipartUploadOutput, StoreError> {
        let input = &mut request.input;
        refuse_unsupported!(input)?;
        let bucket = self.bucket(&input.bucket)?;
        check_key(&input.key)?;
        let checksum = chosen_checksum(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let new = NewUpload {
            key: input.key.clone(),
            headers: object_headers!(input)?,
            checksum,
        };
        let upload = self.on_disk(move |_| bucket.create_upload(new)).await?;
        let input = request.input;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.record.upload_id.clone()),
            checksum_algorithm: checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: checksum.map(|(_, kind)| kind.to_dto()),
            ..Default::default()
        })
    }

    pub(super) async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> Result<UploadPartOutput, StoreError> {
        let input = &mut request.input;
        let number = check_part_number(input.part_number)?;
        let bucket = self.bucket(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        if input.sse_customer_key.is_some() {
            return Err(StoreError::NotImplemented(
                "x-amz-server-side-encryption-customer-key",
            ));
        }
        let mut expected = Expected {
            checksums: declared_checksums!(input),
            content_md5: input.content_md5.take(),
            size_bytes: declared_size(input.content_length)?,
        };
        expected.check_form()?;
        let announced = announced_trailers(&request.headers);
        if let Some((algorithm, _)) = upload.record.checksum {
            let mut named = expected
                .checksums
                .iter()
                .map(|(algorithm, _)| *algorithm)
                .chain(announced.iter().copied());
            let given = named.next();
            if given != Some(algorithm) {
                return Err(StoreError::InvalidRequest(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    algorithm.name().to_ascii_lowercase(),
                    given.map_or("null".to_owned(), |given| given.name().to_ascii_lowercase())
                )));
            }
        }
        let algorithms = expected
            .algorithms()
            .chain(announced.iter().copied())
            .chain([upload.algorithm()]);
        let staged = stage(
            &self.store.layout,
            &self.store.trash,
            input.body.take(),
            Digest::new(algorithms),
            BODY_SIZE_MAX_BYTES,
        )
        .await?;
        add_trailers(&mut expected, &announced, request.trailing_headers.as_ref())?;
        staged.digests.check(&expected)?;
        let algorithm = upload.algorithm();
        let part = self
            .on_disk(move |_| upload.put_part(number, staged, &bucket))
            .await?;
        let mut output = UploadPartOutput {
            e_tag: Some(strong(&part.etag())),
            ..Default::default()
        };
        answer_checksums!(output, part_set(&part, algorithm));
        Ok(output)
    }

    pub(super) async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> Result<ListPartsOutput, StoreError> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        let entries_max = page_size("max-parts", input.max_parts)?;
        let after = input.part_number_marker.unwrap_or_default();
        let after_number = u16::try_from(after.clamp(0, i32::from(u16::MAX))).unwrap_or(u16::MAX);
        // Off the async threads: a part being committed holds the parts while it syncs.
        let listing = std::sync::Arc::clone(&upload);
        let (page, more) = self
            .on_disk(move |_| listing.parts(after_number, entries_max))
            .await?;
        let (algorithm, kind) = (upload.algorithm(), upload.kind());
        let parts: Vec<Part> = page.iter().map(|part| listed(part, algorithm)).collect();
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: Some(ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: Some(kind.to_dto()),
            is_truncated: Some(more),
            max_parts: Some(count(entries_max)),
            part_number_marker: Some(after),
            next_part_number_marker: Some(page.last().map_or(0, |part| i32::from(part.name.number))),
            parts: Some(parts),
            initiator: Some(initiator()),
            owner: Some(owner()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        })
    }

    pub(super) async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> Result<CompleteMultipartUploadOutput, StoreError> {
        let input = &mut request.input;
        let bucket = self.bucket(&input.bucket)?;
        let complete = CompleteRequest {
            parts: input
                .multipart_upload
                .take()
                .and_then(|list| list.parts)
                .unwrap_or_default()
                .into_iter()
                .map(listed_part)
                .collect(),
            checksums: declared_checksums!(input),
            kind: input.checksum_type.as_ref().map(read_kind).transpose()?,
            size_bytes: input.mpu_object_size,
            condition: WriteCondition::new(input.if_match.take(), input.if_none_match.as_ref())?,
        };
        let (key, upload_id) = (input.key.clone(), input.upload_id.clone());
        let object = self
            .on_disk(move |_| bucket.complete_upload(&key, &upload_id, complete))
            .await?;
        let input = request.input;
        let checksum = object.manifest.checksum();
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(strong(&object.manifest.etag)),
            checksum_type: Some(checksum.kind.to_dto()),
            ..Default::default()
        };
        answer_checksums!(output, checksum.to_set());
        Ok(output)
    }

    pub(super) async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Result<AbortMultipartUploadOutput, StoreError> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let second = input
            .if_match_initiated_time
            .map(|time| super::fields::unix_seconds(&time));
        self.on_disk(move |_| bucket.abort_upload(&input.key, &input.upload_id, second))
            .await?;
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Result<ListMultipartUploadsOutput, StoreError> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let names = NameEncoding::new(input.encoding_type.as_ref())?;
        let entries_max = page_size("max-uploads", input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let delimiter = given(input.delimiter.as_ref());
        let key_marker = given(input.key_marker.as_ref());
        let id_marker = given(input.upload_id_marker.as_ref());

        let (mut uploads, mut prefixes) = (Vec::new(), Vec::<CommonPrefix>::new());
        let mut last: Option<(String, String)> = None;
        let mut last_prefix: Option<String> = None;
        let mut more = false;
        for upload in bucket.uploads(&prefix) {
            let record = &upload.record;
            let rolled = delimiter.as_deref().and_then(|delimiter| {
                let rest = record.key.get(prefix.len()..)?;
                let end = prefix.len() + rest.find(delimiter)? + delimiter.len();
                record.key.get(..end).map(str::to_owned)
            });
            let (name, id) = match &rolled {
                Some(rolled) => (rolled.as_str(), ""),
                None => (record.key.as_str(), record.upload_id.as_str()),
            };
            if is_before(name, id, key_marker.as_deref(), id_marker.as_deref())
                || (rolled.is_some() && rolled == last_prefix)
            {
                continue;
            }
            if uploads.len() + prefixes.len() == entries_max {
                more = entries_max > 0;
                break;
            }
            last = Some((name.to_owned(), id.to_owned()));
            if let Some(rolled) = rolled {
                prefixes.push(CommonPrefix {
                    prefix: Some(names.write(&rolled)),
                });
                last_prefix = Some(rolled);
            } else {
                uploads.push(MultipartUpload {
                    checksum_algorithm: Some(ChecksumAlgorithm::from_static(upload.algorithm().name())),
                    checksum_type: Some(upload.kind().to_dto()),
                    initiated: Some(Timestamp::from(record.initiated())),
                    initiator: Some(initiator()),
                    key: Some(names.write(&record.key)),
                    owner: Some(owner()),
                    storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                    upload_id: Some(record.upload_id.clone()),
                });
            }
        }
        let (next_key, next_id) = last.filter(|_| more).unzip();
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: Some(prefixes),
            delimiter: names.write_some(delimiter.as_deref()),
            encoding_type: input.encoding_type,
            is_truncated: Some(more),
            key_marker: Some(names.write(key_marker.as_deref().unwrap_or_default())),
            max_uploads: Some(count(entries_max)),
            next_key_marker: names.write_some(next_key.as_deref()),
            next_upload_id_marker: next_id,
            prefix: Some(names.write(&prefix)),
            request_charged: None,
            upload_id_marker: Some(id_marker.unwrap_or_default()),
            uploads: Some(uploads),
        })
    }
}

/// The checksum fields of a part, in the upload's algorithm.
pub(super) fn part_set(part: &UploadedPart, algorithm: Algorithm) -> Checksum {
    part.checksum(algorithm)
        .map(|value| algorithm.set_of(value))
        .unwrap_or_default()
}

pub(super) fn check_part_number(number: i32) -> Result<u16, StoreError> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=PARTS_MAX).contains(number))
        .ok_or_else(|| {
            StoreError::InvalidArgument(format!(
                "Part number must be an integer between 1 and {PARTS_MAX}, inclusive: it is {number}"
            ))
        })
}

/// Whether an entry stands at or before the markers of a page.
fn is_before(key: &str, id: &str, key_marker: Option<&str>, id_marker: Option<&str>) -> bool {
    match (key_marker, id_marker) {
        // S3 ignores an upload id without a key.
        (None, _) => false,
        (Some(marker), None) => key <= marker,
        (Some(marker), Some(id_marker)) => (key, id) <= (marker, id_marker),
    }
}

fn chosen_checksum(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> Result<Option<(Algorithm, ChecksumKind)>, StoreError> {
    let kind = kind.map(read_kind).transpose()?;
    let Some(name) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(StoreError::InvalidRequest(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
                    .to_owned(),
            )),
        };
    };
    let algorithm = Algorithm::from_name(name.as_str()).ok_or_else(|| {
        StoreError::InvalidRequest(format!(
            "Checksum algorithm provided is unsupported: {:?}.",
            name.as_str()
        ))
    })?;
    let kind = kind.unwrap_or(algorithm.default_kind());
    if !algorithm.allows(kind) {
        return Err(StoreError::InvalidRequest(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            algorithm.name()
        )));
    }
    Ok(Some((algorithm, kind)))
}

fn read_kind(kind: &ChecksumType) -> Result<ChecksumKind, StoreError> {
    ChecksumKind::from_name(kind.as_str()).ok_or_else(|| {
        StoreError::InvalidRequest(format!(
            "Value for x-amz-checksum-type header is invalid: {:?}.",
            kind.as_str()
        ))
    })
}

fn listed_part(mut part: CompletedPart) -> ListedPart {
    ListedPart {
        number: part.part_number.unwrap_or_default(),
        etag: part.e_tag.take().map(ETag::into_value),
        checksums: declared_checksums!(part),
    }
}

fn listed(part: &UploadedPart, algorithm: Algorithm) -> Part {
    let mut answer = Part {
        e_tag: Some(strong(&part.etag())),
        last_modified: Some(timestamp(part.last_modified_ms)),
        part_number: Some(i32::from(part.name.number)),
        size: Some(size(part.name.size_bytes)),
        ..Default::default()
    };
    answer_checksums!(answer, part_set(part, algorithm));
    answer
}

fn initiator() -> Initiator {
    let Owner { display_name, id } = owner();
    Initiator { display_name, id }
}
