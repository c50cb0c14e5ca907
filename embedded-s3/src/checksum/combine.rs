//! Joins the CRCs of consecutive byte ranges into the CRC of the whole, without the bytes.
//!
//! A CRC is the remainder of a polynomial over GF(2), so appending `n` bytes multiplies it by
//! `x^(8n)` modulo the generator, and the appended bytes' own CRC is added. Start value and final
//! xor (both all ones here) cancel out. The method is zlib's `crc32_combine`:
//! <https://github.com/madler/zlib/blob/v1.3.1/crc32.c>.

use super::Algorithm;

/// Joins CRCs of one algorithm. It keeps the shift of the last length, since all parts of an upload
/// but the last have one size.
#[derive(Debug)]
pub(crate) struct CrcJoiner {
    /// The generator, bit-reflected, in the low `width_bits` bits.
    polynomial: u64,
    width_bits: u32,
    shift: Option<(u64, u64)>,
}

impl CrcJoiner {
    /// A joiner for `algorithm`, or `None` when it is no CRC.
    pub(crate) fn new(algorithm: Algorithm) -> Option<Self> {
        let (polynomial, width_bits) = match algorithm {
            Algorithm::Crc32 => (0xedb8_8320, 32),
            Algorithm::Crc32c => (0x82f6_3b78, 32),
            Algorithm::Crc64Nvme => (0x9a6c_9329_ac4b_c9b5, 64),
            _ => return None,
        };
        Some(Self {
            polynomial,
            width_bits,
            shift: None,
        })
    }

    /// The CRC of `a` followed by `b`, from the CRC of each and `b`'s size in bytes.
    pub(crate) fn join(&mut self, crc_a: u64, crc_b: u64, size_b_bytes: u64) -> u64 {
        let shift = match self.shift {
            Some((size, shift)) if size == size_b_bytes => shift,
            _ => {
                let shift = self.power_of_x8(size_b_bytes);
                self.shift = Some((size_b_bytes, shift));
                shift
            }
        };
        self.multiply(shift, crc_a) ^ crc_b
    }

    /// `x^(8 * exponent)` modulo the generator, by repeated squaring.
    fn power_of_x8(&self, mut exponent: u64) -> u64 {
        // Reflected: x^0 is the highest bit, x^8 eight bits below it.
        let mut square = self.one() >> 8;
        let mut power = self.one();
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = self.multiply(square, power);
            }
            square = self.multiply(square, square);
            exponent >>= 1;
        }
        power
    }

    /// `a * b` modulo the generator.
    fn multiply(&self, a: u64, mut b: u64) -> u64 {
        let mut mask = self.one();
        let mut product = 0;
        while mask > 0 {
            if a & mask != 0 {
                product ^= b;
            }
            b = if b & 1 == 1 {
                (b >> 1) ^ self.polynomial
            } else {
                b >> 1
            };
            mask >>= 1;
        }
        product
    }

    fn one(&self) -> u64 {
        1 << (self.width_bits - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use s3s::crypto::{Checksum as _, Crc32, Crc32c};

    use super::*;

    fn crc(algorithm: Algorithm, bytes: &[u8]) -> u64 {
        let word = |bytes: [u8; 4]| u64::from(u32::from_be_bytes(bytes));
        match algorithm {
            Algorithm::Crc32 => word(Crc32::checksum(bytes)),
            Algorithm::Crc32c => word(Crc32c::checksum(bytes)),
            _ => {
                let mut digest = crc64fast_nvme::Digest::new();
                digest.write(bytes);
                digest.sum64()
            }
        }
    }

    proptest! {
        #[test]
        fn crcs_of_ranges_joined_equal_the_crc_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5_000),
            cut_a in 0_usize..5_000,
            cut_b in 0_usize..5_000,
        ) {
            let (low, high) = (cut_a.min(cut_b).min(bytes.len()), cut_a.max(cut_b).min(bytes.len()));
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let mut joiner = CrcJoiner::new(algorithm).expect("a crc");
                let joined = [&bytes[..low], &bytes[low..high], &bytes[high..]]
                    .into_iter()
                    .fold(crc(algorithm, b""), |whole, range| {
                        joiner.join(whole, crc(algorithm, range), range.len() as u64)
                    });
                prop_assert_eq!(joined, crc(algorithm, &bytes));
            }
        }
    }

    #[test]
    fn crc64nvme_of_the_check_string_is_the_published_one() {
        // https://reveng.sourceforge.io/crc-catalogue/all.htm, CRC-64/NVME
        assert_eq!(crc(Algorithm::Crc64Nvme, b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn ten_thousand_equal_parts_join_as_one_run() {
        let part = vec![7_u8; 999];
        let part_crc = crc(Algorithm::Crc64Nvme, &part);
        let mut joiner = CrcJoiner::new(Algorithm::Crc64Nvme).expect("a crc");
        let whole_crc = (0..10_000).fold(0, |so_far, _| joiner.join(so_far, part_crc, 999));
        assert_eq!(whole_crc, crc(Algorithm::Crc64Nvme, &part.repeat(10_000)));
    }
}
