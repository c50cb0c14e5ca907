//! Whose uploads these are: one server, one person. Every lock, channel, folder and row is keyed by it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One server and one person. Uploads of another realm are invisible and idle.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Realm {
    /// Absolute URL of the server, without a slash at its end.
    pub endpoint: String,
    /// Stable opaque id of the signed-in person; empty where there is none.
    pub scope: String,
}

impl Realm {
    /// The Web Lock that makes its holder the engine, and the channel to the holder. A colon of the scope
    /// is escaped: an endpoint holds colons too, and no two realms may share a name.
    pub fn engine_name(&self) -> String {
        let scope = self.scope.replace('%', "%25").replace(':', "%3A");
        format!("holdfast:{}:{scope}", self.endpoint)
    }

    /// Name of this realm's folder in OPFS and prefix of its keys in `IndexedDB`: 64 hex digits. A hash,
    /// because a scope may hold characters no file name takes.
    pub fn storage_name(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.endpoint.as_bytes());
        // No URL contains a line feed: two realms never hash the same text.
        hasher.update(b"\n");
        hasher.update(self.scope.as_bytes());
        let mut name = String::with_capacity(64);
        for byte in hasher.finalize() {
            for digit in [byte >> 4, byte & 15] {
                name.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(endpoint: &str, scope: &str) -> Realm {
        Realm {
            endpoint: endpoint.into(),
            scope: scope.into(),
        }
    }

    #[test]
    fn engine_name_joins_endpoint_and_scope() {
        let name = realm("https://a.example", "user-7").engine_name();
        assert_eq!(name, "holdfast:https://a.example:user-7");
    }

    #[test]
    fn realms_that_join_to_the_same_text_have_different_engines() {
        let one = realm("https://a.example", "8443:x").engine_name();
        assert_ne!(one, realm("https://a.example:8443", "x").engine_name());
        assert_ne!(one, realm("https://a.example", "8443%3Ax").engine_name());
    }

    #[test]
    fn storage_name_is_a_plain_file_name_for_any_scope() {
        let name = realm("https://a.example", "../\u{1f600}/\n").storage_name();
        assert_eq!(name.len(), 64);
        assert!(name.chars().all(|c| c.is_ascii_hexdigit()));
    }

    #[test]
    fn realms_that_join_to_the_same_text_have_different_folders() {
        let one = realm("https://a.example", "b").storage_name();
        let other = realm("https://a.exampleb", "").storage_name();
        assert_ne!(one, other);
        assert_eq!(one, realm("https://a.example", "b").storage_name());
    }
}
