//! Stand-ins for what must not be in a report.

use std::collections::BTreeMap;

use upload_protocol::{ClientUploadId, FileInfo, MultipartUploadId, PresignedUrl, SessionId, UploadToken};
use uuid::Uuid;

/// Replaces names by numbers that differ where the names do. A hash would tell a short name, or a likely
/// one, to whoever tries.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    numbers: BTreeMap<String, usize>,
}

impl Redaction {
    /// A file as the engine may see it again: sizes decide, its name only by being another's.
    pub(super) fn file(&mut self, file: &FileInfo) -> FileInfo {
        FileInfo {
            name: self.name(&file.name),
            size_bytes: file.size_bytes,
            content_type: String::new(),
            last_modified_ms: 0,
        }
    }

    fn name(&mut self, name: &str) -> String {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(name.to_owned()).or_insert(next);
        format!("file-{number}")
    }
}

/// The first six bytes of an upload's id: enough to tell uploads apart and keep their order, too little
/// to ask the server for its session.
pub(super) fn upload(id: ClientUploadId) -> ClientUploadId {
    let mut bytes = *id.as_uuid().as_bytes();
    bytes[6..].fill(0);
    ClientUploadId::new(Uuid::from_bytes(bytes))
}

pub(super) fn token() -> UploadToken {
    UploadToken::new(String::new())
}

/// Nothing is decided by a session's id.
pub(super) fn session() -> SessionId {
    SessionId::new(Uuid::nil())
}

pub(super) fn url() -> PresignedUrl {
    PresignedUrl::new(String::new())
}

pub(super) fn multipart_id() -> MultipartUploadId {
    MultipartUploadId(String::new())
}

/// Stirs a word into a hash. Sebastiano Vigna's splitmix64: <https://prng.di.unimi.it/splitmix64.c>
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn pseudonyms_are_equal_where_the_names_are_and_show_nothing_of_them() {
        let mut redaction = Redaction::default();
        let mut named = |name: &str| {
            redaction
                .file(&FileInfo {
                    name: name.into(),
                    size_bytes: 3,
                    content_type: "video/mp4".into(),
                    last_modified_ms: 5,
                })
                .name
        };
        assert_eq!(named("tax return 2026.pdf"), named("tax return 2026.pdf"));
        assert_ne!(named("a"), named("b"));
        assert_eq!(named("tax return 2026.pdf"), "file-1");
    }
}
