//! Staged parts in OPFS: `holdfast/{realm}/{clientUploadId}/{partNumber}-{crc}`.
//!
//! One file a part: while a file is written, blobs taken from it earlier turn unreadable, and each
//! part's bytes are freed once the store has them.

use std::collections::BTreeSet;

use futures::future::join_all;
use js_sys::{Function, Promise, Reflect};
use upload_engine::StagedPart;
use upload_protocol::{ClientUploadId, Crc64Nvme, PartNumber};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemRemoveOptions,
};

use super::fault::StorageFault;
use super::part_name::{self, PartFileName};
use crate::browser::{crypto_uuid, storage_manager};
use crate::view::size_from_js;

/// Files asked for their size at a time when a folder is listed.
const LIST_BATCH: usize = 32;

// `move` is not in web-sys. Chromium and Firefox have it, for files inside OPFS.
// <https://github.com/whatwg/fs/blob/main/proposals/MovingNonOpfsFiles.md>
#[wasm_bindgen]
extern "C" {
    type MovableFile;

    #[wasm_bindgen(method, getter, js_name = move)]
    fn move_method(this: &MovableFile) -> Option<Function>;
}

/// The parts of one realm.
#[derive(Debug, Clone)]
pub struct PartFolder {
    root: FileSystemDirectoryHandle,
}

/// A part while it is being written.
#[derive(Debug)]
pub struct HalfPart {
    folder: FileSystemDirectoryHandle,
    name: String,
    part: PartNumber,
    /// Where to write.
    pub handle: FileSystemFileHandle,
}

impl PartFolder {
    /// Whether this context could write parts: a dedicated worker of a browser with all that takes.
    pub async fn can_write() -> bool {
        let prototype = Reflect::get(&js_sys::global(), &"FileSystemFileHandle".into())
            .and_then(|class| Reflect::get(&class, &"prototype".into()));
        let has = |method: &str| {
            prototype.as_ref().is_ok_and(|prototype| {
                Reflect::get(prototype, &method.into()).is_ok_and(|found| found.is_function())
            })
        };
        has("createSyncAccessHandle") && has("move") && origin_folder().await.is_ok()
    }

    /// Opens, making it where it is missing. `realm` is [`crate::realm::Realm::storage_name`].
    pub async fn open(realm: &str) -> Result<Self, StorageFault> {
        let holdfast = subfolder(&origin_folder().await?, "holdfast").await?;
        Ok(Self {
            root: subfolder(&holdfast, realm).await?,
        })
    }

    /// A new file for a part's bytes.
    pub async fn begin(&self, upload: ClientUploadId, part: PartNumber) -> Result<HalfPart, StorageFault> {
        let folder = subfolder(&self.root, &upload.to_string()).await?;
        let name = part_name::half(part, crypto_uuid());
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        let handle = wait_for(folder.get_file_handle_with_options(&name, &options)).await?;
        Ok(HalfPart {
            folder,
            name,
            part,
            handle,
        })
    }

    /// A staged part's file, when it has the size it must have.
    pub(super) async fn read(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
        size_bytes: u64,
    ) -> Result<File, StorageFault> {
        let folder: FileSystemDirectoryHandle =
            wait_for(self.root.get_directory_handle(&upload.to_string())).await?;
        let handle: FileSystemFileHandle =
            wait_for(folder.get_file_handle(&part_name::whole(part, crc))).await?;
        let file: File = wait_for(handle.get_file()).await?;
        match size_from_js(file.size()) {
            Some(size) if size == size_bytes => Ok(file),
            _ => Err(StorageFault::Unavailable(format!(
                "its file has {} bytes, expected {size_bytes}",
                file.size()
            ))),
        }
    }

    /// The whole parts of an upload. Halves are deleted: their writers are gone.
    pub(super) async fn list(&self, upload: ClientUploadId) -> Vec<StagedPart> {
        let Ok(folder) =
            wait_for::<FileSystemDirectoryHandle>(self.root.get_directory_handle(&upload.to_string())).await
        else {
            return Vec::new();
        };
        let mut whole = Vec::new();
        for name in names(&folder).await {
            match part_name::read(&name) {
                Some(PartFileName::Whole(part, crc)) => whole.push((name, part, crc)),
                Some(PartFileName::Half) => drop(remove(&folder, &name).await),
                None => {}
            }
        }
        let mut parts = Vec::with_capacity(whole.len());
        for batch in whole.chunks(LIST_BATCH) {
            let sizes = join_all(batch.iter().map(|(name, _, _)| size_of(&folder, name))).await;
            for ((_, part, crc), size_bytes) in batch.iter().zip(sizes) {
                parts.extend(size_bytes.map(|size_bytes| StagedPart {
                    part: *part,
                    crc: *crc,
                    size_bytes,
                }));
            }
        }
        parts
    }

