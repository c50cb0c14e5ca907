//! GetObjectAttributes: size, checksum and parts of an object in one answer.

use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::fields::{answer_checksums, count, page_size, size, strong, timestamp};
use super::objects::refuse_version;
use crate::checksum::{Algorithm, crc64_base64};
use crate::store::{Manifest, PartRecord, StoreError};

impl Api {
    pub(super) async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> Result<GetObjectAttributesOutput, StoreError> {
        let input = request.input;
        refuse_version(input.version_id.as_deref())?;
        let object = self.bucket(&input.bucket)?.object(&input.key)?;
        let manifest = &object.manifest;
        // The header holds the names in one value or several.
        let asked: Vec<&str> = input
            .object_attributes
            .iter()
            .flat_map(|names| names.as_str().split(','))
            .map(str::trim)
            .collect();
        let asks = |name| asked.contains(&name);
        let object_parts = if asks(ObjectAttributes::OBJECT_PARTS) && manifest.is_multipart() {
            let after = input.part_number_marker.unwrap_or_default();
            Some(parts(manifest, after, page_size("max-parts", input.max_parts)?))
        } else {
            None
        };
        Ok(GetObjectAttributesOutput {
            checksum: asks(ObjectAttributes::CHECKSUM).then(|| manifest.checksum().to_set()),
            e_tag: asks(ObjectAttributes::ETAG).then(|| strong(&manifest.etag)),
            last_modified: Some(timestamp(manifest.last_modified_ms)),
            object_parts,
            object_size: asks(ObjectAttributes::OBJECT_SIZE).then(|| size(manifest.size_bytes)),
            storage_class: asks(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        })
    }
}

fn parts(manifest: &Manifest, after: i32, entries_max: usize) -> GetObjectAttributesParts {
    let algorithm = manifest.checksum().algorithm;
    let above: Vec<_> = manifest
        .parts
        .iter()
        .filter(|part| i32::from(part.number) > after)
        .collect();
    let page: Vec<_> = above
        .iter()
        .take(entries_max)
        .map(|part| object_part(part, algorithm))
        .collect();
    GetObjectAttributesParts {
        is_truncated: Some(above.len() > page.len()),
        max_parts: Some(count(entries_max)),
        next_part_number_marker: page.last().and_then(|part| part.part_number),
        part_number_marker: Some(after),
        parts: Some(page),
        total_parts_count: Some(count(manifest.parts.len())),
    }
}

fn object_part(part: &PartRecord, algorithm: Algorithm) -> ObjectPart {
    let mut answer = ObjectPart {
        part_number: Some(i32::from(part.number)),
        size: Some(size(part.size_bytes)),
        ..Default::default()
    };
    let value = match algorithm {
        Algorithm::Crc64Nvme => Some(crc64_base64(part.crc64)),
        _ => part.declared.clone(),
    };
    if let Some(value) = value {
        answer_checksums!(answer, algorithm.set_of(value));
    }
    answer
}
