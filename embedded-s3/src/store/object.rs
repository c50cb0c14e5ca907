//! One stored object: its manifest and the folder that holds its parts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use serde::{Deserialize, Serialize};

use super::{read, write};
use crate::checksum::{Algorithm, StoredChecksum, crc64_base64};
use crate::disk::{PartSlice, Trash, sync_dir};

/// What `object.json` says: everything about an object but its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Format of this file; 1.
    pub(crate) version: u32,
    pub(crate) key: String,
    pub(crate) size_bytes: u64,
    /// CRC64NVME of all bytes, whatever the client asked for.
    pub(crate) crc64: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) last_modified_ms: u64,
    pub(crate) headers: ObjectHeaders,
    /// The client's own choice of checksum, when it is not CRC64NVME of the object.
    pub(crate) declared: Option<StoredChecksum>,
    /// In order; the sizes add up to `size_bytes`.
    pub(crate) parts: Vec<PartRecord>,
    /// The multipart upload that made it: a repeated complete is answered by it.
    pub(crate) upload_id: Option<String>,
}

/// One file of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) number: u16,
    pub(crate) size_bytes: u64,
    pub(crate) etag: String,
    pub(crate) crc64: u64,
    /// The value of the upload's own algorithm, base64.
    pub(crate) declared: Option<String>,
    /// File name in the object's folder.
    pub(crate) file: String,
}

/// What is answered with the bytes, as the writer gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectHeaders {
    pub(crate) content_type: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) expires: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An object in the index. Its folder lives as long as somebody reads from it.
#[derive(Debug)]
pub(crate) struct StoredObject {
    pub(crate) manifest: Manifest,
    place: RwLock<Place>,
    trash: Trash,
}

#[derive(Debug)]
struct Place {
    dir: PathBuf,
    /// Replaced or deleted: the folder is in `tmp` and goes with the last reader.
    condemned: bool,
}

impl Manifest {
    /// The checksum answered for the object: the client's choice, or CRC64NVME.
    pub(crate) fn checksum(&self) -> StoredChecksum {
        self.declared
            .clone()
            .unwrap_or_else(|| StoredChecksum::full(Algorithm::Crc64Nvme, crc64_base64(self.crc64)))
    }

    /// Whether the object was made by a multipart upload.
    pub(crate) fn is_multipart(&self) -> bool {
        self.upload_id.is_some()
    }

    /// The slices of part files that make up `range` (bytes, end exclusive, within the object).
    pub(crate) fn slices(&self, range: &std::ops::Range<u64>) -> Vec<PartSlice> {
        let mut slices = Vec::new();
        let mut part_start = 0;
        for (part_index, part) in self.parts.iter().enumerate() {
            let part_end = part_start + part.size_bytes;
            let (start, end) = (range.start.max(part_start), range.end.min(part_end));
            if start < end {
                slices.push(PartSlice {
                    part_index,
                    offset_bytes: start - part_start,
                    size_bytes: end - start,
                });
            }
            part_start = part_end;
        }
        slices
    }
}

/// The entity tag of one body: not in the form of an MD5, as it is none.
pub(crate) fn body_etag(crc64: u64, size_bytes: u64) -> String {
    format!("{crc64:016x}-{size_bytes}")
}

impl StoredObject {
    pub(crate) fn new(manifest: Manifest, dir: PathBuf, trash: &Trash) -> Self {
        Self {
            manifest,
            place: RwLock::new(Place {
                dir,
                condemned: false,
            }),
            trash: trash.clone(),
        }
    }

    pub(crate) fn open_part(&self, part_index: usize) -> io::Result<File> {
        // Held over the open: the folder may be moved at any other moment.
        let place = read(&self.place);
        File::open(place.dir.join(self.part_file(part_index)?))
    }

    /// Where a file of the object lies at this moment.
    pub(super) fn path_of(&self, file: &str) -> PathBuf {
        read(&self.place).dir.join(file)
    }

    /// Makes `dir` hold the same part files, without copying bytes where the file system can link.
    pub(crate) fn link_parts(&self, dir: &Path) -> io::Result<()> {
        let place = read(&self.place);
        for part in &self.manifest.parts {
            let (from, to) = (place.dir.join(&part.file), dir.join(&part.file));
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Takes the object off the disk's index: its folder moves to `to`, durably.
    ///
    /// Readers that hold it go on; the folder is removed with the last of them.
    pub(crate) fn condemn(&self, to: PathBuf) -> io::Result<()> {
        let mut place = write(&self.place);
        fs::rename(&place.dir, &to)?;
        let synced = place.dir.parent().map_or(Ok(()), sync_dir);
        place.dir = to;
        place.condemned = true;
        synced
    }

    fn part_file(&self, part_index: usize) -> io::Result<&str> {
        self.manifest
            .parts
            .get(part_index)
            .map(|part| part.file.as_str())
            .ok_or_else(|| io::Error::other("the object has no such part"))
    }
}

impl Drop for StoredObject {
    fn drop(&mut self) {
        let place = read(&self.place);
        if place.condemned {
            self.trash.discard(place.dir.clone());
        }
    }
}
