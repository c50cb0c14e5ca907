//! `IndexedDB`, as far as Holdfast needs it: a database with one object store, keys that are texts, and
//! writes that share transactions.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    IdbDatabase, IdbFactory, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbRequest, IdbTransaction,
};

use super::fault::StorageFault;
use super::group::WriteQueue;
use crate::browser::worker_scope;

/// Never raised: an upgrade waits for every old tab to close. What must differ gets a database of its
/// own, and rows carry versions.
const DATABASE_VERSION: u32 = 1;

// `IDBDatabase.transaction` with a durability, which web-sys keeps behind its unstable flag, and
// `IDBTransaction.commit`, which it calls deprecated.
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

    type CommittableTransaction;

    #[wasm_bindgen(method, catch)]
    fn commit(this: &CommittableTransaction) -> Result<(), JsValue>;
}

/// Name of a database and of the one object store in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableName {
    pub(super) database: &'static str,
    pub(super) store: &'static str,
}

/// An open database's object store. Clones share one connection and its transactions.
#[derive(Debug, Clone)]
pub(super) struct Table {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: IdbDatabase,
    store: &'static str,
    queue: RefCell<WriteQueue<Change>>,
}

#[derive(Debug)]
enum Change {
    Put {
        key: JsValue,
        value: JsValue,
    },
    /// A key or a range of keys.
    Delete(JsValue),
}

impl Table {
    /// Opens, making it where it is missing. In workers only.
    pub(super) async fn open(name: TableName) -> Result<Self, StorageFault> {
        let factory = worker_scope()
            .and_then(|worker| worker.indexed_db().ok().flatten())
            .ok_or_else(|| StorageFault::Unavailable("this browser gives no IndexedDB here".into()))?;
        let database = open(&factory, name).await?;
        Ok(Self {
            shared: Rc::new(Shared {
                database,
                store: name.store,
                queue: RefCell::default(),
            }),
        })
    }

    /// The value under a key, `undefined` where there is none.
    pub(super) async fn value(&self, key: &str) -> Result<JsValue, StorageFault> {
        let (_, store) = self.shared.transaction("readonly")?;
        answer(&store.get(&key.into()).map_err(thrown)?).await
    }

    /// All keys that begin with `prefix`, in order.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>, StorageFault> {
        let (_, store) = self.shared.transaction("readonly")?;
        let keys = store
            .get_all_keys_with_key(&beginning_with(prefix)?)
            .map_err(thrown)?;
        Ok(texts(&answer(&keys).await?))
    }

    /// All keys that begin with `prefix`, in order, each with its value.
    pub(super) async fn rows(&self, prefix: &str) -> Result<Vec<(String, JsValue)>, StorageFault> {
        let (_, store) = self.shared.transaction("readonly")?;
        let range = beginning_with(prefix)?;
        // Both asked before the first wait: a transaction ends when it has nothing to do.
        let keys = answer(&store.get_all_keys_with_key(&range).map_err(thrown)?);
        let values = answer(&store.get_all_with_key(&range).map_err(thrown)?);
        let (keys, values) = (texts(&keys.await?), Array::from(&values.await?));
        Ok(keys.into_iter().zip(values.iter()).collect())
    }

    /// Writes a row of about `size_bytes`, replacing the one before, and waits until it is on disk.
    /// Writes of one key are made in the order they were asked for.
    ///
    /// # Errors
    /// Those of its own: where the transaction fails that it shares with others, each is tried alone.
    /// # Cancellation
    /// Dropped before its transaction began, nothing is written.
    pub(super) async fn put(&self, key: &str, value: JsValue, size_bytes: u64) -> Result<(), StorageFault> {
        let key = key.into();
        self.write(Change::Put { key, value }, size_bytes).await
    }

    /// Deletes a row like [`Self::put`] writes one; one that isn't there is no error.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StorageFault> {
        self.write(Change::Delete(key.into()), 0).await
    }

    /// Deletes all rows whose keys begin with `prefix`.
    pub(super) async fn delete_from(&self, prefix: &str) -> Result<(), StorageFault> {
        self.write(Change::Delete(beginning_with(prefix)?), 0).await
    }

    async fn write(&self, change: Change, size_bytes: u64) -> Result<(), StorageFault> {
        let written = self.shared.queue.borrow_mut().push(change, size_bytes);
        // A task of its own: it begins after all others that are ready, so that their writes join, and
        // it ends what it began although this future may be dropped.
        spawn_local(Rc::clone(&self.shared).write_groups());
        written
            .await
            .unwrap_or_else(|_| Err(StorageFault::Unavailable("the write was given up".into())))
    }
}

