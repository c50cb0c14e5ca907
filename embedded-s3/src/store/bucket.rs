//! One bucket: its indexes, and the commits and deletes of its objects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};

use super::recover::BucketContent;
use super::{Manifest, Sequence, StoreError, StoredObject, Upload, WriteCondition};
use super::{lock, read, write};
use crate::disk::{Discard, Layout, OBJECT_FILE, OBJECTS, Trash, UPLOADS};
use crate::disk::{object_dir_name, rename_synced, sync_dir, write_synced};

/// Locks that writers of one key share; keys are spread over them by hash.
const COMMIT_LOCKS: usize = 64;

/// What `bucket.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    pub(crate) name: String,
    pub(crate) created_ms: u64,
}

/// A bucket and the index of what it holds.
#[derive(Debug)]
pub(crate) struct Bucket {
    record: BucketRecord,
    pub(super) layout: Layout,
    pub(super) trash: Trash,
    pub(super) sequence: Arc<Sequence>,
    pub(super) objects: RwLock<BTreeMap<String, Arc<StoredObject>>>,
    /// By key and upload id.
    pub(super) uploads: RwLock<BTreeMap<(String, String), Arc<Upload>>>,
    /// Keys of the objects that multipart uploads made, by upload id.
    pub(super) completed: RwLock<HashMap<String, String>>,
    commits: [Mutex<()>; COMMIT_LOCKS],
    /// Folders below `objects` whose names this process has made durable.
    shards_synced: Mutex<HashSet<String>>,
    /// True once the bucket is deleted. Writers hold it for reading, the delete for writing.
    retired: RwLock<bool>,
}

/// An object ready to be committed.
#[derive(Debug)]
pub(crate) struct NewObject {
    /// Folder with the part files; `object.json` is added to it.
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) condition: WriteCondition,
}

