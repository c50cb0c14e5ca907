//! Staged parts, wherever they lie: small ones in rows, others in files.

use std::collections::{BTreeSet, HashMap};

use futures::future::join_all;
use upload_engine::StagedPart;
use upload_protocol::limits::MIB;
use upload_protocol::{ClientUploadId, Crc64Nvme, PartNumber};
use web_sys::Blob;

use super::fault::StorageFault;
use super::part_rows::PartRows;
use super::parts::PartFolder;

/// Largest part that is a row, in bytes.
pub const ROW_SIZE_BYTES_MAX: u64 = MIB;

/// The staged parts of one realm.
///
/// Needs both OPFS and `IndexedDB`: the engine knows only whether parts can be staged, not how large
/// ones. Where OPFS is missing, small parts are not staged either.
#[derive(Debug, Clone)]
pub struct StagedParts {
    /// Those larger than [`ROW_SIZE_BYTES_MAX`], and any that a build without rows has left.
    pub files: PartFolder,
    /// Those up to [`ROW_SIZE_BYTES_MAX`].
    pub rows: PartRows,
}

impl StagedParts {
    /// Opens, making it where it is missing. `realm` is [`crate::realm::Realm::storage_name`].
    pub async fn open(realm: &str) -> Result<Self, StorageFault> {
        Ok(Self {
            files: PartFolder::open(realm).await?,
            rows: PartRows::open(realm).await?,
        })
    }

    /// What is on disk of these uploads. Deletes what there is of all others, and halves of parts.
    pub(super) async fn retain(
        &self,
        wanted: &BTreeSet<ClientUploadId>,
    ) -> HashMap<ClientUploadId, Vec<StagedPart>> {
        // What can't be read or deleted now is tried again next time.
        let mut found = self.rows.list().await.unwrap_or_default();
        let left_over = found.extract_if(|upload, _| !wanted.contains(upload));
        join_all(left_over.map(|(upload, _)| self.rows.remove_upload(upload))).await;
        for upload in self.files.retain(wanted).await {
            let parts = found.entry(upload).or_default();
            let rows = parts.clone();
            let files = self.files.list(upload).await.into_iter();
            parts.extend(files.filter(|file| !rows.contains(file)));
        }
        found
    }

    /// A part's bytes, when they are as many as they must be.
    pub(super) async fn read(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
        size_bytes: u64,
    ) -> Result<Blob, StorageFault> {
        if size_bytes <= ROW_SIZE_BYTES_MAX {
            match self.rows.read(upload, part, crc, size_bytes).await {
                Err(StorageFault::NotFound) => {}
                read => return read,
            }
        }
        let file = self.files.read(upload, part, crc, size_bytes).await;
        file.map(Into::into)
    }

    /// Deletes a part; one that isn't there is no error.
    pub(super) async fn free(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
    ) -> Result<(), StorageFault> {
        // Its size isn't told. To find no file costs less than a transaction for a row that never was.
        if self.files.free(upload, part, crc).await? {
            return Ok(());
        }
        self.rows.free(upload, part, crc).await
    }

    /// Deletes all parts of an upload.
    pub(super) async fn remove_upload(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        self.files.remove_upload(upload).await?;
        self.rows.remove_upload(upload).await
    }
}
