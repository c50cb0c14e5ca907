//! Records in a ring of bytes: the oldest make room for the newest.

use std::collections::VecDeque;

/// Bytes of records, each with its length before it.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    capacity_bytes: usize,
    kept: u64,
    dropped: u64,
}

/// Bytes of a record's length.
const LENGTH_BYTES: usize = size_of::<u32>();

impl Ring {
    /// Takes its memory at once.
    pub(super) fn new(capacity_bytes: usize) -> Self {
        Self {
            bytes: VecDeque::with_capacity(capacity_bytes),
            capacity_bytes,
            kept: 0,
            dropped: 0,
        }
    }

    /// Adds a record. One that is larger than the whole ring is lost.
    pub(super) fn push(&mut self, record: &[u8]) {
        let Ok(length) = u32::try_from(record.len()) else {
            return self.lose();
        };
        let needed = LENGTH_BYTES + record.len();
        if needed > self.capacity_bytes {
            return self.lose();
        }
        while self.bytes.len() + needed > self.capacity_bytes {
            self.drop_oldest();
        }
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(record);
        self.kept += 1;
    }

    /// A record could not be kept: what stands before it is of no use without it.
    pub(super) fn lose(&mut self) {
        self.bytes.clear();
        self.dropped += self.kept + 1;
        self.kept = 0;
    }

    /// Records kept.
    pub(super) fn len(&self) -> u64 {
        self.kept
    }

    /// Records that made room, or could not be kept.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The records as they were pushed, one after another, without their lengths.
    pub(super) fn records(&self) -> Vec<u8> {
        let mut rest = self.bytes.iter().copied();
        let mut records = Vec::with_capacity(self.bytes.len());
        for _ in 0..self.kept {
            let length = next_length(&mut rest);
            records.extend(rest.by_ref().take(length));
        }
        records
    }

    fn drop_oldest(&mut self) {
        let length = next_length(&mut self.bytes.iter().copied());
        self.bytes.drain(..LENGTH_BYTES + length);
        self.kept -= 1;
        self.dropped += 1;
    }
}

fn next_length(bytes: &mut impl Iterator<Item = u8>) -> usize {
    let mut length = [0; LENGTH_BYTES];
    for (slot, byte) in length.iter_mut().zip(bytes) {
        *slot = byte;
    }
    u32::from_le_bytes(length) as usize
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn record_that_fills_the_ring_exactly_is_kept_and_one_byte_more_is_lost() {
        let mut ring = Ring::new(LENGTH_BYTES + 4);
        ring.push(b"abcd");
        assert_eq!((ring.records(), ring.dropped()), (b"abcd".to_vec(), 0));
        ring.push(b"abcde");
        assert_eq!((ring.len(), ring.dropped()), (0, 2));
    }

    // Its generator needs the randomness of an operating system.
    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn ring_keeps_the_newest_whole_records_within_its_capacity(
            capacity_bytes in 8usize..200,
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..60),
        ) {
            let mut ring = Ring::new(capacity_bytes);
            for record in &records {
                ring.push(record);
            }
            let kept = usize::try_from(ring.len()).unwrap();
            prop_assert_eq!(ring.dropped() + ring.len(), records.len() as u64);
            prop_assert_eq!(ring.records(), records[records.len() - kept..].concat());
            prop_assert!(ring.bytes.len() <= capacity_bytes);
        }
    }
}
