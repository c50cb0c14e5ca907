//! Checkpoints in `IndexedDB`: one database, one object store, one row an upload.

use idb::{
    Database, DatabaseEvent, Factory, KeyRange, ObjectStore, ObjectStoreParams, Query, TransactionMode,
    TransactionResult,
};
use js_sys::{Object, Reflect};
use upload_protocol::ClientUploadId;
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbTransaction};

use super::fault::StorageFault;
use super::row::Row;
use crate::messages::{from_js, to_js};
use crate::realm::Realm;

const DATABASE: &str = "holdfast";
/// Never raised: an upgrade waits for every old tab to close. Rows carry versions instead.
const DATABASE_VERSION: u32 = 1;
const STORE: &str = "checkpoints";

// `IDBDatabase.transaction` with a durability: neither web-sys without its unstable flag nor idb has it.
#[wasm_bindgen]
extern "C" {
    type DurableDatabase;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn durable_transaction(
        this: &DurableDatabase,
        store: &str,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;
}

/// The checkpoints of one realm.
#[derive(Debug)]
pub(super) struct Checkpoints {
    database: IdbDatabase,
    realm: Realm,
    prefix: String,
}

impl Checkpoints {
    pub(super) async fn open(realm: Realm) -> Result<Self, StorageFault> {
        let mut request = Factory::new()?.open(DATABASE, Some(DATABASE_VERSION))?;
        request.on_upgrade_needed(|event| {
            if let Ok(database) = event.database() {
                // A failure shows when the store is first used.
                drop(database.create_object_store(STORE, ObjectStoreParams::new()));
            }
        });
        let database: Database = request.await?;
        Ok(Self {
            database: database.into(),
            prefix: realm.storage_name(),
            realm,
        })
    }

    pub(super) fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Every row of the realm: its upload where the key names one, and the row where this build can
    /// read it.
    pub(super) async fn all(&self) -> Result<Vec<(Option<ClientUploadId>, Option<Row>)>, StorageFault> {
        let (_transaction, store) = self.transaction(TransactionMode::ReadOnly)?;
        // All keys `{prefix}/…`: `0` is the character after `/`.
        let bounds = KeyRange::bound(
            &format!("{}/", self.prefix).into(),
            &format!("{}0", self.prefix).into(),
            Some(false),
            Some(true),
        )?;
        let keys = store.get_all_keys(Some(Query::KeyRange(bounds.clone())), None)?;
        let rows = store.get_all(Some(Query::KeyRange(bounds)), None)?;
        let (keys, rows) = (keys.await?, rows.await?);
        Ok(keys
            .into_iter()
            .map(|key| {
                let key = key.as_string()?;
                ClientUploadId::parse(key.rsplit_once('/')?.1)
            })
            .zip(rows.into_iter().map(from_js))
            .collect())
    }

    pub(super) async fn put(&self, upload: ClientUploadId, row: &Row) -> Result<(), StorageFault> {
        let (transaction, store) = self.transaction(TransactionMode::ReadWrite)?;
        let request = store.put(&to_js(row), Some(&self.key(upload)))?;
        committed(transaction, request).await
    }

    pub(super) async fn delete(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        let (transaction, store) = self.transaction(TransactionMode::ReadWrite)?;
        let request = store.delete(Query::Key(self.key(upload)))?;
        committed(transaction, request).await
    }

    fn key(&self, upload: ClientUploadId) -> JsValue {
        format!("{}/{upload}", self.prefix).into()
    }

    fn transaction(&self, mode: TransactionMode) -> Result<(idb::Transaction, ObjectStore), StorageFault> {
        let options = Object::new();
        // `strict`: on disk when it says so, not only on its way (Chromium's default since 121).
        // <https://www.w3.org/TR/IndexedDB/#transaction-durability-hint>
        Reflect::set(&options, &"durability".into(), &"strict".into())
            .map_err(|thrown| StorageFault::of(&thrown))?;
        let mode = match mode {
            TransactionMode::ReadOnly => "readonly",
            _ => "readwrite",
        };
        let transaction: idb::Transaction = self
            .database
            .unchecked_ref::<DurableDatabase>()
            .durable_transaction(STORE, mode, &options)
            .map_err(|thrown| StorageFault::of(&thrown))?
            .into();
        let store = transaction.object_store(STORE)?;
        Ok((transaction, store))
    }
}

async fn committed<T, R>(transaction: idb::Transaction, request: R) -> Result<(), StorageFault>
where
    R: IntoFuture<Output = Result<T, idb::Error>>,
{
    request.await?;
    match transaction.commit()?.await? {
        TransactionResult::Committed => Ok(()),
        TransactionResult::Aborted => Err(StorageFault::Unavailable(
            "the browser aborted the write to IndexedDB".into(),
        )),
    }
}

impl From<idb::Error> for StorageFault {
    fn from(error: idb::Error) -> Self {
        match &error {
            idb::Error::DomException(exception) => Self::of(exception),
            idb::Error::IndexedDbNotFound(_) => {
                Self::Unavailable("this browser gives no IndexedDB here".into())
            }
            // Their texts name the operation; a full disk shows in the exception inside.
            _ if error.to_string().contains("QuotaExceededError") => Self::QuotaExceeded,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
