//! A model of what survives the host: checkpoints and staged parts.

use std::collections::BTreeMap;

use upload_engine::StagedPart;
use upload_protocol::{Checkpoint, ClientUploadId, Crc64Nvme, PartNumber};

use super::content::Bytes;

/// A change on disk. Each is atomic.
#[derive(Debug, Clone)]
pub(super) enum DiskOp {
    Save(Box<Checkpoint>),
    Stage(ClientUploadId, PartNumber, Bytes),
    Free(ClientUploadId, PartNumber, Crc64Nvme),
    /// The first half of forgetting.
    DeleteStaged(ClientUploadId),
    DeleteCheckpoint(ClientUploadId),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) checkpoints: BTreeMap<ClientUploadId, Checkpoint>,
    staged: BTreeMap<(ClientUploadId, PartNumber, Crc64Nvme), Bytes>,
    used_bytes: u64,
    capacity_bytes: u64,
}

/// There is no room for a staged part.
#[derive(Debug)]
pub(super) struct Full;

impl Disk {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            ..Self::default()
        }
    }

    pub(super) fn room_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes)
    }

    pub(super) fn apply(&mut self, op: DiskOp) -> Result<(), Full> {
        match op {
            DiskOp::Save(checkpoint) => {
                self.checkpoints.insert(checkpoint.client_upload_id, *checkpoint);
            }
            DiskOp::Stage(upload, part, bytes) => {
                let name = (upload, part, bytes.crc());
                if !self.staged.contains_key(&name) {
                    if self.used_bytes.saturating_add(bytes.size_bytes()) > self.capacity_bytes {
                        return Err(Full);
                    }
                    self.used_bytes += bytes.size_bytes();
                }
                // A new copy replaces a rotten one of the same name.
                self.staged.insert(name, bytes);
            }
            DiskOp::Free(upload, part, crc) => self.remove((upload, part, crc)),
            DiskOp::DeleteStaged(upload) => {
                let names: Vec<_> = self.names(upload).collect();
                for name in names {
                    self.remove(name);
                }
            }
            DiskOp::DeleteCheckpoint(upload) => {
                self.checkpoints.remove(&upload);
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: (ClientUploadId, PartNumber, Crc64Nvme)) {
        if let Some(bytes) = self.staged.remove(&name) {
            self.used_bytes -= bytes.size_bytes();
        }
    }

    fn names(
        &self,
        upload: ClientUploadId,
    ) -> impl Iterator<Item = (ClientUploadId, PartNumber, Crc64Nvme)> + '_ {
        let from = (upload, PartNumber::FIRST, Crc64Nvme(0));
        let names = self.staged.range(from..).map(|(name, _)| *name);
        names.take_while(move |name| name.0 == upload)
    }

    pub(super) fn staged(&self, upload: ClientUploadId, part: PartNumber, crc: Crc64Nvme) -> Option<Bytes> {
        self.staged.get(&(upload, part, crc)).copied()
    }

    /// As a host lists them for `Command::Restore`.
    pub(super) fn list(&self, upload: ClientUploadId) -> Vec<StagedPart> {
        self.names(upload)
            .map(|name| StagedPart {
                part: name.1,
                crc: name.2,
                size_bytes: self.staged[&name].size_bytes(),
            })
            .collect()
    }

    /// Flips bits in one staged part and says whose it is.
    pub(super) fn rot(&mut self, rng: &mut fastrand::Rng) -> Option<(ClientUploadId, PartNumber)> {
        let count = self.staged.len();
        let index = (count > 0).then(|| rng.usize(..count))?;
        let (name, bytes) = self.staged.iter_mut().nth(index)?;
        *bytes = bytes.rotten(rng.u64(..));
        Some((name.0, name.1))
    }

    /// Anything of the upload is left.
    pub(super) fn holds(&self, upload: ClientUploadId) -> bool {
        self.checkpoints.contains_key(&upload) || self.names(upload).next().is_some()
    }
}
