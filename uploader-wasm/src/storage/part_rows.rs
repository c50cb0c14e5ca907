//! Small staged parts as rows in `IndexedDB`: `{realm}/{clientUploadId}/{partNumber}-{crc}-{size}`.
//!
//! A file a part is right for megabytes: a thousand files of 10 KiB take Firefox half a minute to create
//! (Firefox 153, November 2026), a thousand rows a handful of transactions.
//!
//! The bytes are an `ArrayBuffer`, not a `Blob`: a browser keeps a row's `Blob` as a file of its own
//! again, and Firefox has sent such a one as headers without a body. Sent they are as a `Blob` made of
//! them, which costs a copy of a part that is small.
//!
//! A database of its own, since the checkpoints' one can't be given another object store: that would
//! raise its version, and an old tab would hold up the upgrade.

use std::collections::HashMap;

use js_sys::{Array, ArrayBuffer};
use upload_engine::StagedPart;
use upload_protocol::{ClientUploadId, Crc64Nvme, PartNumber};
use wasm_bindgen::JsCast;
use web_sys::Blob;

use super::fault::StorageFault;
use super::part_name;
use super::table::{Table, TableName};

const TABLE: TableName = TableName {
    database: "holdfast-parts",
    store: "parts",
};

/// The small parts of one realm.
#[derive(Debug, Clone)]
pub struct PartRows {
    table: Table,
    realm: String,
}

impl PartRows {
    /// Opens, making it where it is missing. `realm` is [`crate::realm::Realm::storage_name`].
    pub async fn open(realm: &str) -> Result<Self, StorageFault> {
        Ok(Self {
            table: Table::open(TABLE).await?,
            realm: realm.to_owned(),
        })
    }

    /// Writes a part and waits until it is on disk. Parts written at the same time share transactions.
    ///
    /// # Cancellation
    /// Dropped before its transaction began, nothing is written; later, the whole part is.
    pub async fn write(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
        bytes: ArrayBuffer,
    ) -> Result<(), StorageFault> {
        let size_bytes = u64::from(bytes.byte_length());
        let key = self.key(upload, part, crc, size_bytes);
        self.table.put(&key, bytes.into(), size_bytes).await
    }

    /// A part's bytes, when they are as many as they must be.
    pub(super) async fn read(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
        size_bytes: u64,
    ) -> Result<Blob, StorageFault> {
        let value = self.table.value(&self.key(upload, part, crc, size_bytes)).await?;
        if value.is_undefined() {
            return Err(StorageFault::NotFound);
        }
        let bytes: ArrayBuffer = value
            .dyn_into()
            .map_err(|_| StorageFault::Unavailable("its row holds no bytes".into()))?;
        if u64::from(bytes.byte_length()) != size_bytes {
            return Err(StorageFault::Unavailable(format!(
                "its row has {} bytes, expected {size_bytes}",
                bytes.byte_length()
            )));
        }
        Blob::new_with_buffer_source_sequence(&Array::of1(&bytes).into())
            .map_err(|thrown| StorageFault::of(&thrown))
    }

    /// The parts of all uploads of the realm, read from their keys alone.
    pub(super) async fn list(&self) -> Result<HashMap<ClientUploadId, Vec<StagedPart>>, StorageFault> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for key in self.table.keys(&format!("{}/", self.realm)).await? {
            let mut names = key.rsplit('/');
            let (name, upload) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            if let Some(upload) = ClientUploadId::parse(upload) {
                // An upload is listed although no part of it can be read: it may have to be deleted.
                found.entry(upload).or_default().extend(part_name::read_row(name));
            }
        }
        Ok(found)
    }

    /// Deletes a part; one that isn't there is no error.
    pub(super) async fn free(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
    ) -> Result<(), StorageFault> {
        let name = part_name::whole(part, crc);
        self.table
            .delete_from(&format!("{}/{upload}/{name}-", self.realm))
            .await
    }

    /// Deletes all parts of an upload.
    pub(super) async fn remove_upload(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        self.table.delete_from(&format!("{}/{upload}/", self.realm)).await
    }

    fn key(&self, upload: ClientUploadId, part: PartNumber, crc: Crc64Nvme, size_bytes: u64) -> String {
        format!(
            "{}/{upload}/{}",
            self.realm,
            part_name::row(part, crc, size_bytes)
        )
    }
}
