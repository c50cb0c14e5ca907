//! CRC-64/NVME as S3 writes it, and how the checksums of parts become that of the whole.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A CRC-64/NVME value. On the wire: base64 of its eight bytes, big-endian, as in the header
/// `x-amz-checksum-crc64nvme`.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crc64Nvme(pub u64);

/// The text is not the base64 of eight bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no CRC64NVME: expected the base64 of 8 bytes, 12 characters")]
pub struct InvalidCrc64Nvme(pub String);

impl Crc64Nvme {
    /// The checksum of no bytes.
    pub const EMPTY: Self = Self(0);

    /// The base64 form, as in S3's header.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0.to_be_bytes())
    }

    /// Reads the base64 form.
    ///
    /// # Errors
    /// [`InvalidCrc64Nvme`] when it is anything but the base64 of eight bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidCrc64Nvme> {
        let invalid = || InvalidCrc64Nvme(text.chars().take(40).collect());
        let bytes = STANDARD.decode(text).map_err(|_| invalid())?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| invalid())?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Crc64Nvme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Crc64Nvme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crc64Nvme({:016x})", self.0)
    }
}

impl TryFrom<String> for Crc64Nvme {
    type Error = InvalidCrc64Nvme;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_base64(&text)
    }
}

impl From<Crc64Nvme> for String {
    fn from(crc: Crc64Nvme) -> Self {
        crc.to_base64()
    }
}

/// Joins the checksums of consecutive parts into the checksum of the whole, without reading a byte.
///
/// A CRC is linear: appending `n` bytes multiplies the register by x^(8n) modulo the polynomial. The
/// multiplier of the last length is kept, so equal parts cost one multiplication each.
/// Source of the method: zlib's `crc32_combine`.
#[derive(Debug, Clone, Default)]
pub struct Crc64NvmeCombiner {
    crc: u64,
    size_bytes: u64,
    shift: Option<(u64, u64)>,
}

impl Crc64NvmeCombiner {
    /// Appends the next part.
    pub fn append(&mut self, part: Crc64Nvme, part_size_bytes: u64) {
        let shift = match self.shift {
            Some((size, shift)) if size == part_size_bytes => shift,
            _ => {
                let shift = x_to_the_8n(part_size_bytes);
                self.shift = Some((part_size_bytes, shift));
                shift
            }
        };
        self.crc = multiply(self.crc, shift) ^ part.0;
        self.size_bytes += part_size_bytes;
    }

    /// The checksum of everything appended so far.
    pub fn crc(&self) -> Crc64Nvme {
        Crc64Nvme(self.crc)
    }

    /// Bytes appended so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// The generator polynomial 0xad93d23594c93659 in reflected bit order.
/// NVM Express NVM Command Set Specification 1.0, 5.2.1.3.4.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// x^0 in reflected order: the highest bit is the lowest power.
const ONE: u64 = 1 << 63;

/// `a · b` modulo the polynomial.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
        bit >>= 1;
    }
    product
}

/// x^(8n) modulo the polynomial, by squaring.
fn x_to_the_8n(mut n: u64) -> u64 {
    let mut power = ONE >> 8;
    let mut result = ONE;
    while n != 0 {
        if n & 1 == 1 {
            result = multiply(result, power);
        }
        power = multiply(power, power);
        n >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bit by bit, straight from the definition.
    fn naive(bytes: &[u8]) -> u64 {
        let mut crc = u64::MAX;
        for byte in bytes {
            crc ^= u64::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn polynomial_gives_the_published_check_value() {
        assert_eq!(naive(b"123456789"), 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn empty_text_and_wrong_lengths_are_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAAAAAA=", "not base64!!"] {
            assert!(Crc64Nvme::from_base64(text).is_err(), "{text}");
        }
        assert_eq!(Crc64Nvme::from_base64("AAAAAAAAAAA="), Ok(Crc64Nvme::EMPTY));
    }

    proptest! {
        #[test]
        fn combined_parts_equal_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            part_size in 1usize..80,
        ) {
            let mut combiner = Crc64NvmeCombiner::default();
            for part in bytes.chunks(part_size) {
                combiner.append(Crc64Nvme(naive(part)), part.len() as u64);
            }
            prop_assert_eq!(combiner.crc().0, naive(&bytes));
            prop_assert_eq!(combiner.size_bytes(), bytes.len() as u64);
        }

        #[test]
        fn base64_reads_back_what_it_writes(value: u64) {
            prop_assert_eq!(Crc64Nvme::from_base64(&Crc64Nvme(value).to_base64()), Ok(Crc64Nvme(value)));
        }
    }
}
