//! One multipart upload: its parts, and the ways they come and go.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::object::body_etag;
use super::{Bucket, ObjectHeaders, StoreError, from_ms, lock, now_ms, read, to_ms, write};
use crate::checksum::{Algorithm, ChecksumKind};
use crate::disk::{PartFileName, Staged, UPLOAD_FILE, rename_synced, sync_dir, write_synced};

/// What `upload.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    /// Format of this file; 1.
    pub(crate) version: u32,
    pub(crate) upload_id: String,
    pub(crate) key: String,
    pub(crate) initiated_ms: u64,
    pub(crate) headers: ObjectHeaders,
    /// The algorithm the client chose, with its kind. Without one, parts need no checksum and the
    /// object gets CRC64NVME, as at S3.
    pub(crate) checksum: Option<(Algorithm, ChecksumKind)>,
}

/// What a new upload is to be.
#[derive(Debug)]
pub(crate) struct NewUpload {
    pub(crate) key: String,
    pub(crate) headers: ObjectHeaders,
    pub(crate) checksum: Option<(Algorithm, ChecksumKind)>,
}

/// An upload under way.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) record: UploadRecord,
    pub(super) dir: PathBuf,
    pub(super) state: Mutex<UploadState>,
}

#[derive(Debug)]
pub(super) enum UploadState {
    Open(BTreeMap<u16, UploadedPart>),
    Completed,
    Aborted,
}

/// One part as the store holds it.
#[derive(Debug, Clone)]
pub(crate) struct UploadedPart {
    pub(crate) name: PartFileName,
    pub(crate) last_modified_ms: u64,
}

impl UploadedPart {
    /// Without quotes.
    pub(crate) fn etag(&self) -> String {
        body_etag(self.name.crc64, self.name.size_bytes)
    }

    /// The value of the upload's own algorithm when that is not CRC64NVME, base64.
    pub(crate) fn declared(&self) -> Option<String> {
        (!self.name.declared.is_empty()).then(|| STANDARD.encode(&self.name.declared))
    }

    /// The value of `algorithm`, base64, when the part was stored with it.
    pub(crate) fn checksum(&self, algorithm: Algorithm) -> Option<String> {
        match algorithm {
            Algorithm::Crc64Nvme => Some(crate::checksum::crc64_base64(self.name.crc64)),
            _ => self.declared(),
        }
    }
}

impl Upload {
    pub(super) fn new(record: UploadRecord, dir: PathBuf, parts: BTreeMap<u16, UploadedPart>) -> Self {
        Self {
            record,
            dir,
            state: Mutex::new(UploadState::Open(parts)),
        }
    }

    /// The algorithm whose values the parts keep and show.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.record
            .checksum
            .map_or(Algorithm::Crc64Nvme, |(algorithm, _)| algorithm)
    }

    pub(crate) fn kind(&self) -> ChecksumKind {
        self.record
            .checksum
            .map_or(ChecksumKind::FullObject, |(_, kind)| kind)
    }

    /// Parts above `after`, ascending, at most `max`; and whether there are more.
    pub(crate) fn parts(&self, after: u16, max: usize) -> Result<(Vec<UploadedPart>, bool), StoreError> {
        match &*lock(&self.state) {
            UploadState::Open(parts) => {
                let mut above = parts.range(after.saturating_add(1)..);
                let page = above.by_ref().take(max).map(|(_, part)| part.clone());
                Ok((page.collect(), max > 0 && above.next().is_some()))
            }
            UploadState::Completed | UploadState::Aborted => Err(StoreError::NoSuchUpload),
        }
    }

    /// Commits a staged body as part `number`; a part of that number is replaced.
    pub(crate) fn put_part(
        &self,
        number: u16,
        staged: Staged,
        bucket: &Bucket,
    ) -> Result<UploadedPart, StoreError> {
        let declared = match self.algorithm() {
            Algorithm::Crc64Nvme => Vec::new(),
            algorithm => staged
                .digests
                .value(algorithm)
                .and_then(|value| STANDARD.decode(value).ok())
                .unwrap_or_default(),
        };
        let _present = bucket.present()?;
        let mut state = lock(&self.state);
        let UploadState::Open(parts) = &mut *state else {
            return Err(StoreError::NoSuchUpload);
        };
        let name = PartFileName {
            number,
            size_bytes: staged.digests.size_bytes,
            crc64: staged.digests.crc64,
            sequence: bucket.sequence.next(),
            declared,
        };
        let path = self.dir.join(name.format());
        let io = || StoreError::io("commit a part to", &path);
        rename_synced(staged.file.path(), &path).map_err(io())?;
        staged.file.keep();
        let modified = fs::metadata(&path).and_then(|meta| meta.modified());
        let part = UploadedPart {
            name,
            last_modified_ms: to_ms(modified.map_err(io())?),
        };
        if let Some(replaced) = parts.insert(number, part.clone()) {
            bucket.trash.discard(self.dir.join(replaced.name.format()));
        }
        Ok(part)
    }
}

