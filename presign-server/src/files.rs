//! Files that may change while the server runs.

use std::path::PathBuf;
use std::time::SystemTime;

/// Files, and how they looked when they were last looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    files: Vec<(PathBuf, Look)>,
}

/// When a file was written and its size; `None` where it can't be seen.
type Look = Option<(SystemTime, u64)>;

impl Watched {
    /// Looks at the files for the first time.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let files = paths.into_iter().map(|path| {
            let look = look(&path);
            (path, look)
        });
        Self {
            files: files.collect(),
        }
    }

    /// Whether any of them looks different from the last time. By polling, not by the system's events:
    /// those miss files that are replaced by a link, as orchestrators do.
    pub(crate) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, last) in &mut self.files {
            let now = look(path);
            changed |= now != *last;
            *last = now;
        }
        changed
    }
}

fn look(path: &PathBuf) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_of_any_file_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "a").unwrap();
        let mut watched = Watched::new([one.clone(), two.clone()]);
        assert!(!watched.changed());
        std::fs::write(&one, "ab").unwrap();
        assert!(watched.changed());
        assert!(!watched.changed());
        std::fs::write(&two, "").unwrap();
        assert!(watched.changed());
        std::fs::remove_file(&one).unwrap();
        assert!(watched.changed());
        assert!(!watched.changed());
    }
}
