//! The clients: who they are, their keys, what they may. Read from a file of this form:
//!
//! ```yaml
//! clients:
//!   - name: acme                         # letters, digits, `-`, `_`; stands in keys and owners
//!     role: uploader                     # or operator: sees and ends every session
//!     key_prefix: acme                   # folder below the server's prefix; the name where left out
//!     file_size_bytes_max: 5000000000    # limits; each may be left out
//!     bytes_in_flight_max: 50000000000   # of all unfinished uploads together
//!     content_types: ["video/*", "image/png"]
//!     keys:
//!       - id: 3f9c2a1b7d05e846
//!         hash: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!         created: 2026-11-24T12:00:00Z
//!         expires: 2027-11-24T12:00:00Z  # may be left out
//! ```

use std::collections::HashMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::api_key::{ApiKey, is_key_id};
use super::limits::ContentPattern;
use super::{ClientLimits, Role, is_client_name};
use crate::key::is_client_prefix;

/// What a hash in the file begins with; another algorithm would have another name.
const HASH_PREFIX: &str = "sha256:";

/// Every client, as in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// The clients.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// Where a key is: its client's index, and its own there.
    #[serde(skip)]
    by_key: HashMap<String, (usize, usize)>,
}

/// A client: a product, a team, an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// What it may beside starting uploads.
    #[serde(default)]
    pub role: Role,
    /// Folder of its keys below the server's prefix; its name where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes_max: Option<u64>,
    /// Bytes of all its unfinished uploads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in_flight_max: Option<u64>,
    /// Content types it may store; empty allows all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<ContentPattern>,
    /// Its API keys.
    #[serde(default)]
    pub keys: Vec<ClientKey>,
}

/// What is kept of an API key: nothing that it could be made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientKey {
    /// Its id.
    pub id: String,
    /// `sha256:` and the SHA-256 of its secret in hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; never, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// The clients' file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientsError {
    /// It is no YAML of the form asked for.
    #[error("it can't be read: {0}")]
    Form(String),
    /// A value can't be used.
    #[error("client `{client}`: {reason}")]
    Client {
        /// Whose.
        client: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl Clients {
    /// Reads and checks the file's text.
    ///
    /// # Errors
    /// [`ClientsError`] naming the client and the value.
    pub fn parse(text: &str) -> Result<Self, ClientsError> {
        // An empty document is YAML's null.
        let clients: Option<Self> =
            serde_yaml::from_str(text).map_err(|error| ClientsError::Form(error.to_string()))?;
        clients.unwrap_or_default().checked()
    }

    /// The file's text.
    pub(crate) fn to_yaml(&self) -> Result<String, ClientsError> {
        serde_yaml::to_string(self).map_err(|error| ClientsError::Form(error.to_string()))
    }

    /// Checks every value, and makes the index.
    pub(crate) fn checked(mut self) -> Result<Self, ClientsError> {
        self.by_key.clear();
        for (index, client) in self.clients.iter().enumerate() {
            let failed = |reason: String| ClientsError::Client {
                client: client
                    .name
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(80)
                    .collect(),
                reason,
            };
            client.check().map_err(failed)?;
            if self.clients[..index]
                .iter()
                .any(|other| other.name == client.name)
            {
                return Err(failed("its name stands there twice".to_owned()));
            }
            for (key_index, key) in client.keys.iter().enumerate() {
                let place = (index, key_index);
                if self.by_key.insert(key.id.clone(), place).is_some() {
                    return Err(failed(format!("key `{}` stands there twice", key.id)));
                }
            }
        }
        Ok(self)
    }

    /// The client of this name.
    pub fn client(&self, name: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.name == name)
    }

    /// The client and key of this id, expired or not.
    pub fn key(&self, id: &str) -> Option<(&Client, &ClientKey)> {
        let (client, key) = self.by_key.get(id)?;
        let client = self.clients.get(*client)?;
        Some((client, client.keys.get(*key)?))
    }

    /// The client whose key this is, expired or not. Takes the same time whatever the secret.
    pub(crate) fn client_of(&self, shown: &ApiKey) -> Option<(&Client, &ClientKey)> {
        let hash = shown.hash();
        let (client, key) = self.key(shown.id())?;
        let kept = key.hash_bytes()?;
        bool::from(kept.ct_eq(&hash)).then_some((client, key))
    }
}

