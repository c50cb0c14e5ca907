//! Names of staged parts: `{partNumber}-{crc hex}`. The name alone says what a file holds, and it gets
//! the name only when all of it is written.

use upload_protocol::{Crc64Nvme, PartNumber};
use uuid::Uuid;

/// Ends the name of a part that is being written.
const HALF: &str = ".half";

/// What a file in an upload's folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartFileName {
    /// A whole part.
    Whole(PartNumber, Crc64Nvme),
    /// One that was being written when its writer died.
    Half,
}

/// The name of a whole part.
pub(super) fn whole(part: PartNumber, crc: Crc64Nvme) -> String {
    format!("{part}-{:016x}", crc.0)
}

/// The name of a part while it is being written. Random, so that two writers never share one.
pub(super) fn half(part: PartNumber, nonce: Uuid) -> String {
    format!("{part}-{}{HALF}", nonce.simple())
}

/// Reads a name. `None` for a file that isn't ours to judge.
pub(super) fn read(name: &str) -> Option<PartFileName> {
    if name.strip_suffix(HALF).is_some() {
        return Some(PartFileName::Half);
    }
    let (part, crc) = name.split_once('-')?;
    let part = PartNumber::new(part.parse().ok()?).ok()?;
    let crc = Crc64Nvme(u64::from_str_radix(crc, 16).ok()?);
    // Other spellings (`+1-…`, `01-…`, capitals) would be other files for the same part.
    (whole(part, crc) == name).then_some(PartFileName::Whole(part, crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_part_reads_back_from_its_name() {
        for (number, crc) in [(1, 0), (10_000, u64::MAX), (17, 0x00ab)] {
            let (part, crc) = (PartNumber::new(number).unwrap(), Crc64Nvme(crc));
            assert_eq!(read(&whole(part, crc)), Some(PartFileName::Whole(part, crc)));
        }
        assert_eq!(whole(PartNumber::FIRST, Crc64Nvme(0xab)), "1-00000000000000ab");
    }

    #[test]
    fn half_written_part_is_never_taken_for_a_whole_one() {
        let name = half(PartNumber::FIRST, Uuid::from_u128(u128::MAX));
        assert_eq!(read(&name), Some(PartFileName::Half));
    }

    #[test]
    fn names_that_are_not_ours_are_not_judged() {
        let names = [
            "",
            "-",
            "1",
            "1-",
            "0-00000000000000ab",
            "10001-00000000000000ab",
            "01-00000000000000ab",
            "+1-00000000000000ab",
            "1-00000000000000AB",
            "1-ab",
            "1-000000000000000000ab",
            "\u{1f600}-1",
        ];
        for name in names {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
