//! ListObjects, both versions.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::buckets::owner;
use super::fields::{NameEncoding, count, page_size, size, strong, timestamp};
use crate::store::{Entry, Page, PageQuery, StoreError, StoredObject, list_page};

impl Api {
    pub(super) async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Result<ListObjectsOutput, StoreError> {
        let input = request.input;
        let names = NameEncoding::new(input.encoding_type.as_ref())?;
        let entries_max = page_size("max-keys", input.max_keys)?;
        let query = PageQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: given(input.delimiter.as_ref()),
            after: given(input.marker.as_ref()),
            entries_max,
        };
        let page = self
            .bucket(&input.bucket)?
            .with_objects(|objects| list_page(objects, &query));
        let next_marker = names.write_some(page.next_after.as_deref());
        let (contents, common_prefixes) = split(page, &names, true);
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(names.write(&query.prefix)),
            marker: Some(names.write(input.marker.as_deref().unwrap_or_default())),
            max_keys: Some(count(entries_max)),
            is_truncated: Some(next_marker.is_some()),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: names.write_some(query.delimiter.as_deref()),
            next_marker,
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    pub(super) async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Result<ListObjectsV2Output, StoreError> {
        let input = request.input;
        let names = NameEncoding::new(input.encoding_type.as_ref())?;
        let entries_max = page_size("max-keys", input.max_keys)?;
        let after = match &input.continuation_token {
            Some(token) => Some(read_token(token)?),
            None => given(input.start_after.as_ref()),
        };
        let query = PageQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: given(input.delimiter.as_ref()),
            after,
            entries_max,
        };
        let page = self
            .bucket(&input.bucket)?
            .with_objects(|objects| list_page(objects, &query));
        let next_token = page.next_after.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next));
        let with_owner = input.fetch_owner == Some(true);
        let (contents, common_prefixes) = split(page, &names, with_owner);
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(names.write(&query.prefix)),
            max_keys: Some(count(entries_max)),
            key_count: Some(count(contents.len() + common_prefixes.len())),
            continuation_token: input.continuation_token,
            is_truncated: Some(next_token.is_some()),
            next_continuation_token: next_token,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            delimiter: names.write_some(query.delimiter.as_deref()),
            encoding_type: input.encoding_type,
            start_after: names.write_some(input.start_after.as_deref()),
            request_charged: None,
        })
    }
}

/// An empty delimiter or marker is none.
pub(super) fn given(value: Option<&String>) -> Option<String> {
    value.filter(|value| !value.is_empty()).cloned()
}

fn read_token(token: &str) -> Result<String, StoreError> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            StoreError::InvalidArgument(
                "The continuation token provided is incorrect: send it as it was answered".to_owned(),
            )
        })
}

fn split(
    page: Page<Arc<StoredObject>>,
    names: &NameEncoding,
    with_owner: bool,
) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut contents, mut common_prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Prefix(prefix) => common_prefixes.push(CommonPrefix {
                prefix: Some(names.write(&prefix)),
            }),
            Entry::Item(key, object) => {
                let manifest = &object.manifest;
                let checksum = manifest.checksum();
                contents.push(Object {
                    checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(checksum.algorithm.name())]),
                    checksum_type: Some(checksum.kind.to_dto()),
                    e_tag: Some(strong(&manifest.etag)),
                    key: Some(names.write(&key)),
                    last_modified: Some(timestamp(manifest.last_modified_ms)),
                    owner: with_owner.then(owner),
                    restore_status: None,
                    size: Some(size(manifest.size_bytes)),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                });
            }
        }
    }
    (contents, common_prefixes)
}
