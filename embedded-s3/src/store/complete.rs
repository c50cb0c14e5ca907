//! Completing a multipart upload: every claim of the request is compared with what is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::upload::{UploadState, UploadedPart};
use super::{Bucket, Manifest, NewObject, PartRecord, StoreError, StoredObject, Upload};
use super::{WriteCondition, lock, now_ms, read};
use crate::checksum::{Algorithm, ChecksumKind, CrcJoiner, Digest, StoredChecksum, parse_crc};
use crate::disk::sync_dir;

/// Smallest part but the last: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PART_SIZE_MIN_BYTES: u64 = 5 * 1024 * 1024;
/// Largest object: 50 TB, same source.
const OBJECT_SIZE_MAX_BYTES: u64 = 50 * 1024 * 1024 * 1024 * 1024;

/// What the client says of the upload it completes.
#[derive(Debug)]
pub(crate) struct CompleteRequest {
    pub(crate) parts: Vec<ListedPart>,
    /// The object's checksum, base64 (composite ones may carry `-{parts}`).
    pub(crate) checksums: Vec<(Algorithm, String)>,
    pub(crate) kind: Option<ChecksumKind>,
    pub(crate) size_bytes: Option<i64>,
    pub(crate) condition: WriteCondition,
}

/// One entry of the client's list.
#[derive(Debug)]
pub(crate) struct ListedPart {
    pub(crate) number: i32,
    /// Without quotes.
    pub(crate) etag: Option<String>,
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

impl Bucket {
    /// Completes an upload. A repeat after success is answered as the first time, as long as the
    /// object is still the one that this upload made.
    pub(crate) fn complete_upload(
        &self,
        key: &str,
        upload_id: &str,
        request: CompleteRequest,
    ) -> Result<Arc<StoredObject>, StoreError> {
        let _present = self.present()?;
        let Ok(upload) = self.upload(key, upload_id) else {
            return self.completed_before(key, upload_id, &request);
        };
        let mut state = lock(&upload.state);
        let parts = match &*state {
            UploadState::Open(parts) => parts,
            UploadState::Completed => return self.completed_before(key, upload_id, &request),
            UploadState::Aborted => return Err(StoreError::NoSuchUpload),
        };
        let manifest = assemble(&upload, parts, &request)?;
        let listed: BTreeSet<u16> = manifest.parts.iter().map(|part| part.number).collect();
        let unlisted: Vec<_> = parts
            .values()
            .filter(|part| !listed.contains(&part.name.number))
            .map(|part| part.name.format())
            .collect();
        let object = self.commit(NewObject {
            dir: upload.dir.clone(),
            manifest,
            condition: request.condition,
        })?;
        *state = UploadState::Completed;
        self.forget_upload(&upload.record);
        for file in unlisted {
            self.trash.discard(object.path_of(&file));
        }
        // The commit is durable already; this only keeps the old name from coming back beside it.
        sync_dir(&self.uploads_dir()).map_err(StoreError::io("sync", &self.uploads_dir()))?;
        Ok(object)
    }