    /// Deletes a part. `false` when it isn't there.
    pub(super) async fn free(
        &self,
        upload: ClientUploadId,
        part: PartNumber,
        crc: Crc64Nvme,
    ) -> Result<bool, StorageFault> {
        let folder =
            wait_for::<FileSystemDirectoryHandle>(self.root.get_directory_handle(&upload.to_string())).await;
        let removed = match folder {
            Ok(folder) => remove(&folder, &part_name::whole(part, crc)).await,
            Err(fault) => Err(fault),
        };
        match removed {
            Ok(()) => Ok(true),
            Err(StorageFault::NotFound) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Deletes all parts of an upload.
    pub(super) async fn remove_upload(&self, upload: ClientUploadId) -> Result<(), StorageFault> {
        gone(remove(&self.root, &upload.to_string()).await)
    }

    /// Deletes the folders of all uploads but these. Answers which of these have one.
    pub(super) async fn retain(&self, wanted: &BTreeSet<ClientUploadId>) -> Vec<ClientUploadId> {
        let mut kept = Vec::new();
        for name in names(&self.root).await {
            match ClientUploadId::parse(&name) {
                Some(upload) if wanted.contains(&upload) => kept.push(upload),
                // What can't be deleted now, because somebody still writes, is tried again next time.
                Some(_) => drop(remove(&self.root, &name).await),
                None => {}
            }
        }
        kept
    }
}

impl HalfPart {
    /// Gives the file its name: from now on the part is whole. The writer must have flushed and closed.
    pub async fn finish(self, crc: Crc64Nvme) -> Result<(), StorageFault> {
        let name = part_name::whole(self.part, crc);
        if self.rename(&name).await.is_ok() {
            return Ok(());
        }
        // Some browsers don't replace a file by a move. The one that is there was written by an earlier
        // attempt; its name says that its bytes are the same, but only this one is known to be whole.
        gone(remove(&self.folder, &name).await)?;
        let renamed = self.rename(&name).await;
        if renamed.is_err() {
            self.discard().await;
        }
        renamed
    }

    /// Deletes the file.
    pub async fn discard(&self) {
        drop(remove(&self.folder, &self.name).await);
    }

    async fn rename(&self, name: &str) -> Result<(), StorageFault> {
        let file = self.handle.unchecked_ref::<MovableFile>();
        let method = file
            .move_method()
            .ok_or_else(|| StorageFault::Unavailable("this browser can't rename files (OPFS)".into()))?;
        let promise: Promise = method
            .call1(file, &name.into())
            .map_err(|thrown| StorageFault::of(&thrown))?
            .dyn_into()
            .map_err(|_| StorageFault::Unavailable("renaming a file answered no promise".into()))?;
        JsFuture::from(promise)
            .await
            .map(drop)
            .map_err(|thrown| StorageFault::of(&thrown))
    }
}

async fn origin_folder() -> Result<FileSystemDirectoryHandle, StorageFault> {
    let unavailable = || StorageFault::Unavailable("this browser gives no file system here (OPFS)".into());
    let manager = storage_manager().ok_or_else(unavailable)?;
    // An older browser has the manager, but not the method: calling it would throw through us.
    let has_method = Reflect::get(&manager, &"getDirectory".into()).is_ok_and(|found| found.is_function());
    if !has_method {
        return Err(unavailable());
    }
    wait_for(manager.get_directory()).await
}

async fn subfolder(
    folder: &FileSystemDirectoryHandle,
    name: &str,
) -> Result<FileSystemDirectoryHandle, StorageFault> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    wait_for(folder.get_directory_handle_with_options(name, &options)).await
}

async fn remove(folder: &FileSystemDirectoryHandle, name: &str) -> Result<(), StorageFault> {
    let options = FileSystemRemoveOptions::new();
    options.set_recursive(true);
    JsFuture::from(folder.remove_entry_with_options(name, &options))
        .await
        .map(drop)
        .map_err(|thrown| StorageFault::of(&thrown))
}

/// What isn't there is deleted.
fn gone(removed: Result<(), StorageFault>) -> Result<(), StorageFault> {
    match removed {
        Err(StorageFault::NotFound) => Ok(()),
        other => other,
    }
}

/// The names in a folder, as far as the browser tells them.
async fn names(folder: &FileSystemDirectoryHandle) -> Vec<String> {
    let mut names = Vec::new();
    let iterator = folder.keys();
    loop {
        let Ok(promise) = iterator.next() else { break };
        let Ok(step) = JsFuture::from(promise).await else {
            break;
        };
        let step: js_sys::IteratorNext = step.unchecked_into();
        if step.done() {
            break;
        }
        names.extend(step.value().as_string());
    }
    names
}

async fn size_of(folder: &FileSystemDirectoryHandle, name: &str) -> Option<u64> {
    let handle: FileSystemFileHandle = wait_for(folder.get_file_handle(name)).await.ok()?;
    let file: File = wait_for(handle.get_file()).await.ok()?;
    size_from_js(file.size())
}

/// Waits for a promise and casts what it answers.
async fn wait_for<T: JsCast>(promise: Promise) -> Result<T, StorageFault> {
    let value = JsFuture::from(promise)
        .await
        .map_err(|thrown| StorageFault::of(&thrown))?;
    value.dyn_into().map_err(|_| {
        StorageFault::Unavailable("the browser answered something that is no file handle".into())
    })
}
