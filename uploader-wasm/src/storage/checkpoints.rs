//! Checkpoints in `IndexedDB`: one row an upload.

use upload_protocol::ClientUploadId;

use super::fault::StorageFault;
use super::row::Row;
use super::table::{Table, TableName};
use crate::messages::{from_js, to_js};
use crate::realm::Realm;

const TABLE: TableName = TableName {
    database: "holdfast",
    store: "checkpoints",
};

/// The checkpoints of one realm.
#[derive(Debug)]
pub(super) struct Checkpoints {
    table: Table,
    realm: Realm,
    folder: String,
}

impl Checkpoints {
    pub(super) async fn open(realm: Realm) -> Result<Self, StorageFault> {
        Ok(Self {
            table: Table::open(TABLE).await?,
            folder: realm.storage_name(),
            realm,
        })
    }

    pub(super) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Every row of the realm: its upload where the key names one, and the row where this build can
    /// read it.
    pub(super) async fn all(&self) -> Result<Vec<(Option<ClientUploadId>, Option<Row>)>, StorageFault> {
        let upload_of = |key: &str| ClientUploadId::parse(key.rsplit_once('/')?.1);
        let rows = self.table.rows(&format!("{}/", self.folder)).await?;
        Ok(rows
            .into_iter()
            .map(|(key, row)| (upload_of(&key), from_js(row)))
            .collect())
    }

    pub(super) async fn put(&self, upload: ClientUploadId, row: &Row) -> Result<(), StorageFault> {
        self.table
            .put(&self.key(upload), to_js(row), row.size_bytes())
            .await
    }

    pub(super) async fn delete(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        self.table.delete(&self.key(upload)).await
    }

    fn key(&self, upload: ClientUploadId) -> String {
        format!("{}/{upload}", self.folder)
    }
}
