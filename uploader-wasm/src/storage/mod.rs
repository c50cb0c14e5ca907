//! What survives the page: checkpoints in `IndexedDB`, staged parts in OPFS, small ones in `IndexedDB`.
//!
//! Either may be missing (private mode, plain http, old browsers): uploads go on without it.

mod checkpoints;
mod fault;
mod group;
mod part_name;
mod part_rows;
mod parts;
mod row;
mod staged;
mod table;

use std::collections::{BTreeSet, HashMap};

use futures::future::{Either, join_all, select};
use gloo_timers::future::TimeoutFuture;
use upload_engine::{Failure, StagedPart};
use upload_protocol::{Checkpoint, ClientUploadId, Crc64Nvme, PartNumber};
use web_sys::Blob;

use crate::browser::{locks_available, wall_clock_ms};
use crate::realm::Realm;
use checkpoints::Checkpoints;
pub use fault::StorageFault;
pub use part_rows::PartRows;
pub use parts::{HalfPart, PartFolder};
use row::{Row, RowFate};
pub use staged::{ROW_SIZE_BYTES_MAX, StagedParts};

/// Storage that doesn't open within this time is taken for missing: some private modes never answer.
const OPEN_TIMEOUT_MS: u32 = 10_000;

/// The storage of one realm, as far as the browser gives it.
#[derive(Debug)]
pub struct Storage {
    checkpoints: Result<Checkpoints, StorageFault>,
    staged: Result<StagedParts, StorageFault>,
}

/// An upload of an earlier visit.
#[derive(Debug)]
pub struct Kept {
    /// As saved.
    pub checkpoint: Checkpoint,
    /// What is on disk.
    pub staged: Vec<StagedPart>,
}

impl Storage {
    /// Opens what there is. Without Web Locks nothing is used: two engines could not tell that they
    /// share it.
    pub async fn open(realm: &Realm) -> Self {
        if !locks_available() {
            let fault = StorageFault::Unavailable("this page is not a secure context (https)".into());
            return Self {
                checkpoints: Err(fault.clone()),
                staged: Err(fault),
            };
        }
        Self {
            checkpoints: in_time(Checkpoints::open(realm.clone())).await,
            staged: in_time(StagedParts::open(&realm.storage_name())).await,
        }
    }

    /// Parts can be written, and found again by a later visit.
    pub fn can_stage(&self) -> bool {
        self.checkpoints.is_ok() && self.staged.is_ok()
    }

    /// The uploads of earlier visits. Deletes what is older than a week, parts without a checkpoint and
    /// halves of parts; leaves alone what a newer build wrote. To be called by the engine alone.
    pub async fn load(&self) -> Vec<Kept> {
        let rows = match &self.checkpoints {
            Ok(checkpoints) => checkpoints.all().await,
            Err(fault) => Err(fault.clone()),
        };
        // With no list of checkpoints, no part is known to be left over.
        let Ok(rows) = rows else {
            return Vec::new();
        };
        let mut kept = Vec::new();
        let mut wanted = BTreeSet::new();
        let mut expired = Vec::new();
        for (key, row) in rows {
            match row.map_or(RowFate::LeaveAlone, |row| row.fate(wall_clock_ms())) {
                RowFate::LeaveAlone => wanted.extend(key),
                RowFate::Expired => expired.extend(key),
                RowFate::Restore(checkpoint) => {
                    wanted.insert(checkpoint.client_upload_id);
                    kept.push(*checkpoint);
                }
            }
        }
        let mut staged = match &self.staged {
            Ok(staged) => staged.retain(&wanted).await,
            Err(_) => HashMap::new(),
        };
        // A visit counts as use: the week starts again. All at once, so that they share a transaction.
        if let Ok(checkpoints) = &self.checkpoints {
            join_all(expired.into_iter().map(|upload| checkpoints.delete(upload))).await;
        }
        join_all(kept.iter().map(|checkpoint| self.save(checkpoint))).await;
        kept.into_iter()
            .map(|checkpoint| Kept {
                staged: staged.remove(&checkpoint.client_upload_id).unwrap_or_default(),
                checkpoint,
            })
            .collect()
    }

    /// Writes a checkpoint durably, replacing the one before.
    pub async fn save(&self, checkpoint: &Checkpoint) -> Result<(), StorageFault> {
        let checkpoints = self.checkpoints.as_ref().map_err(Clone::clone)?;
        let row = Row::new(checkpoints.realm(), checkpoint, wall_clock_ms())?;
        checkpoints.put(checkpoint.client_upload_id, &row).await
    }

    /// The bytes of a staged part.
    ///
    /// # Errors
    /// [`Failure::StagedUnreadable`] when it isn't there or has another size.
    pub async fn read(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
        size_bytes: u64,
    ) -> Result<Blob, Failure> {
        let bytes = match &self.staged {
            Ok(staged) => staged.read(upload, part, crc, size_bytes).await,
            Err(fault) => Err(fault.clone()),
        };
        bytes.map_err(|fault| Failure::StagedUnreadable {
            detail: format!("part {part}: {fault}"),
        })
    }

    /// Deletes a staged part; one that isn't there is no error.
    pub async fn free(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
    ) -> Result<(), StorageFault> {
        match &self.staged {
            Ok(staged) => staged.free(upload, part, crc).await,
            Err(_) => Ok(()),
        }
    }

    /// Deletes an upload's parts, then its checkpoint: a kill in between leaves an upload that finds no
    /// parts, never parts that nobody finds.
    pub async fn forget(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        if let Ok(staged) = &self.staged {
            staged.remove_upload(upload).await?;
        }
        if let Ok(checkpoints) = &self.checkpoints {
            checkpoints.delete(upload).await?;
        }
        Ok(())
    }
}

async fn in_time<T>(opening: impl Future<Output = Result<T, StorageFault>>) -> Result<T, StorageFault> {
    match select(std::pin::pin!(opening), TimeoutFuture::new(OPEN_TIMEOUT_MS)).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(StorageFault::Unavailable(format!(
            "the browser did not open it within {} s",
            OPEN_TIMEOUT_MS / 1000
        ))),
    }
}
