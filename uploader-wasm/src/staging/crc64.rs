//! CRC-64/NVME, sixteen bytes at a time: what the crate `crc64fast-nvme` does where it has no vector
//! instructions, and as fast. Its tables are constants, 32 KiB that no compression makes smaller, an
//! eighth of what a page has to load; these are computed when they are first needed.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// The polynomial 0xad93d23594c93659, bits reversed.
/// <https://reveng.sourceforge.io/crc-catalogue/all.htm#crc.cat.crc-64-nvme>
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

type Table = [AtomicU64; 256];

/// `[n][byte]`: what a byte with `n` bytes after it adds to the checksum. At a fixed address, which is
/// faster than by a pointer, and atomic so that it may be filled: in wasm a plain load.
static TABLES: [Table; 16] = [const { [const { AtomicU64::new(0) }; 256] }; 16];

static FILLED: Once = Once::new();

/// A checksum in the making.
#[derive(Debug)]
pub(super) struct Digest {
    state: u64,
}

impl Digest {
    /// Of no bytes yet.
    pub(super) fn new() -> Self {
        FILLED.call_once(fill_tables);
        Self { state: !0 }
    }

    /// Goes on with these bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks();
        let state = blocks.iter().fold(self.state, after_block);
        self.state = rest.iter().fold(state, |state, byte| {
            (state >> 8) ^ at(&TABLES[0], state ^ u64::from(*byte))
        });
    }

    /// The checksum of all bytes so far.
    pub(super) fn sum64(&self) -> u64 {
        !self.state
    }
}

/// Written out: a loop would not be unrolled in a module that is compiled to be small.
fn after_block(state: u64, block: &[u8; 16]) -> u64 {
    let word = u128::from_le_bytes(*block);
    #[expect(clippy::cast_possible_truncation, reason = "its two halves")]
    let (low, high) = (word as u64 ^ state, (word >> 64) as u64);
    at(&TABLES[15], low)
        ^ at(&TABLES[14], low >> 8)
        ^ at(&TABLES[13], low >> 16)
        ^ at(&TABLES[12], low >> 24)
        ^ at(&TABLES[11], low >> 32)
        ^ at(&TABLES[10], low >> 40)
        ^ at(&TABLES[9], low >> 48)
        ^ at(&TABLES[8], low >> 56)
        ^ at(&TABLES[7], high)
        ^ at(&TABLES[6], high >> 8)
        ^ at(&TABLES[5], high >> 16)
        ^ at(&TABLES[4], high >> 24)
        ^ at(&TABLES[3], high >> 32)
        ^ at(&TABLES[2], high >> 40)
        ^ at(&TABLES[1], high >> 48)
        ^ at(&TABLES[0], high >> 56)
}

/// The entry of a word's lowest byte.
#[expect(
    clippy::inline_always,
    reason = "sixteen calls for sixteen bytes would be most of the time"
)]
#[inline(always)]
fn at(table: &Table, word: u64) -> u64 {
    table[usize::from(word.to_le_bytes()[0])].load(Ordering::Relaxed)
}

fn fill_tables() {
    for (entry, byte) in TABLES[0].iter().zip(0..) {
        let divided = (0..8).fold(byte, |state, _| (state >> 1) ^ (POLYNOMIAL * (state & 1)));
        entry.store(divided, Ordering::Relaxed);
    }
    for (table, after) in TABLES.iter().zip(&TABLES[1..]) {
        for (entry, after) in table.iter().zip(after) {
            let entry = entry.load(Ordering::Relaxed);
            after.store((entry >> 8) ^ at(&TABLES[0], entry), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_of_the_catalogues_check_text_is_its_check_value() {
        let mut digest = Digest::new();
        digest.write(b"123456789");
        assert_eq!(digest.sum64(), 0xae8b_1486_0a79_9888);
        assert_eq!(Digest::new().sum64(), 0);
    }

    #[test]
    fn checksum_is_what_the_vector_instructions_say_however_it_is_cut() {
        let bytes: Vec<u8> = (0..5_000_u32).map(|at| (at * at / 7).to_le_bytes()[0]).collect();
        for length in (0..70).chain([255, 256, 257, 4_999, 5_000]) {
            let mut expected = crc64fast_nvme::Digest::new();
            expected.write(&bytes[..length]);
            for cut in [0, 1, 15, 16, 17, length / 2, length] {
                let (first, rest) = bytes[..length].split_at(cut.min(length));
                let mut digest = Digest::new();
                digest.write(first);
                digest.write(rest);
                assert_eq!(digest.sum64(), expected.sum64(), "{length} bytes, cut at {cut}");
            }
        }
    }
}
