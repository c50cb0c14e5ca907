//! Bytes that are never there: told apart by where they come from, with a checksum to match.

use upload_protocol::{ByteRange, Crc64Nvme, Crc64NvmeCombiner, PartLayout};

/// Names what a file contains. Two files with the same content are equal in every byte, two with
/// different ones differ in every part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content(pub(super) u64);

/// A stretch of a content, as it lies on a disk or at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    content: Content,
    range: ByteRange,
    /// 0 while nothing has rotted.
    flip: u64,
}

impl Bytes {
    pub(super) fn of(content: Content, range: ByteRange) -> Self {
        // No bytes are the same wherever they come from.
        let content = if range.size_bytes() == 0 {
            Content(0)
        } else {
            content
        };
        Self {
            content,
            range,
            flip: 0,
        }
    }

    pub(super) fn size_bytes(self) -> u64 {
        self.range.size_bytes()
    }

    /// The same bytes with some bits flipped. No bytes stay no bytes.
    pub(super) fn rotten(self, flip: u64) -> Self {
        let flip = if self.size_bytes() == 0 { 0 } else { flip.max(1) };
        Self { flip, ..self }
    }

    /// Differs wherever the bytes do; not the true CRC of anything, but combined like one.
    pub(super) fn crc(self) -> Crc64Nvme {
        if self.size_bytes() == 0 {
            return Crc64Nvme::EMPTY;
        }
        let words = [self.content.0, self.range.start, self.range.end, self.flip];
        Crc64Nvme(
            words
                .into_iter()
                .fold(0x9e37_79b9_7f4a_7c15, |hash, word| mix(hash ^ word)),
        )
    }
}

/// The checksum of consecutive bytes.
pub(super) fn combined(parts: impl IntoIterator<Item = Bytes>) -> Crc64Nvme {
    let mut combiner = Crc64NvmeCombiner::default();
    for part in parts {
        combiner.append(part.crc(), part.size_bytes());
    }
    combiner.crc()
}

/// A content cut by a layout.
pub(super) fn cut(content: Content, layout: PartLayout) -> impl Iterator<Item = Bytes> {
    layout
        .parts()
        .map(move |part| Bytes::of(content, layout.range(part)))
}

/// Sebastiano Vigna's splitmix64. <https://prng.di.unimi.it/splitmix64.c>
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