impl Client {
    /// What its uploads may be.
    pub fn limits(&self) -> ClientLimits {
        ClientLimits {
            key_prefix: self.key_prefix.clone(),
            file_size_bytes_max: self.file_size_bytes_max,
            bytes_in_flight_max: self.bytes_in_flight_max,
            content_types: self.content_types.clone(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !is_client_name(&self.name) {
            return Err("the name can't be used: expected 1 to 64 letters, digits, `-` and `_`".to_owned());
        }
        if let Some(prefix) = self
            .key_prefix
            .as_deref()
            .filter(|prefix| !is_client_prefix(prefix))
        {
            return Err(format!(
                "key_prefix `{prefix}` can't be used: expected letters, digits, `-` and `_`, with single slashes between, 256 bytes in all and 64 between two"
            ));
        }
        for key in &self.keys {
            if !is_key_id(&key.id) {
                return Err("a key's id can't be used: expected 1 to 64 letters, digits and `-`".to_owned());
            }
            if key.hash_bytes().is_none() {
                return Err(format!(
                    "the hash of key `{}` can't be used: expected `{HASH_PREFIX}` and 64 hexadecimal digits",
                    key.id
                ));
            }
        }
        Ok(())
    }
}

impl ClientKey {
    /// What is kept of a key made now.
    pub(crate) fn of(key: &ApiKey, created: Timestamp, expires: Option<Timestamp>) -> Self {
        use std::fmt::Write as _;
        let mut hash = HASH_PREFIX.to_owned();
        for byte in key.hash() {
            // Writing into a string can't fail.
            let _ = write!(hash, "{byte:02x}");
        }
        Self {
            id: key.id().to_owned(),
            hash,
            created,
            expires,
        }
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires
            .is_some_and(|expires| SystemTime::from(expires) <= now)
    }

    fn hash_bytes(&self) -> Option<[u8; 32]> {
        let digits = self.hash.strip_prefix(HASH_PREFIX)?.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        Client {
            name: name.to_owned(),
            role: Role::Uploader,
            key_prefix: None,
            file_size_bytes_max: None,
            bytes_in_flight_max: None,
            content_types: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn with_key() -> (Clients, ApiKey) {
        let key = ApiKey::random();
        let mut client = client("acme");
        client.keys.push(ClientKey::of(&key, Timestamp::UNIX_EPOCH, None));
        let clients = Clients {
            clients: vec![client],
            ..Clients::default()
        };
        (clients.checked().unwrap(), key)
    }

    #[test]
    fn key_opens_its_client_and_no_altered_one_does() {
        let (clients, key) = with_key();
        assert_eq!(clients.client_of(&key).unwrap().0.name, "acme");
        let text = key.expose();
        for altered in [
            format!("{text}x"),
            text[..text.len() - 1].to_owned(),
            format!("hf_{}_{}", key.id(), "A".repeat(43)),
            format!("hf_0000000000000000_{}", &text[20..]),
        ] {
            let altered = ApiKey::parse(&altered).unwrap();
            assert!(clients.client_of(&altered).is_none());
        }
    }

    #[test]
    fn file_holds_no_secret_and_reads_back_the_same() {
        let (clients, key) = with_key();
        let yaml = clients.to_yaml().unwrap();
        assert!(!yaml.contains(&key.expose()[20..]));
        assert_eq!(Clients::parse(&yaml).unwrap(), clients);
    }

    #[test]
    fn example_of_the_documentation_reads() {
        let example: Vec<&str> = include_str!("clients.rs")
            .lines()
            .skip_while(|line| *line != "//! ```yaml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//! "))
            .collect();
        let clients = Clients::parse(&example.join("\n")).unwrap();
        let client = clients.client("acme").unwrap();
        assert_eq!(client.limits().content_types.len(), 2);
        assert!(clients.key("3f9c2a1b7d05e846").is_some());
    }

    #[test]
    fn empty_file_has_no_clients() {
        assert!(Clients::parse("").unwrap().clients.is_empty());
        assert!(Clients::parse("clients: []").unwrap().clients.is_empty());
    }

    #[test]
    fn what_can_not_be_used_is_refused_by_name() {
        let key = "{id: a, hash: 'sha256:00', created: 2026-01-01T00:00:00Z}";
        for (yaml, named) in [
            ("clients: [{name: acme, quota: 5}]".to_owned(), "quota"),
            ("client: []".to_owned(), "client"),
            ("clients: [{name: acme, role: root}]".to_owned(), "root"),
            ("clients: [{name: a b}]".to_owned(), "a b"),
            ("clients: [{name: ''}]".to_owned(), "name"),
            ("clients: [{name: acme, key_prefix: ../x}]".to_owned(), "../x"),
            (
                "clients: [{name: acme, content_types: [video]}]".to_owned(),
                "video",
            ),
            ("clients: [{name: acme}, {name: acme}]".to_owned(), "twice"),
            (
                "clients: [{name: acme, file_size_bytes_max: -1}]".to_owned(),
                "-1",
            ),
            (
                format!("clients: [{{name: acme, keys: [{key}]}}]"),
                "64 hexadecimal",
            ),
            ("clients: [".to_owned(), "line"),
        ] {
            let error = Clients::parse(&yaml).unwrap_err().to_string();
            assert!(error.contains(named), "{yaml}: {error}");
        }
    }
}