impl Bucket {
    pub(super) fn new(
        content: BucketContent,
        layout: &Layout,
        trash: &Trash,
        sequence: &Arc<Sequence>,
    ) -> Self {
        let completed = content
            .objects
            .values()
            .filter_map(|object| Some((object.manifest.upload_id.clone()?, object)))
            .map(|(id, object)| (id, object.manifest.key.clone()))
            .collect();
        Self {
            record: content.record,
            layout: layout.clone(),
            trash: trash.clone(),
            sequence: Arc::clone(sequence),
            objects: RwLock::new(content.objects),
            uploads: RwLock::new(content.uploads),
            completed: RwLock::new(completed),
            commits: [const { Mutex::new(()) }; COMMIT_LOCKS],
            shards_synced: Mutex::new(HashSet::new()),
            retired: RwLock::new(false),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.record.name
    }

    pub(crate) fn created_ms(&self) -> u64 {
        self.record.created_ms
    }

    pub(crate) fn object(&self, key: &str) -> Result<Arc<StoredObject>, StoreError> {
        read(&self.objects).get(key).cloned().ok_or(StoreError::NoSuchKey)
    }

    /// Runs `look` on the index of objects, ordered by key. Writers wait meanwhile: be brief.
    pub(crate) fn with_objects<T>(&self, look: impl FnOnce(&BTreeMap<String, Arc<StoredObject>>) -> T) -> T {
        look(&read(&self.objects))
    }

    /// Commits an object made of one staged file, or of none.
    pub(crate) fn put(
        &self,
        file: Discard,
        manifest: Manifest,
        condition: WriteCondition,
    ) -> Result<Arc<StoredObject>, StoreError> {
        let dir = self.trash.guard(self.layout.tmp_unique());
        fs::create_dir(dir.path()).map_err(StoreError::io("make folder", dir.path()))?;
        for part in &manifest.parts {
            let to = dir.path().join(&part.file);
            fs::rename(file.path(), &to).map_err(StoreError::io("move an upload to", &to))?;
        }
        file.keep();
        self.commit_staged(dir, manifest, condition)
    }

    /// Commits a staged folder with part files, and leaves nothing of it when refused.
    pub(crate) fn commit_staged(
        &self,
        dir: Discard,
        manifest: Manifest,
        condition: WriteCondition,
    ) -> Result<Arc<StoredObject>, StoreError> {
        let _present = self.present()?;
        let object = self.commit(NewObject {
            dir: dir.path().to_path_buf(),
            manifest,
            condition,
        })?;
        dir.keep();
        Ok(object)
    }

    /// Makes `new` the object at its key: checks the condition and commits under the key's lock.
    ///
    /// One rename is the commit. The caller holds [`Bucket::present`].
    pub(super) fn commit(&self, new: NewObject) -> Result<Arc<StoredObject>, StoreError> {
        let NewObject {
            dir,
            manifest,
            condition,
        } = new;
        let key = manifest.key.clone();
        write_manifest(&dir, &manifest).map_err(StoreError::io("write a manifest in", &dir))?;

        let _commit = lock(self.commit_lock(&key));
        let replaced = read(&self.objects).get(&key).cloned();
        condition.check(replaced.as_deref())?;
        let (shard, name) = object_dir_name(&key, self.sequence.next());
        let place = self.make_shard(&shard)?.join(name);
        rename_synced(&dir, &place).map_err(StoreError::io("commit an object to", &place))?;

        let object = Arc::new(StoredObject::new(manifest, place, &self.trash));
        if let Some(id) = &object.manifest.upload_id {
            write(&self.completed).insert(id.clone(), key.clone());
        }
        write(&self.objects).insert(key, Arc::clone(&object));
        if let Some(replaced) = replaced {
            // Before this is answered: the old object must never come back after a later delete.
            self.condemn(&replaced)
                .map_err(StoreError::io("remove a replaced object to", &self.layout.tmp()))?;
        }
        Ok(object)
    }

    /// Deletes the object at `key`; absent is fine, as in S3. `check` may refuse under the lock.
    pub(crate) fn delete(
        &self,
        key: &str,
        check: impl FnOnce(Option<&StoredObject>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _present = self.present()?;
        let _commit = lock(self.commit_lock(key));
        let object = read(&self.objects).get(key).cloned();
        check(object.as_deref())?;
        let Some(object) = object else {
            return Ok(());
        };
        self.condemn(&object)
            .map_err(StoreError::io("remove an object to", &self.layout.tmp()))?;
        write(&self.objects).remove(key);
        Ok(())
    }

    /// Holds off the bucket's deletion while a write is committed.
    pub(super) fn present(&self) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let retired = read(&self.retired);
        if *retired {
            return Err(StoreError::NoSuchBucket);
        }
        Ok(retired)
    }

    /// Takes the bucket off the disk, if it is empty. Nothing is written to it afterwards.
    pub(super) fn retire(&self) -> Result<(), StoreError> {
        let mut retired = write(&self.retired);
        let objects = read(&self.objects).len();
        if objects > 0 {
            return Err(StoreError::BucketNotEmpty { objects });
        }
        let (from, to) = (self.dir(), self.layout.tmp_unique());
        fs::rename(&from, &to)
            .and_then(|()| sync_dir(&self.layout.buckets()))
            .map_err(StoreError::io("remove bucket", &from))?;
        self.trash.discard(to);
        *retired = true;
        Ok(())
    }

    pub(super) fn uploads_dir(&self) -> PathBuf {
        self.dir().join(UPLOADS)
    }

    fn dir(&self) -> PathBuf {
        self.layout.bucket(self.name())
    }

    fn condemn(&self, object: &StoredObject) -> std::io::Result<()> {
        object.condemn(self.layout.tmp_unique())?;
        if let Some(id) = &object.manifest.upload_id {
            write(&self.completed).remove(id);
        }
        Ok(())
    }

    fn commit_lock(&self, key: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % COMMIT_LOCKS as u64).unwrap_or(0);
        &self.commits[index]
    }

    fn make_shard(&self, shard: &str) -> Result<PathBuf, StoreError> {
        let objects = self.dir().join(OBJECTS);
        let path = objects.join(shard);
        // That the folder is there does not say that its name is on the disk: another commit may have
        // just made it, or its sync may have failed. Only a sync that ended well is remembered.
        if !lock(&self.shards_synced).contains(shard) {
            fs::create_dir_all(&path)
                .and_then(|()| sync_dir(&objects))
                .map_err(StoreError::io("make folder", &path))?;
            lock(&self.shards_synced).insert(shard.to_owned());
        }
        Ok(path)
    }
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> std::io::Result<()> {
    write_synced(&dir.join(OBJECT_FILE), &serde_json::to_vec(manifest)?)?;
    sync_dir(dir)
}
