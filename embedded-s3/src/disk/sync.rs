//! Writes that are on the disk when they return.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a new file and syncs its bytes. Its name is durable after [`sync_dir`] of its folder.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the names inside a folder durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Moves `from` to `to` and makes the new name durable: the commit of everything written here.
///
/// When the sync fails the move is undone as far as possible, since the caller answers an error.
pub(crate) fn rename_synced(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let Some(folder) = to.parent() else {
        return Ok(());
    };
    sync_dir(folder).inspect_err(|_| {
        if let Err(error) = fs::rename(to, from) {
            tracing::error!(?to, %error, "cannot undo a rename whose sync failed");
        }
    })
}
