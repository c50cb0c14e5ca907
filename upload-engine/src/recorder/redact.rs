//! Stand-ins for what must not be in a report.

use upload_protocol::{FileInfo, MultipartUploadId, PresignedUrl, UploadToken};

/// Replaces names by pseudonyms that differ where the names do.
#[derive(Debug)]
pub(super) struct Redaction {
    seed: u64,
}

impl Redaction {
    /// The seed keeps anybody from finding a name by trying likely ones on a report without it.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A file as the engine may see it again: sizes and types decide, its name only by being another's.
    pub(super) fn file(&self, file: &FileInfo) -> FileInfo {
        FileInfo {
            name: self.name(&file.name),
            size_bytes: file.size_bytes,
            content_type: String::new(),
            last_modified_ms: 0,
        }
    }

    fn name(&self, name: &str) -> String {
        let hash = name
            .bytes()
            .fold(self.seed, |hash, byte| mix(hash, u64::from(byte)));
        format!("file-{hash:016x}")
    }
}

pub(super) fn token() -> UploadToken {
    UploadToken::new(String::new())
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
        let redaction = Redaction::new(7);
        let named = |name: &str| {
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
        assert_ne!(named("a"), Redaction::new(8).name("a"));
        assert!(!named("tax return 2026.pdf").contains("tax"));
    }
}
