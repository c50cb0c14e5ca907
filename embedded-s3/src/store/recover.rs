//! What a start finds on disk: the indexes are rebuilt, the leftovers of a killed process removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::upload::UploadedPart;
use super::{BucketRecord, Manifest, StoredObject, Upload, UploadRecord, to_ms};
use crate::disk::{BUCKET_FILE, Layout, OBJECT_FILE, OBJECTS, PartFileName, Trash, UPLOAD_FILE};
use crate::disk::{UPLOADS, object_dir_name, parse_object_dir_name};

/// What the data folder held.
pub(super) struct Found {
    pub(super) buckets: Vec<BucketContent>,
    /// Above every sequence in use.
    pub(super) sequence_next: u64,
}

/// What a bucket's folder held.
pub(super) struct BucketContent {
    pub(super) record: BucketRecord,
    pub(super) objects: BTreeMap<String, Arc<StoredObject>>,
    pub(super) uploads: BTreeMap<(String, String), Arc<Upload>>,
}

impl BucketContent {
    pub(super) fn empty(record: BucketRecord) -> Self {
        Self {
            record,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }
}

/// Reads everything. What cannot be understood is named in the log, left on disk and not served:
/// an object is served whole or not at all.
pub(super) fn recover(layout: &Layout, trash: &Trash) -> io::Result<Found> {
    let mut recovery = Recovery {
        layout,
        trash,
        sequence_next: 1,
    };
    let mut buckets = Vec::new();
    for dir in folders(&layout.buckets())? {
        let record: BucketRecord = match read_json(&dir.join(BUCKET_FILE)) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(?dir, %error, "not a bucket: left alone and not served");
                continue;
            }
        };
        if !s3s::path::check_bucket_name(&record.name) || dir != layout.bucket(&record.name) {
            tracing::error!(
                ?dir,
                name = record.name,
                "bucket folder has another bucket's name"
            );
            continue;
        }
        buckets.push(recovery.bucket(&dir, record)?);
    }
    Ok(Found {
        buckets,
        sequence_next: recovery.sequence_next,
    })
}

struct Recovery<'a> {
    layout: &'a Layout,
    trash: &'a Trash,
    sequence_next: u64,
}

impl Recovery<'_> {
    fn bucket(&mut self, dir: &Path, record: BucketRecord) -> io::Result<BucketContent> {
        let mut content = BucketContent::empty(record);
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for shard in folders(&dir.join(OBJECTS))? {
            for object_dir in folders(&shard)? {
                let Some((sequence, manifest)) = self.object(&object_dir) else {
                    continue;
                };
                let key = manifest.key.clone();
                let object = StoredObject::new(manifest, object_dir, self.trash);
                // Two of one key: the process died between a commit and the removal of the old.
                let loser = if newest.get(&key).is_none_or(|newest| *newest < sequence) {
                    newest.insert(key.clone(), sequence);
                    content.objects.insert(key, Arc::new(object))
                } else {
                    Some(Arc::new(object))
                };
                if let Some(loser) = loser {
                    loser.condemn(self.layout.tmp_unique())?;
                }
            }
        }
        for upload_dir in folders(&dir.join(UPLOADS))? {
            if let Some(upload) = self.upload(&upload_dir)? {
                let id = (upload.record.key.clone(), upload.record.upload_id.clone());
                content.uploads.insert(id, Arc::new(upload));
            }
        }
        Ok(content)
    }

    fn object(&mut self, dir: &Path) -> Option<(u64, Manifest)> {
        let name = dir.file_name()?.to_str()?;
        let sequence = parse_object_dir_name(name)?;
        self.sequence_next = self.sequence_next.max(sequence.saturating_add(1));
        let manifest: Manifest = match read_json(&dir.join(OBJECT_FILE)) {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::error!(?dir, %error, "object without a readable manifest: not served");
                return None;
            }
        };
        let whole = manifest.version == 1
            && object_dir_name(&manifest.key, sequence).1 == name
            && manifest.parts.iter().all(|part| {
                // The name is data from a file: it must not lead out of the folder.
                !part.file.contains(['/', '\\'])
                    && fs::metadata(dir.join(&part.file))
                        .is_ok_and(|meta| meta.is_file() && meta.len() == part.size_bytes)
            });
        if !whole {
            tracing::error!(?dir, key = manifest.key, "object is not whole: not served");
            return None;
        }
        Some((sequence, manifest))
    }

    fn upload(&mut self, dir: &Path) -> io::Result<Option<Upload>> {
        let record: UploadRecord = match read_json(&dir.join(UPLOAD_FILE)) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(?dir, %error, "upload without a readable record: not served");
                return Ok(None);
            }
        };
        if dir.file_name().and_then(|name| name.to_str()) != Some(record.upload_id.as_str()) {
            tracing::error!(?dir, "upload folder has another upload's name: not served");
            return Ok(None);
        }
        let mut parts: BTreeMap<u16, UploadedPart> = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(PartFileName::parse) else {
                // Besides `upload.json`, a manifest of a complete that was not committed: the next
                // complete writes its own.
                continue;
            };
            self.sequence_next = self.sequence_next.max(name.sequence.saturating_add(1));
            let meta = entry.metadata()?;
            if meta.len() != name.size_bytes {
                tracing::error!(part = ?entry.path(), "part is not whole: removed");
                self.trash.discard(entry.path());
                continue;
            }
            let part = UploadedPart {
                last_modified_ms: to_ms(meta.modified()?),
                name,
            };
            let loser = match parts.get(&part.name.number) {
                Some(kept) if kept.name.sequence > part.name.sequence => Some(part),
                _ => parts.insert(part.name.number, part),
            };
            if let Some(loser) = loser {
                self.trash.discard(dir.join(loser.name.format()));
            }
        }
        Ok(Some(Upload::new(record, dir.to_path_buf(), parts)))
    }
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}