    fn completed_before(
        &self,
        key: &str,
        upload_id: &str,
        request: &CompleteRequest,
    ) -> Result<Arc<StoredObject>, StoreError> {
        if read(&self.completed).get(upload_id).map(String::as_str) != Some(key) {
            return Err(StoreError::NoSuchUpload);
        }
        let object = self.object(key).map_err(|_| StoreError::NoSuchUpload)?;
        let manifest = &object.manifest;
        if manifest.upload_id.as_deref() != Some(upload_id) {
            return Err(StoreError::NoSuchUpload);
        }
        let same_parts = manifest.parts.len() == request.parts.len()
            && manifest.parts.iter().zip(&request.parts).all(|(have, listed)| {
                i32::from(have.number) == listed.number && listed.etag.as_deref() == Some(have.etag.as_str())
            });
        if !same_parts {
            return Err(StoreError::InvalidPart {
                number: request.parts.first().map_or(0, |part| part.number),
                detail: "the upload was completed with another list of parts".to_owned(),
            });
        }
        Ok(object)
    }
}

/// The manifest that the request and the parts amount to, or the first thing wrong with them.
fn assemble(
    upload: &Upload,
    have: &BTreeMap<u16, UploadedPart>,
    request: &CompleteRequest,
) -> Result<Manifest, StoreError> {
    check_request_form(upload, request)?;
    let parts = listed_parts(upload, have, &request.parts)?;
    for part in parts.iter().rev().skip(1) {
        if part.size_bytes < PART_SIZE_MIN_BYTES {
            return Err(StoreError::EntityTooSmall {
                number: part.number,
                size_bytes: part.size_bytes,
            });
        }
    }
    let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
    if size_bytes > OBJECT_SIZE_MAX_BYTES {
        return Err(StoreError::EntityTooLarge {
            size_max_bytes: OBJECT_SIZE_MAX_BYTES,
        });
    }
    if request
        .size_bytes
        .is_some_and(|declared| u64::try_from(declared) != Ok(size_bytes))
    {
        return Err(StoreError::InvalidRequest(format!(
            "The provided 'x-amz-mp-object-size' header value {} does not match what was computed: {size_bytes}",
            request.size_bytes.unwrap_or_default()
        )));
    }
    let manifest = Manifest {
        version: 1,
        key: upload.record.key.clone(),
        size_bytes,
        crc64: join_crc64(&parts),
        etag: multipart_etag(&parts),
        last_modified_ms: now_ms(),
        headers: upload.record.headers.clone(),
        declared: declared_checksum(upload, &parts)?,
        parts,
        upload_id: Some(upload.record.upload_id.clone()),
    };
    check_object_checksum(&manifest, request)?;
    Ok(manifest)
}

fn check_request_form(upload: &Upload, request: &CompleteRequest) -> Result<(), StoreError> {
    if request.parts.is_empty() {
        return Err(StoreError::MalformedXml(
            "You must specify at least one part".to_owned(),
        ));
    }
    if let Some(kind) = request.kind
        && kind != upload.kind()
    {
        return Err(StoreError::InvalidRequest(format!(
            "The upload was created with the checksum type {}, the complete request names {}.",
            upload.kind().name(),
            kind.name()
        )));
    }
    for pair in request.parts.windows(2) {
        if pair[1].number <= pair[0].number {
            return Err(StoreError::InvalidPartOrder {
                number: pair[1].number,
                before: pair[0].number,
            });
        }
    }
    Ok(())
}

fn listed_parts(
    upload: &Upload,
    have: &BTreeMap<u16, UploadedPart>,
    listed: &[ListedPart],
) -> Result<Vec<PartRecord>, StoreError> {
    let algorithm = upload.algorithm();
    let mut records = Vec::with_capacity(listed.len());
    for entry in listed {
        let number = entry.number;
        let invalid = |detail: String| StoreError::InvalidPart { number, detail };
        let part = u16::try_from(number)
            .ok()
            .and_then(|number| have.get(&number))
            .ok_or_else(|| invalid("it was not uploaded".to_owned()))?;
        let etag = part.etag();
        if entry.etag.as_deref() != Some(etag.as_str()) {
            return Err(invalid(format!(
                "the entity tag is {etag:?}, not {:?}",
                entry.etag.as_deref().unwrap_or_default()
            )));
        }
        for (named, value) in &entry.checksums {
            match part.checksum(*named) {
                Some(stored) if stored == *value => {}
                Some(stored) => {
                    return Err(invalid(format!("the {} is {stored}, not {value}", named.name())));
                }
                None => {
                    return Err(StoreError::InvalidRequest(format!(
                        "Checksum type mismatch for part {number}: the upload keeps {}, the list names {}.",
                        algorithm.name(),
                        named.name()
                    )));
                }
            }
        }
        if upload.kind() == ChecksumKind::Composite && entry.checksums.is_empty() {
            return Err(StoreError::InvalidRequest(format!(
                "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request.",
                algorithm.name().to_ascii_lowercase()
            )));
        }
        records.push(PartRecord {
            number: part.name.number,
            size_bytes: part.name.size_bytes,
            etag,
            crc64: part.name.crc64,
            declared: part.declared(),
            file: part.name.format(),
        });
    }
    Ok(records)
}

fn join_crc64(parts: &[PartRecord]) -> u64 {
    join(
        Algorithm::Crc64Nvme,
        parts.iter().map(|part| (part.crc64, part.size_bytes)),
    )
    .unwrap_or_default()
}

fn join(algorithm: Algorithm, crcs: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
    let mut joiner = CrcJoiner::new(algorithm)?;
    // The CRC of no bytes is 0 for all three CRCs of S3.
    Some(crcs.fold(0, |whole, (crc, size_bytes)| joiner.join(whole, crc, size_bytes)))
}

/// The object's checksum in the upload's own algorithm, when that is not CRC64NVME.
fn declared_checksum(upload: &Upload, parts: &[PartRecord]) -> Result<Option<StoredChecksum>, StoreError> {
    let algorithm = upload.algorithm();
    if algorithm == Algorithm::Crc64Nvme {
        return Ok(None);
    }
    let missing = || StoreError::InvalidRequest("a part was stored without its checksum".to_owned());
    let values = || parts.iter().map(|part| part.declared.as_deref());
    let value = match upload.kind() {
        ChecksumKind::FullObject => {
            let crcs = values()
                .map(|value| value.and_then(parse_crc))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(missing)?;
            let sizes = parts.iter().map(|part| part.size_bytes);
            let whole = join(algorithm, crcs.into_iter().zip(sizes)).ok_or_else(missing)?;
            STANDARD.encode(&whole.to_be_bytes()[8 - algorithm.size_bytes()..])
        }
        ChecksumKind::Composite => {
            let mut digest = Digest::new([algorithm]);
            for value in values() {
                let raw = value.and_then(|value| STANDARD.decode(value).ok());
                digest.update(&raw.ok_or_else(missing)?);
            }
            let value = digest.finish().value(algorithm).ok_or_else(missing)?;
            format!("{value}-{}", parts.len())
        }
    };
    Ok(Some(StoredChecksum {
        algorithm,
        kind: upload.kind(),
        value,
    }))
}

fn check_object_checksum(manifest: &Manifest, request: &CompleteRequest) -> Result<(), StoreError> {
    let own = manifest.checksum();
    for (algorithm, declared) in &request.checksums {
        if *algorithm != own.algorithm {
            return Err(StoreError::InvalidRequest(format!(
                "The object's checksum is a {}, the complete request gives a {}.",
                own.algorithm.name(),
                algorithm.name()
            )));
        }
        let without_count = own.value.split('-').next().unwrap_or_default();
        if *declared != own.value && declared != without_count {
            return Err(StoreError::BadDigest {
                name: algorithm.name(),
                declared: declared.clone(),
                computed: own.value,
            });
        }
    }
    Ok(())
}

/// In the form of S3's multipart tags: a hash over the parts' tags and their count.
fn multipart_etag(parts: &[PartRecord]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.etag.as_bytes());
        hash.update(b"\n");
    }
    let hex = crate::disk::hex(&hash.finalize());
    format!("{}-{}", &hex[..32], parts.len())
}
