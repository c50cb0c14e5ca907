//! The file of clients: read, changed by one process at a time, watched.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

use super::Role;
use super::api_key::ApiKey;
use super::clients::{Client, ClientKey, Clients, ClientsError};
use super::limits::ContentPattern;

/// Longest file that is read: some ten thousand clients.
const FILE_LENGTH_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Longest life of a key in days, where it is limited at all.
pub(crate) const KEY_LIFETIME_DAYS_MAX: u32 = 36_500;

/// What stands above the clients.
const HEADER: &str =
    "# Clients of Holdfast and the hashes of their API keys. `presign-server keys` writes this file:
# comments are not kept. A running server takes up changes within seconds.
";

/// The file of clients.
#[derive(Debug, Clone)]
pub struct ClientsFile {
    path: PathBuf,
}

/// The file of clients could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientsFileError {
    /// There is none.
    #[error(
        "there is no clients file {path:?}: make it with `presign-server keys create --client NAME --clients-file …`"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} the clients file {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// It is longer than any that is meant.
    #[error("the clients file {path:?} is above the {FILE_LENGTH_BYTES_MAX}-byte maximum")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It holds something that can't be used.
    #[error("the clients file {path:?} can't be used: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: ClientsError,
    },
    /// A client that is there already was to be given other limits.
    #[error(
        "client `{client}` is there already: a further key takes its role and limits as they are; change them in {path:?}"
    )]
    ClientExists {
        /// Its name.
        client: String,
        /// The file.
        path: PathBuf,
    },
    /// There is no key of this id.
    #[error("there is no key `{key_id}` in {path:?}: `presign-server keys list` shows them")]
    NoSuchKey {
        /// The id asked for.
        key_id: String,
        /// The file.
        path: PathBuf,
    },
    /// A key's life is longer than can be said.
    #[error("a key of {days} days is outside 1 to {KEY_LIFETIME_DAYS_MAX}")]
    Lifetime {
        /// What was asked for.
        days: u32,
    },
}

/// What a new key is to be: the first of a new client, or one more of an old one.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// The client's name.
    pub client: String,
    /// See [`Client::role`].
    pub role: Option<Role>,
    /// See [`Client::key_prefix`].
    pub key_prefix: Option<String>,
    /// See [`Client::file_size_bytes_max`].
    pub file_size_bytes_max: Option<u64>,
    /// See [`Client::bytes_in_flight_max`].
    pub bytes_in_flight_max: Option<u64>,
    /// See [`Client::content_types`].
    pub content_types: Vec<ContentPattern>,
    /// How long the key lives, in days; for ever where left out.
    pub expires_in_days: Option<u32>,
}

impl ClientsFile {
    /// The file of this name, there or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text. Blocks.
    ///
    /// # Errors
    /// [`ClientsFileError::Missing`], `Io`, `TooLong`.
    pub fn read(&self) -> Result<String, ClientsFileError> {
        let path = self.path.clone();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ClientsFileError::Missing { path });
            }
            Err(source) => return Err(self.io("open")(source)),
        };
        let mut text = String::new();
        let mut limited = file.take(FILE_LENGTH_BYTES_MAX + 1);
        let length = limited.read_to_string(&mut text).map_err(self.io("read"))?;
        if u64::try_from(length).unwrap_or(u64::MAX) > FILE_LENGTH_BYTES_MAX {
            return Err(ClientsFileError::TooLong { path });
        }
        Ok(text)
    }

    /// The clients of its text.
    ///
    /// # Errors
    /// [`ClientsFileError::Content`].
    pub fn parse(&self, text: &str) -> Result<Clients, ClientsFileError> {
        Clients::parse(text).map_err(|reason| self.content(reason))
    }

    /// The clients. Blocks.
    ///
    /// # Errors
    /// [`ClientsFileError`], each with what to do.
    pub fn load(&self) -> Result<Clients, ClientsFileError> {
        self.parse(&self.read()?)
    }

    /// Adds a key, and its client where that is new; makes the file where there is none. The key is
    /// answered this once and kept nowhere. Blocks.
    ///
    /// # Errors
    /// [`ClientsFileError::ClientExists`] when limits are named for a client that has some.
    pub fn create_key(&self, new: NewKey) -> Result<ApiKey, ClientsFileError> {
        let created = now_in_seconds();
        let expires = match new.expires_in_days {
            Some(days) => Some(expiry(created, days)?),
            None => None,
        };
        let key = ApiKey::random();
        let kept = ClientKey::of(&key, created, expires);
        self.change(|clients| {
            if let Some(client) = clients
                .clients
                .iter_mut()
                .find(|client| client.name == new.client)
            {
                if new.says_limits() {
                    let (client, path) = (new.client.clone(), self.path.clone());
                    return Err(ClientsFileError::ClientExists { client, path });
                }
                client.keys.push(kept);
                return Ok(());
            }
            clients.clients.push(Client {
                name: new.client,
                role: new.role.unwrap_or_default(),
                key_prefix: new.key_prefix,
                file_size_bytes_max: new.file_size_bytes_max,
                bytes_in_flight_max: new.bytes_in_flight_max,
                content_types: new.content_types,
                keys: vec![kept],
            });
            Ok(())
        })?;
        Ok(key)
    }

    /// Takes a key away; answers its client's name. The client stays. Blocks.
    ///
    /// # Errors
    /// [`ClientsFileError::NoSuchKey`].
    pub fn revoke_key(&self, key_id: &str) -> Result<String, ClientsFileError> {
        if !self.path.exists() {
            let path = self.path.clone();
            return Err(ClientsFileError::Missing { path });
        }
        let mut revoked = None;
        self.change(|clients| {
            for client in &mut clients.clients {
                let before = client.keys.len();
                client.keys.retain(|key| key.id != key_id);
                if client.keys.len() < before {
                    revoked = Some(client.name.clone());
                }
            }
            if revoked.is_some() {
                return Ok(());
            }
            Err(ClientsFileError::NoSuchKey {
                key_id: key_id
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(80)
                    .collect(),
                path: self.path.clone(),
            })
        })?;
        Ok(revoked.unwrap_or_default())
    }

    /// Reads, changes and writes under a lock, so that two who do so at once lose nothing. The lock is
    /// on a file beside it: the file itself is replaced.
    fn change(
        &self,
        change: impl FnOnce(&mut Clients) -> Result<(), ClientsFileError>,
    ) -> Result<(), ClientsFileError> {
        // What a link leads to is changed, not the link.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let lock = private_file(&beside(&target, "lock"), false).map_err(self.io("lock"))?;
        lock.lock().map_err(self.io("lock"))?;
        let mut clients = match self.load() {
            Ok(clients) => clients,
            Err(ClientsFileError::Missing { .. }) => Clients::default(),
            Err(error) => return Err(error),
        };
        change(&mut clients)?;
        let checked = clients.checked().map_err(|reason| self.content(reason))?;
        let text = checked.to_yaml().map_err(|reason| self.content(reason))?;
        // Written whole beside it and renamed: a reader finds the old file or the new one.
        let draft = beside(&target, "new");
        let mut file = private_file(&draft, true).map_err(self.io("write"))?;
        file.write_all(format!("{HEADER}{text}").as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&draft, &target))
            .and_then(|()| sync_folder(&target))
            .map_err(self.io("write"))
    }

    fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> ClientsFileError + use<> {
        let path = self.path.clone();
        move |source| ClientsFileError::Io { action, path, source }
    }

    fn content(&self, reason: ClientsError) -> ClientsFileError {
        let path = self.path.clone();
        ClientsFileError::Content { path, reason }
    }
}

