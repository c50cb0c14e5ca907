//! The store itself, apart from HTTP and S3's wire: buckets, objects, uploads, and what a start
//! finds of them on disk.

mod bucket;
mod complete;
mod condition;
mod error;
mod listing;
mod object;
mod recover;
mod upload;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::OpenError;
use crate::disk::{BUCKET_FILE, Layout, OBJECTS, Trash, UPLOADS};
use crate::disk::{rename_synced, sync_dir, write_synced};

pub(crate) use bucket::{Bucket, BucketRecord, NewObject};
pub(crate) use complete::{CompleteRequest, ListedPart};
pub(crate) use condition::WriteCondition;
pub(crate) use error::StoreError;
pub(crate) use listing::{Entry, Page, PageQuery, list_page};
pub(crate) use object::{Manifest, ObjectHeaders, PartRecord, StoredObject, body_etag};
pub(crate) use upload::{NewUpload, Upload, UploadRecord, UploadedPart};

/// Everything in one data folder.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) layout: Layout,
    pub(crate) trash: Trash,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    sequence: Arc<Sequence>,
    /// Held until the process ends: two processes would each believe their own index.
    _lock: File,
}

/// Numbers commits, across restarts too: of two writes of one key the higher is the newer.
#[derive(Debug)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Store {
    /// Opens the folder, sweeps what a killed process left half-written, and rebuilds the indexes.
    pub(crate) fn open(layout: Layout, buckets: &[String]) -> Result<Self, OpenError> {
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenError::Io { action, path, source }
        };
        let root = layout.root();
        fs::create_dir_all(layout.buckets()).map_err(io("make folder", root))?;
        let lock = lock_folder(&layout)?;
        match fs::remove_dir_all(layout.tmp()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("empty folder", &layout.tmp())(error));
            }
            _ => fs::create_dir(layout.tmp()).map_err(io("make folder", &layout.tmp()))?,
        }
        sync_dir(root).map_err(io("sync folder", root))?;
        let trash = Trash::start().map_err(io("start a thread for", root))?;

        let found = recover::recover(&layout, &trash).map_err(io("read folder", root))?;
        let sequence = Arc::new(Sequence(AtomicU64::new(found.sequence_next)));
        let indexed = found
            .buckets
            .into_iter()
            .map(|content| {
                let bucket = Bucket::new(content, &layout, &trash, &sequence);
                (bucket.name().to_owned(), Arc::new(bucket))
            })
            .collect();
        let store = Self {
            layout,
            trash,
            buckets: RwLock::new(indexed),
            sequence,
            _lock: lock,
        };
        for name in buckets {
            match store.create_bucket(name) {
                Ok(()) | Err(StoreError::BucketAlreadyOwnedByYou) => {}
                Err(StoreError::Io { source, .. }) => {
                    return Err(io("make bucket", &store.layout.bucket(name))(source));
                }
                Err(_) => return Err(OpenError::BucketName { name: name.clone() }),
            }
        }
        Ok(store)
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<Bucket>, StoreError> {
        read(&self.buckets)
            .get(name)
            .cloned()
            .ok_or(StoreError::NoSuchBucket)
    }

    pub(crate) fn buckets(&self) -> Vec<Arc<Bucket>> {
        read(&self.buckets).values().cloned().collect()
    }

    pub(crate) fn create_bucket(&self, name: &str) -> Result<(), StoreError> {
        if !s3s::path::check_bucket_name(name) {
            return Err(StoreError::InvalidBucketName);
        }
        let mut buckets = write(&self.buckets);
        if buckets.contains_key(name) {
            return Err(StoreError::BucketAlreadyOwnedByYou);
        }
        let record = BucketRecord {
            name: name.to_owned(),
            created_ms: now_ms(),
        };
        let staged = self.trash.guard(self.layout.tmp_unique());
        let path = self.layout.bucket(name);
        make_bucket_dir(staged.path(), &record)
            .and_then(|()| rename_synced(staged.path(), &path))
            .map_err(StoreError::io("make bucket", &path))?;
        staged.keep();
        let content = recover::BucketContent::empty(record);
        let bucket = Bucket::new(content, &self.layout, &self.trash, &self.sequence);
        buckets.insert(name.to_owned(), Arc::new(bucket));
        Ok(())
    }

    /// Removes an empty bucket with the uploads that were under way in it.
    pub(crate) fn delete_bucket(&self, name: &str) -> Result<(), StoreError> {
        let mut buckets = write(&self.buckets);
        let bucket = buckets.get(name).ok_or(StoreError::NoSuchBucket)?;
        bucket.retire()?;
        buckets.remove(name);
        Ok(())
    }
}

fn make_bucket_dir(path: &Path, record: &BucketRecord) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::create_dir(path.join(UPLOADS))?;
    fs::create_dir(path.join(OBJECTS))?;
    write_synced(&path.join(BUCKET_FILE), &serde_json::to_vec(record)?)?;
    sync_dir(path)
}

fn lock_folder(layout: &Layout) -> Result<File, OpenError> {
    let path = layout.lock();
    let open = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let lock = open.map_err(|source| OpenError::Io {
        action: "open",
        path: path.clone(),
        source,
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: layout.root().to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io {
            action: "lock",
            path,
            source,
        }),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    to_ms(SystemTime::now())
}

pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(ms))
        .unwrap_or(UNIX_EPOCH)
}

// A poisoned lock means that a request panicked between two plain assignments; the maps behind these
// locks are whole at every such point, so the other requests go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
