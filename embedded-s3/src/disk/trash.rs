//! Removes what is no longer needed, on a thread of its own: unlinking gigabytes takes time that no
//! request should wait for.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

/// Hands paths to the removing thread. What it does not reach before the process ends lies in the
/// temporary folder, which the next start empties.
#[derive(Debug, Clone)]
pub(crate) struct Trash {
    sender: Sender<PathBuf>,
}

/// Removes a path when dropped, unless it was kept.
#[derive(Debug)]
pub(crate) struct Discard {
    path: Option<PathBuf>,
    trash: Trash,
}

impl Trash {
    /// Starts the removing thread, which ends with the last clone of this.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = channel::<PathBuf>();
        std::thread::Builder::new()
            .name("embedded-s3-trash".to_owned())
            .spawn(move || {
                for path in receiver {
                    remove(&path);
                }
            })?;
        Ok(Self { sender })
    }

    pub(crate) fn discard(&self, path: PathBuf) {
        // The thread lives as long as a sender does; were it gone, the next start would sweep.
        let _ = self.sender.send(path);
    }

    pub(crate) fn guard(&self, path: PathBuf) -> Discard {
        Discard {
            path: Some(path),
            trash: self.clone(),
        }
    }
}

impl Discard {
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Leaves the path alone from now on: it was moved to where it belongs.
    pub(crate) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Discard {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            self.trash.discard(path);
        }
    }
}

fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    if let Err(error) = removed
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(?path, %error, "cannot remove what is no longer needed");
    }
}