impl NewKey {
    fn says_limits(&self) -> bool {
        self.role.is_some()
            || self.key_prefix.is_some()
            || self.file_size_bytes_max.is_some()
            || self.bytes_in_flight_max.is_some()
            || !self.content_types.is_empty()
    }
}

fn now_in_seconds() -> Timestamp {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn expiry(created: Timestamp, days: u32) -> Result<Timestamp, ClientsFileError> {
    let error = || ClientsFileError::Lifetime { days };
    if !(1..=KEY_LIFETIME_DAYS_MAX).contains(&days) {
        return Err(error());
    }
    let life = SignedDuration::from_hours(24 * i64::from(days));
    created.checked_add(life).map_err(|_| error())
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Opens a file that only its owner reads, making it where there is none.
fn private_file(path: &Path, truncate: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // One left behind by another may be open to more.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// The rename is on disk when its folder is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_key(client: &str) -> NewKey {
        NewKey {
            client: client.to_owned(),
            ..NewKey::default()
        }
    }

    #[test]
    fn keys_made_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        let keys: Vec<ApiKey> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..16)
                .map(|index| {
                    let file = file.clone();
                    scope.spawn(move || {
                        file.create_key(new_key(&format!("client-{}", index % 4)))
                            .unwrap()
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let clients = file.load().unwrap();
        assert_eq!(clients.clients.len(), 4);
        assert!(keys.iter().all(|key| clients.client_of(key).is_some()));
    }

    #[cfg(unix)]
    #[test]
    fn link_to_the_file_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = ClientsFile::new(folder.path().join("real.yaml"));
        real.create_key(new_key("acme")).unwrap();
        let link = ClientsFile::new(folder.path().join("link.yaml"));
        std::os::unix::fs::symlink(real.path(), link.path()).unwrap();
        link.create_key(new_key("acme")).unwrap();
        assert!(std::fs::symlink_metadata(link.path()).unwrap().is_symlink());
        assert_eq!(real.load().unwrap().client("acme").unwrap().keys.len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_what_is_written() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        std::fs::write(folder.path().join("clients.yaml.new"), "left behind").unwrap();
        file.create_key(new_key("acme")).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn file_with_something_nobody_knows_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        let text = "clients: [{name: acme, colour: red}]\n";
        std::fs::write(file.path(), text).unwrap();
        let error = file.create_key(new_key("acme")).unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
    }

    #[test]
    fn further_key_changes_no_limits() {
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        let limited = NewKey {
            file_size_bytes_max: Some(5),
            ..new_key("acme")
        };
        file.create_key(limited.clone()).unwrap();
        assert!(matches!(
            file.create_key(limited).unwrap_err(),
            ClientsFileError::ClientExists { .. }
        ));
        file.create_key(new_key("acme")).unwrap();
        let clients = file.load().unwrap();
        let client = clients.client("acme").unwrap();
        assert_eq!((client.keys.len(), client.file_size_bytes_max), (2, Some(5)));
    }

    #[test]
    fn revoked_key_is_gone_and_an_unknown_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        assert!(matches!(
            file.revoke_key("x").unwrap_err(),
            ClientsFileError::Missing { .. }
        ));
        let key = file.create_key(new_key("acme")).unwrap();
        assert_eq!(file.revoke_key(key.id()).unwrap(), "acme");
        let clients = file.load().unwrap();
        assert!(clients.client_of(&key).is_none() && clients.client("acme").is_some());
        let error = file.revoke_key(key.id()).unwrap_err().to_string();
        assert!(error.contains(key.id()), "{error}");
    }
}
