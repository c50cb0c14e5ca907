//! How a file is cut into parts.

use serde::{Deserialize, Serialize};

use crate::ids::PartNumber;
use crate::limits::{
    MIB, OBJECT_SIZE_BYTES_MAX, PART_SIZE_BYTES_DEFAULT, PART_SIZE_BYTES_MAX, PART_SIZE_BYTES_MIN,
};

/// A half-open range of bytes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte, from 0.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Length in bytes.
    pub const fn size_bytes(self) -> u64 {
        self.end - self.start
    }
}

/// A file cut into equal parts but the last. An empty file has one empty part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "RawLayout")]
pub struct PartLayout {
    size_bytes: u64,
    part_size_bytes: u64,
}

/// A layout as it was written down, by whatever build: checked before it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLayout {
    size_bytes: u64,
    part_size_bytes: u64,
}

impl TryFrom<RawLayout> for PartLayout {
    type Error = LayoutError;

    fn try_from(raw: RawLayout) -> Result<Self, LayoutError> {
        Self::from_parts(raw.size_bytes, raw.part_size_bytes)
    }
}

/// The file can't be cut into parts that the store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Larger than any S3 object. Retry: never.
    #[error("file is {size_bytes} bytes, above the {OBJECT_SIZE_BYTES_MAX}-byte maximum of an object")]
    FileTooLarge {
        /// The file's size.
        size_bytes: u64,
    },
    /// The wished part size is outside S3's limits. Retry: never.
    #[error(
        "part size is {part_size_bytes} bytes, outside {PART_SIZE_BYTES_MIN} to {PART_SIZE_BYTES_MAX} bytes"
    )]
    PartSizeOutOfRange {
        /// The size that was asked for.
        part_size_bytes: u64,
    },
    /// The store takes fewer parts than the file needs even at the largest part size. Retry: never.
    #[error(
        "file of {size_bytes} bytes needs more than {part_count_max} parts of {PART_SIZE_BYTES_MAX} bytes"
    )]
    TooManyParts {
        /// The file's size.
        size_bytes: u64,
        /// The store's limit.
        part_count_max: u32,
    },
}

impl PartLayout {
    /// Cuts a file of `size_bytes`: the wished part size (8 MiB when `None`), rounded up to whole MiB,
    /// made as much larger as `part_count_max` demands.
    ///
    /// # Errors
    /// [`LayoutError`] when the file or the wish is outside S3's limits.
    pub fn choose(
        size_bytes: u64,
        part_size_bytes: Option<u64>,
        part_count_max: u32,
    ) -> Result<Self, LayoutError> {
        if size_bytes > OBJECT_SIZE_BYTES_MAX {
            return Err(LayoutError::FileTooLarge { size_bytes });
        }
        let wished = part_size_bytes.unwrap_or(PART_SIZE_BYTES_DEFAULT);
        if !(PART_SIZE_BYTES_MIN..=PART_SIZE_BYTES_MAX).contains(&wished) {
            return Err(LayoutError::PartSizeOutOfRange {
                part_size_bytes: wished,
            });
        }
        let needed = size_bytes.div_ceil(u64::from(part_count_max.max(1)));
        let part_size_bytes = wished.max(needed).next_multiple_of(MIB);
        if part_size_bytes > PART_SIZE_BYTES_MAX {
            return Err(LayoutError::TooManyParts {
                size_bytes,
                part_count_max,
            });
        }
        Ok(Self {
            size_bytes,
            part_size_bytes,
        })
    }

    /// A layout that was decided before, by the other end or an earlier visit.
    ///
    /// # Errors
    /// [`LayoutError`] when it could not have been: a part size outside S3's limits or more than
    /// 10,000 parts.
    pub fn from_parts(size_bytes: u64, part_size_bytes: u64) -> Result<Self, LayoutError> {
        if size_bytes > OBJECT_SIZE_BYTES_MAX {
            return Err(LayoutError::FileTooLarge { size_bytes });
        }
        if !(PART_SIZE_BYTES_MIN..=PART_SIZE_BYTES_MAX).contains(&part_size_bytes) {
            return Err(LayoutError::PartSizeOutOfRange { part_size_bytes });
        }
        let part_count_max = crate::limits::PART_COUNT_MAX;
        if size_bytes.div_ceil(part_size_bytes) > u64::from(part_count_max) {
            return Err(LayoutError::TooManyParts {
                size_bytes,
                part_count_max,
            });
        }
        Ok(Self {
            size_bytes,
            part_size_bytes,
        })
    }

    /// The file's size in bytes.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Size in bytes of every part but the last.
    pub const fn part_size_bytes(&self) -> u64 {
        self.part_size_bytes
    }

