//! Secrets made once and kept in the data folder, readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A secret could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the secret {path:?}")]
pub struct SecretError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Random bytes of a new secret.
const SECRET_LENGTH_BYTES: usize = 32;

/// The secret in `path`, made at the first call: 43 URL-safe characters, mode 0600. Two processes that
/// make it at once agree on one.
pub(crate) fn secret_file(path: &Path) -> Result<String, SecretError> {
    let failed = |action| {
        let path = path.to_path_buf();
        move |source| SecretError { action, path, source }
    };
    if let Some(secret) = read(path).map_err(failed("read"))? {
        return Ok(secret);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
    }
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_LENGTH_BYTES]>());
    // Written whole beside it and linked into place, which fails where another process was first: no
    // reader ever sees half a secret.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    write_private(&draft, &secret).map_err(failed("write"))?;
    let linked = std::fs::hard_link(&draft, path);
    // A draft left behind is a secret nobody uses.
    let _ = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed("write")(error)),
        _ => read(path)
            .and_then(|secret| secret.ok_or_else(|| ErrorKind::NotFound.into()))
            .map_err(failed("read")),
    }
}

fn read(path: &Path) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    match File::open(path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) if text.trim().is_empty() => Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "it is empty: delete it to have a new one made",
        )),
        Ok(_) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/token-secret");
        let secret = secret_file(&path).unwrap();
        assert_eq!(secret.len(), 43);
        assert_eq!(secret_file(&path).unwrap(), secret);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn empty_secret_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "\n").unwrap();
        let error = secret_file(&path).unwrap_err();
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .contains("delete it")
        );
    }
}
