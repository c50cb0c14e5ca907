//! Names of staged parts: `{partNumber}-{crc hex}`, and the same with the size behind it for rows. The
//! name alone says what a file or row holds, and a file gets it only when all of it is written.

use upload_engine::StagedPart;
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

/// The name of a part's row. It says the size too, since a row's is known only by reading it.
pub(super) fn row(part: PartNumber, crc: Crc64Nvme, size_bytes: u64) -> String {
    format!("{}-{size_bytes}", whole(part, crc))
}

/// Reads the name of a row. `None` for one that isn't ours to judge.
pub(super) fn read_row(name: &str) -> Option<StagedPart> {
    let (whole, size_bytes) = name.rsplit_once('-')?;
    let size_bytes = size_bytes.parse().ok()?;
    match read(whole)? {
        PartFileName::Whole(part, crc) if row(part, crc, size_bytes) == name => Some(StagedPart {
            part,
            crc,
            size_bytes,
        }),
        _ => None,
    }
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
    fn row_reads_back_from_its_name() {
        for (number, crc, size_bytes) in [(1, 0, 0), (10_000, u64::MAX, u64::MAX), (17, 0x00ab, 10_240)] {
            let part = StagedPart {
                part: PartNumber::new(number).unwrap(),
                crc: Crc64Nvme(crc),
                size_bytes,
            };
            assert_eq!(read_row(&row(part.part, part.crc, size_bytes)), Some(part));
        }
        assert_eq!(row(PartNumber::FIRST, Crc64Nvme(0xab), 9), "1-00000000000000ab-9");
    }

    #[test]
    fn rows_that_are_not_ours_are_not_judged() {
        for name in [
            "",
            "-9",
            "1-00000000000000ab",
            "1-00000000000000ab-",
            "1-00000000000000ab-09",
            "1-00000000000000ab-+9",
            "1-00000000000000ab-9-9",
            "0-00000000000000ab-9",
            "1-00000000000000ab.half-9",
        ] {
            assert_eq!(read_row(name), None, "{name}");
        }
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
