//! Files and folders: names, synced writes, bodies on their way in and out.

mod layout;
mod names;
mod read;
mod stage;
mod sync;
mod trash;

pub(crate) use layout::{BUCKET_FILE, Layout, OBJECT_FILE, OBJECTS, UPLOAD_FILE, UPLOADS};
pub(crate) use names::{PartFileName, hex, object_dir_name, parse_object_dir_name};
pub(crate) use read::{PartSlice, read_stream};
pub(crate) use stage::{Staged, stage};
pub(crate) use sync::{rename_synced, sync_dir, write_synced};
pub(crate) use trash::{Discard, Trash};

/// Runs blocking work on its own thread; its panic becomes an I/O error of this request alone.
pub(crate) async fn blocking<T, F>(work: F) -> std::io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)
}