impl Shared {
    async fn write_groups(self: Rc<Self>) {
        loop {
            let Some(group) = self.queue.borrow_mut().begin() else {
                return;
            };
            let written = self.write_group(&group.changes).await;
            self.queue.borrow_mut().end(group, written);
        }
    }

    /// One transaction for all; when it fails, one for each in the same order: a row for which there is no
    /// room must not take the others with it, nor the deletions that make room.
    async fn write_group(&self, changes: &[Change]) -> Vec<Result<(), StorageFault>> {
        match self.commit(changes).await {
            Err(_) if changes.len() > 1 => {
                let mut written = Vec::with_capacity(changes.len());
                for change in changes {
                    written.push(self.commit(std::slice::from_ref(change)).await);
                }
                written
            }
            result => vec![result; changes.len()],
        }
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), StorageFault> {
        let (transaction, store) = self.transaction("readwrite")?;
        for change in changes {
            let request = match change {
                Change::Put { key, value } => store.put_with_key(value, key),
                Change::Delete(keys) => store.delete(keys),
            };
            if let Err(refused) = request {
                // What was asked for before it must not be written alone.
                transaction.abort().ok();
                return Err(thrown(refused));
            }
        }
        // Not waiting for the requests' answers, where the browser can: it commits by itself all the same.
        drop(transaction.unchecked_ref::<CommittableTransaction>().commit());
        committed(&transaction).await
    }

    fn transaction(&self, mode: &str) -> Result<(IdbTransaction, IdbObjectStore), StorageFault> {
        let options = Object::new();
        // `strict`: on disk when it says so, not only on its way (Chromium's default since 121). What is
        // said to be safe must outlive a power cut; shared transactions pay for it.
        // <https://www.w3.org/TR/IndexedDB/#transaction-durability-hint>
        Reflect::set(&options, &"durability".into(), &"strict".into()).map_err(thrown)?;
        let database = self.database.unchecked_ref::<DurableDatabase>();
        let transaction = database
            .durable_transaction(self.store, mode, &options)
            .map_err(thrown)?;
        let store = transaction.object_store(self.store).map_err(thrown)?;
        Ok((transaction, store))
    }
}

async fn open(factory: &IdbFactory, name: TableName) -> Result<IdbDatabase, StorageFault> {
    let request: IdbOpenDbRequest = factory
        .open_with_u32(name.database, DATABASE_VERSION)
        .map_err(thrown)?;
    let opening = request.clone();
    let on_upgrade = Closure::once(move || {
        let database = opening.result().map(JsCast::unchecked_into::<IdbDatabase>);
        if let Ok(database) = database {
            // A failure shows when the store is first used.
            drop(database.create_object_store(name.store));
        }
    });
    request.set_onupgradeneeded(Some(on_upgrade.as_ref().unchecked_ref()));
    let database = answer(&request).await?;
    request.set_onupgradeneeded(None);
    Ok(database.unchecked_into())
}

/// A request's answer. Listens from the call on, not from the first wait: the answer may come before.
fn answer(request: &IdbRequest) -> impl Future<Output = Result<JsValue, StorageFault>> + use<> {
    let ended = JsFuture::from(Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    }));
    let request = request.clone();
    async move {
        match ended.await {
            Ok(_) => request.result().map_err(thrown),
            Err(_) => Err(failed(request.error().ok().flatten())),
        }
    }
}

/// Waits for a transaction's end.
async fn committed(transaction: &IdbTransaction) -> Result<(), StorageFault> {
    let ended = JsFuture::from(Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    }));
    ended.await.map(drop).map_err(|_| failed(transaction.error()))
}

fn failed(error: Option<web_sys::DomException>) -> StorageFault {
    error.map_or_else(
        || StorageFault::Unavailable("the browser aborted what was asked of IndexedDB".into()),
        |error| StorageFault::of(&error),
    )
}

/// All keys that begin with `prefix`, which are ASCII as all of this crate's.
fn beginning_with(prefix: &str) -> Result<JsValue, StorageFault> {
    let end = format!("{prefix}\u{7f}");
    IdbKeyRange::bound_with_lower_open_and_upper_open(&prefix.into(), &end.into(), false, true)
        .map(Into::into)
        .map_err(thrown)
}

fn texts(keys: &JsValue) -> Vec<String> {
    let as_text = |key: JsValue| key.as_string().unwrap_or_default();
    Array::from(keys).iter().map(as_text).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn thrown(thrown: JsValue) -> StorageFault {
    StorageFault::of(&thrown)
}
