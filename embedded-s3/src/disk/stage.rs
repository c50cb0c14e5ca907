//! Takes a body in: hashes and writes it to a temporary file, 1 MiB at a time off the async threads.

use std::fs::File;
use std::io::{self, Write as _};

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::dto::StreamingBlob;

use super::{Discard, Layout, Trash, blocking};
use crate::checksum::{Digest, Digests};
use crate::config::Discarded;
use crate::store::StoreError;

/// Bytes gathered before they are handed to a blocking thread: large enough that the hand-over
/// costs nothing beside the writing, small enough that many uploads fit in memory.
const BATCH_BYTES: usize = 1024 * 1024;

/// A body on disk, synced, under a temporary name; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) file: Discard,
    pub(crate) digests: Digests,
}

struct Writer {
    file: File,
    digest: Digest,
    path: Discard,
    discard: Option<Discarded>,
}

/// Writes `body` to a temporary file, hashing with `digest`, and syncs it.
///
/// The body is read on while the batch before is being written. Dropping the future (the client
/// went away) removes the file.
pub(crate) async fn stage(
    layout: &Layout,
    trash: &Trash,
    body: Option<StreamingBlob>,
    digest: Digest,
    size_max_bytes: u64,
) -> Result<Staged, StoreError> {
    let path = trash.guard(layout.tmp_unique());
    let discard = layout.discard().cloned();
    let mut writing = tokio::task::spawn_blocking(move || {
        Ok(Writer {
            file: File::create_new(path.path())?,
            digest,
            path,
            discard,
        })
    });
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut total_bytes = 0_u64;
    if let Some(mut body) = body {
        while let Some(bytes) = body.next().await {
            let bytes: Bytes = bytes.map_err(StoreError::Body)?;
            total_bytes += bytes.len() as u64;
            if total_bytes > size_max_bytes {
                return Err(StoreError::EntityTooLarge { size_max_bytes });
            }
            batch_bytes += bytes.len();
            batch.push(bytes);
            if batch_bytes >= BATCH_BYTES {
                batch_bytes = 0;
                writing = next_write(writing, std::mem::take(&mut batch)).await?;
            }
        }
    }
    let writer = settled(writing).await?;
    blocking(move || {
        let mut writer = writer.append(&batch)?;
        if let Some(discard) = &writer.discard {
            writer.file.set_len(total_bytes)?;
            discard.count_body();
        }
        writer.file.flush()?;
        writer.file.sync_all()?;
        Ok(Staged {
            file: writer.path,
            digests: writer.digest.finish(),
        })
    })
    .await
    .and_then(|staged| staged)
    .map_err(StoreError::io("write an upload to", &layout.tmp()))
}

type Writing = tokio::task::JoinHandle<io::Result<Writer>>;

async fn next_write(writing: Writing, batch: Vec<Bytes>) -> Result<Writing, StoreError> {
    let writer = settled(writing).await?;
    Ok(tokio::task::spawn_blocking(move || writer.append(&batch)))
}

async fn settled(writing: Writing) -> Result<Writer, StoreError> {
    writing
        .await
        .map_err(io::Error::other)
        .and_then(|writer| writer)
        .map_err(StoreError::io("write an upload to", "tmp".as_ref()))
}

impl Writer {
    fn append(mut self, batch: &[Bytes]) -> io::Result<Self> {
        for bytes in batch {
            self.digest.update(bytes);
            match &self.discard {
                Some(discard) => discard.count_bytes(bytes.len()),
                None => self.file.write_all(bytes)?,
            }
        }
        Ok(self)
    }
}
