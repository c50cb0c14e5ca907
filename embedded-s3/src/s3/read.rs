//! Reading objects: GET and HEAD, with conditions, ranges and single parts.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::Api;
use super::errors::{custom, to_s3};
use super::fields::{answer_checksums, count, size, strong, timestamp};
use super::objects::refuse_version;
use crate::disk::read_stream;
use crate::store::{Manifest, StoreError, StoredObject};

/// The conditions on a read, in the order in which they count.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "named after the headers they come from")]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// How a condition failed.
pub(super) enum Unmet {
    PreconditionFailed(&'static str),
    NotModified,
}

/// Which bytes of the object are asked for.
struct Selection {
    range: std::ops::Range<u64>,
    /// True when an answer names a range (206).
    partial: bool,
    parts_count: Option<i32>,
}

macro_rules! read_output {
    ($output:ident, $object:expr, $selection:expr, $with_checksum:expr) => {{
        let manifest = &$object.manifest;
        let headers = manifest.headers.clone();
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            content_length: Some(size($selection.range.end - $selection.range.start)),
            content_range: $selection.content_range(manifest),
            content_type: Some(
                headers
                    .content_type
                    .unwrap_or_else(|| "binary/octet-stream".to_owned()),
            ),
            e_tag: Some(strong(&manifest.etag)),
            expires: headers.expires,
            last_modified: Some(timestamp(manifest.last_modified_ms)),
            metadata: Some(headers.metadata.into_iter().collect()),
            parts_count: $selection.parts_count,
            ..Default::default()
        };
        // Of a part of the object S3 answers no checksum of the whole.
        if $with_checksum && !$selection.partial {
            let checksum = manifest.checksum();
            output.checksum_type = Some(checksum.kind.to_dto());
            answer_checksums!(output, checksum.to_set());
        }
        output
    }};
}

impl Api {
    pub(super) async fn get_object_answer(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let object = self.readable(&input.bucket, &input.key, input.version_id.as_deref())?;
        refuse_unmet(&condition, &object.manifest)?;
        let selection = select(&object.manifest, input.range, input.part_number)?;
        let with_checksum = asks_checksum(input.checksum_mode.as_ref());
        let mut output = read_output!(GetObjectOutput, object, selection, with_checksum);
        let slices = object.manifest.slices(&selection.range);
        output.body = Some(read_stream(object, slices));
        Ok(S3Response::new(output))
    }

    pub(super) async fn head_object_answer(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let object = self.readable(&input.bucket, &input.key, input.version_id.as_deref())?;
        refuse_unmet(&condition, &object.manifest)?;
        let selection = select(&object.manifest, input.range, input.part_number)?;
        let with_checksum = asks_checksum(input.checksum_mode.as_ref());
        let mut output = read_output!(HeadObjectOutput, object, selection, with_checksum);
        let partial = output.content_range.is_some();
        if let Some(value) = input.response_content_type {
            output.content_type = Some(value);
        }
        if let Some(value) = input.response_content_disposition {
            output.content_disposition = Some(value);
        }
        Ok(if partial {
            S3Response::with_status(output, StatusCode::PARTIAL_CONTENT)
        } else {
            S3Response::new(output)
        })
    }

    fn readable(&self, bucket: &str, key: &str, version_id: Option<&str>) -> S3Result<Arc<StoredObject>> {
        refuse_version(version_id)
            .and_then(|()| self.bucket(bucket)?.object(key))
            .map_err(to_s3)
    }
}

impl ReadCondition {
    /// Checks in the order of RFC 9110 section 13.2.2, which S3 follows.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), Unmet> {
        let modified = whole_seconds(manifest.last_modified_ms);
        if let Some(tag) = &self.if_match {
            if !matches(tag, manifest) {
                return Err(Unmet::PreconditionFailed("If-Match"));
            }
        } else if self
            .if_unmodified_since
            .as_ref()
            .is_some_and(|since| modified > *since)
        {
            return Err(Unmet::PreconditionFailed("If-Unmodified-Since"));
        }
        if let Some(tag) = &self.if_none_match {
            if matches(tag, manifest) {
                return Err(Unmet::NotModified);
            }
        } else if self
            .if_modified_since
            .as_ref()
            .is_some_and(|since| modified <= *since)
        {
            return Err(Unmet::NotModified);
        }
        Ok(())
    }
}

impl Selection {
    fn content_range(&self, manifest: &Manifest) -> Option<String> {
        self.partial.then(|| {
            format!(
                "bytes {}-{}/{}",
                self.range.start,
                self.range.end.saturating_sub(1),
                manifest.size_bytes
            )
        })
    }
}

/// A time as HTTP and S3's listings compare it: HTTP dates have no fractions.
pub(super) fn whole_seconds(ms: u64) -> Timestamp {
    timestamp(ms / 1000 * 1000)
}

fn refuse_unmet(condition: &ReadCondition, manifest: &Manifest) -> S3Result<()> {
    match condition.check(manifest) {
        Ok(()) => Ok(()),
        Err(Unmet::PreconditionFailed(condition)) => Err(to_s3(StoreError::PreconditionFailed { condition })),
        Err(Unmet::NotModified) => {
            let mut headers = HeaderMap::new();
            if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", manifest.etag)) {
                headers.insert(header::ETAG, etag);
            }
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            error.set_headers(headers);
            Err(error)
        }
    }
}

fn select(manifest: &Manifest, range: Option<Range>, part_number: Option<i32>) -> S3Result<Selection> {
    match (range, part_number) {
        (None, None) => Ok(Selection {
            range: 0..manifest.size_bytes,
            partial: false,
            parts_count: None,
        }),
        (Some(range), None) => Ok(Selection {
            range: range.check(manifest.size_bytes).map_err(|_| {
                S3Error::with_message(
                    S3ErrorCode::InvalidRange,
                    format!(
                        "the range {} is outside the object's {} bytes",
                        range.to_header_string(),
                        manifest.size_bytes
                    ),
                )
            })?,
            partial: true,
            parts_count: None,
        }),
        (None, Some(number)) => select_part(manifest, number),
        (Some(_), Some(_)) => Err(to_s3(StoreError::InvalidRequest(
            "Cannot specify both Range header and partNumber query parameter.".to_owned(),
        ))),
    }
}

fn select_part(manifest: &Manifest, number: i32) -> S3Result<Selection> {
    let mut start = 0;
    for part in &manifest.parts {
        let end = start + part.size_bytes;
        if i32::from(part.number) == number {
            return Ok(Selection {
                range: start..end,
                // An empty object has no range to name.
                partial: end > start,
                parts_count: manifest.is_multipart().then(|| count(manifest.parts.len())),
            });
        }
        start = end;
    }
    Err(custom(
        "InvalidPartNumber",
        StatusCode::RANGE_NOT_SATISFIABLE,
        format!("the object has no part {number}"),
    ))
}

fn matches(condition: &ETagCondition, manifest: &Manifest) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == manifest.etag,
    }
}

fn asks_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}
