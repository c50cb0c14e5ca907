//! Names that carry facts, so that one rename commits them.

use sha2::{Digest as _, Sha256};

/// A part's file name: number, size, CRC64NVME, the order of its commit and, where the upload
/// declared another algorithm, that checksum.
///
/// Two files of one number can only stand side by side when the process died between committing the
/// new one and removing the old one; the higher sequence is the newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartFileName {
    pub(crate) number: u16,
    pub(crate) size_bytes: u64,
    pub(crate) crc64: u64,
    pub(crate) sequence: u64,
    /// Raw checksum of the upload's own algorithm; empty when that is CRC64NVME.
    pub(crate) declared: Vec<u8>,
}

impl PartFileName {
    pub(crate) fn format(&self) -> String {
        let mut name = format!(
            "part-{:05}-{}-{:016x}-{:016x}",
            self.number, self.size_bytes, self.crc64, self.sequence
        );
        if !self.declared.is_empty() {
            name.push('-');
            name.push_str(&hex(&self.declared));
        }
        name
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.strip_prefix("part-")?.split('-');
        let parsed = Self {
            number: fields.next()?.parse().ok()?,
            size_bytes: fields.next()?.parse().ok()?,
            crc64: u64::from_str_radix(fields.next()?, 16).ok()?,
            sequence: u64::from_str_radix(fields.next()?, 16).ok()?,
            declared: fields.next().map_or(Some(Vec::new()), unhex)?,
        };
        // Only names this code wrote: anything else in the folder is left alone.
        (fields.next().is_none() && parsed.format() == name).then_some(parsed)
    }
}

/// The first level of folders below `objects`, and the folder of one write of `key`.
///
/// The key is hashed: a key of 1,024 bytes, `a` beside `a/b`, or `../x` are all just keys.
pub(crate) fn object_dir_name(key: &str, sequence: u64) -> (String, String) {
    let hash = hex(&Sha256::digest(key.as_bytes()));
    (hash[..2].to_owned(), format!("{hash}-{sequence:016x}"))
}

/// The sequence in a name made by [`object_dir_name`].
pub(crate) fn parse_object_dir_name(name: &str) -> Option<u64> {
    let (hash, sequence) = name.split_once('-')?;
    (hash.len() == 64 && sequence.len() == 16)
        .then(|| u64::from_str_radix(sequence, 16).ok())
        .flatten()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_file_name_round_trips_with_and_without_a_declared_checksum() {
        for declared in [vec![], vec![0, 1, 0xfe, 0xff]] {
            let name = PartFileName {
                number: 10_000,
                size_bytes: 5 * 1024 * 1024 * 1024,
                crc64: u64::MAX,
                sequence: 3,
                declared,
            };
            assert_eq!(PartFileName::parse(&name.format()), Some(name));
        }
    }

    #[test]
    fn part_file_name_of_anything_else_is_refused() {
        for name in ["", "part-", "part-1-2-3-4", "upload.json", "part-00001-1-é-0"] {
            assert_eq!(PartFileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn longest_part_file_name_fits_a_file_system() {
        let name = PartFileName {
            number: 10_000,
            size_bytes: u64::MAX,
            crc64: u64::MAX,
            sequence: u64::MAX,
            declared: vec![0xff; 64],
        };
        assert!(name.format().len() <= 255);
    }

    #[test]
    fn object_dir_name_gives_its_sequence_back() {
        let (_, name) = object_dir_name("../../etc/passwd", 77);
        assert_eq!(parse_object_dir_name(&name), Some(77));
        assert!(!name.contains('/'));
    }
}