    /// Number of parts, 1 to 10,000.
    pub fn part_count(&self) -> u32 {
        u32::try_from(self.size_bytes.div_ceil(self.part_size_bytes))
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// The file fits one part, so one PUT writes it.
    pub fn is_single(&self) -> bool {
        self.part_count() == 1
    }

    /// Whether the part exists in this layout.
    pub fn contains(&self, part: PartNumber) -> bool {
        part.index() < self.part_count()
    }

    /// The bytes of a part; empty past the end.
    pub fn range(&self, part: PartNumber) -> ByteRange {
        let start = (u64::from(part.index()) * self.part_size_bytes).min(self.size_bytes);
        ByteRange {
            start,
            end: (start + self.part_size_bytes).min(self.size_bytes),
        }
    }

    /// All part numbers in order.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = PartNumber> + use<> {
        (0..self.part_count()).map(PartNumber::from_index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::PART_COUNT_MAX;

    fn choose(size_bytes: u64) -> PartLayout {
        PartLayout::choose(size_bytes, None, PART_COUNT_MAX).unwrap()
    }

    #[test]
    fn empty_file_has_one_empty_part() {
        let layout = choose(0);
        assert_eq!(
            (layout.part_count(), layout.range(PartNumber::FIRST).size_bytes()),
            (1, 0)
        );
    }

    #[test]
    fn part_count_steps_exactly_at_the_part_size() {
        let part = PART_SIZE_BYTES_DEFAULT;
        assert_eq!(choose(part - 1).part_count(), 1);
        assert_eq!(choose(part).part_count(), 1);
        assert_eq!(choose(part + 1).part_count(), 2);
    }

    #[test]
    fn part_size_grows_where_10000_default_parts_do_not_suffice() {
        let most = PART_SIZE_BYTES_DEFAULT * u64::from(PART_COUNT_MAX);
        assert_eq!(choose(most).part_size_bytes(), PART_SIZE_BYTES_DEFAULT);
        assert_eq!(choose(most).part_count(), PART_COUNT_MAX);
        assert_eq!(choose(most + 1).part_size_bytes(), PART_SIZE_BYTES_DEFAULT + MIB);
    }

    #[test]
    fn largest_object_fits_and_one_byte_more_is_refused() {
        assert!(choose(OBJECT_SIZE_BYTES_MAX).part_count() <= PART_COUNT_MAX);
        assert_eq!(
            PartLayout::choose(OBJECT_SIZE_BYTES_MAX + 1, None, PART_COUNT_MAX),
            Err(LayoutError::FileTooLarge {
                size_bytes: OBJECT_SIZE_BYTES_MAX + 1
            })
        );
    }

    #[test]
    fn wished_part_size_outside_the_limits_is_refused() {
        for wish in [0, PART_SIZE_BYTES_MIN - 1, PART_SIZE_BYTES_MAX + 1] {
            assert_eq!(
                PartLayout::choose(1, Some(wish), PART_COUNT_MAX),
                Err(LayoutError::PartSizeOutOfRange {
                    part_size_bytes: wish
                })
            );
        }
    }

    #[test]
    fn layout_that_could_not_have_been_decided_is_refused_when_read() {
        let read = |part_size_bytes: u64| {
            let json = format!(
                r#"{{"sizeBytes":{},"partSizeBytes":{part_size_bytes}}}"#,
                100 * MIB
            );
            serde_json::from_str::<PartLayout>(&json)
        };
        assert_eq!(read(8 * MIB).unwrap(), choose(100 * MIB));
        for part_size_bytes in [0, PART_SIZE_BYTES_MIN - 1, PART_SIZE_BYTES_MAX + 1] {
            assert!(read(part_size_bytes).is_err(), "{part_size_bytes}");
        }
    }

    #[test]
    fn store_with_1000_parts_refuses_what_needs_more() {
        let most = PART_SIZE_BYTES_MAX * 1000;
        assert_eq!(PartLayout::choose(most, None, 1000).unwrap().part_count(), 1000);
        assert!(matches!(
            PartLayout::choose(most + 1, None, 1000),
            Err(LayoutError::TooManyParts { .. })
        ));
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_once_without_gaps(
            size_bytes in 0..OBJECT_SIZE_BYTES_MAX,
            wish in proptest::option::of(PART_SIZE_BYTES_MIN..64 * MIB),
            part_count_max in prop_oneof![Just(1000u32), Just(PART_COUNT_MAX)],
        ) {
            let Ok(layout) = PartLayout::choose(size_bytes, wish, part_count_max) else {
                prop_assert!(size_bytes > PART_SIZE_BYTES_MAX * u64::from(part_count_max));
                return Ok(());
            };
            prop_assert!(layout.part_count() <= part_count_max);
            let mut end = 0;
            for part in layout.parts() {
                let range = layout.range(part);
                prop_assert_eq!(range.start, end);
                end = range.end;
                let last = part.value() == layout.part_count();
                prop_assert!(last || range.size_bytes() == layout.part_size_bytes());
            }
            prop_assert_eq!(end, size_bytes);
            prop_assert_eq!(PartLayout::from_parts(size_bytes, layout.part_size_bytes()), Ok(layout));
        }
    }
}