impl Bucket {
    pub(crate) fn create_upload(&self, new: NewUpload) -> Result<Arc<Upload>, StoreError> {
        let _present = self.present()?;
        let initiated_ms = now_ms();
        let record = UploadRecord {
            version: 1,
            // The time in front lists the uploads of one key in the order they were begun.
            upload_id: format!("{initiated_ms:012x}{}", uuid::Uuid::new_v4().simple()),
            key: new.key,
            initiated_ms,
            headers: new.headers,
            checksum: new.checksum,
        };
        let staged = self.trash.guard(self.layout.tmp_unique());
        let path = self.uploads_dir().join(&record.upload_id);
        fs::create_dir(staged.path())
            .and_then(|()| {
                let bytes = serde_json::to_vec(&record)?;
                write_synced(&staged.path().join(UPLOAD_FILE), &bytes)?;
                sync_dir(staged.path())?;
                rename_synced(staged.path(), &path)
            })
            .map_err(StoreError::io("make an upload at", &path))?;
        staged.keep();
        let id = (record.key.clone(), record.upload_id.clone());
        let upload = Arc::new(Upload::new(record, path, BTreeMap::new()));
        write(&self.uploads).insert(id, Arc::clone(&upload));
        Ok(upload)
    }

    /// The upload of this id under way for this key.
    pub(crate) fn upload(&self, key: &str, upload_id: &str) -> Result<Arc<Upload>, StoreError> {
        read(&self.uploads)
            .get(&(key.to_owned(), upload_id.to_owned()))
            .cloned()
            .ok_or(StoreError::NoSuchUpload)
    }

    /// The uploads under way whose key begins with `prefix`, by key and then by start.
    pub(crate) fn uploads(&self, prefix: &str) -> Vec<Arc<Upload>> {
        read(&self.uploads)
            .range((prefix.to_owned(), String::new())..)
            .take_while(|((key, _), _)| key.starts_with(prefix))
            .map(|(_, upload)| Arc::clone(upload))
            .collect()
    }

    /// Aborts an upload and frees its parts. A part being received is refused at its commit.
    ///
    /// With `initiated_second` (seconds since 1970) only an upload begun in that second.
    pub(crate) fn abort_upload(
        &self,
        key: &str,
        upload_id: &str,
        initiated_second: Option<u64>,
    ) -> Result<(), StoreError> {
        let _present = self.present()?;
        let upload = self.upload(key, upload_id)?;
        if initiated_second.is_some_and(|second| second != upload.record.initiated_ms / 1000) {
            return Err(StoreError::PreconditionFailed {
                condition: "x-amz-if-match-initiated-time",
            });
        }
        let mut state = lock(&upload.state);
        if !matches!(*state, UploadState::Open(_)) {
            return Err(StoreError::NoSuchUpload);
        }
        let to = self.layout.tmp_unique();
        fs::rename(&upload.dir, &to)
            .and_then(|()| sync_dir(&self.uploads_dir()))
            .map_err(StoreError::io("abort the upload at", &upload.dir))?;
        *state = UploadState::Aborted;
        self.trash.discard(to);
        self.forget_upload(&upload.record);
        Ok(())
    }

    pub(super) fn forget_upload(&self, record: &UploadRecord) {
        write(&self.uploads).remove(&(record.key.clone(), record.upload_id.clone()));
    }
}

impl UploadRecord {
    pub(crate) fn initiated(&self) -> std::time::SystemTime {
        from_ms(self.initiated_ms)
    }
}
