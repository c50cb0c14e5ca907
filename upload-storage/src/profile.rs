//! Stores by name: what each is known to be able to do.
//!
//! An ability is declared where it was tried or is documented for every call that needs it. What is not
//! known is declared absent: an upload then completes by numbers and sizes, where a wrong claim would
//! fail every upload. All were looked up in November 2026.

use std::fmt;
use std::str::FromStr;

use upload_protocol::limits::{KEY_LENGTH_BYTES_MAX, PART_COUNT_MAX};

use crate::capabilities::Capabilities;

/// A store known by name. A custom endpoint is addressed path-style whatever the profile, which each of
/// them understands; Amazon's own by the bucket's host, see [`BucketAddress`](crate::BucketAddress).
/// Parts are of one size but the last, as R2 demands and the others don't mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StoreProfile {
    /// Amazon S3, and what is like it in everything.
    #[default]
    Aws,
    /// Versity S3 Gateway. Checksums, sizes and conditions tried on its posix backend; conditions need a
    /// release with <https://github.com/versity/versitygw/pull/1522> (September 2025). It makes files and
    /// folders of keys: a key can't go on below another one, as `a` and `a/b` do, which no key of the
    /// server does.
    Versitygw,
    /// `MinIO`. Checksums and conditions tried; it takes `x-amz-mp-object-size` and ignores it. It keeps
    /// folders named like keys, too.
    Minio,
    /// Garage. Its completes know no condition (2.5.0, tried), and its sources no CRC64NVME: a
    /// multipart upload that names it is refused.
    /// <https://github.com/deuxfleurs-org/garage/blob/main/src/api/common/signature/checksum.rs>
    Garage,
    /// Cloudflare R2. Conditions are documented for both writes:
    /// <https://developers.cloudflare.com/r2/api/s3/conditional-operations/>. CRC64NVME is documented for
    /// whole objects, <https://developers.cloudflare.com/r2/api/s3/api/>, and not whether `ListParts`
    /// answers each part's, which completing with checksums needs: not known, so absent.
    R2,
    /// Ceph's object gateway. CRC64NVME came with <https://github.com/ceph/ceph/pull/61878>, conditions on
    /// completes with <https://github.com/ceph/ceph/pull/64830>, both in 2025; its table of features
    /// names neither, <https://docs.ceph.com/en/latest/radosgw/s3/>, and gateways in use are older: absent.
    Ceph,
    /// This project's own store.
    Embedded,
}

/// Nobody knows a store of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no store is known as `{name}`: expected one of aws, versitygw, minio, garage, r2, ceph, embedded")]
pub struct UnknownProfile {
    /// The name.
    pub name: String,
}

/// Longest name that Linux's file systems take.
const FILE_NAME_LENGTH_BYTES_MAX: usize = 255;

/// One row a profile.
struct Row {
    profile: StoreProfile,
    name: &'static str,
    capabilities: Capabilities,
}

const TABLE: [Row; 7] = [
    row(StoreProfile::Aws, "aws", [true, true, true]),
    row(StoreProfile::Versitygw, "versitygw", [true, true, true]).over_files(),
    row(StoreProfile::Minio, "minio", [true, true, false]).over_files(),
    row(StoreProfile::Garage, "garage", [false, false, false]),
    row(StoreProfile::R2, "r2", [false, true, false]),
    row(StoreProfile::Ceph, "ceph", [false, false, false]),
    row(StoreProfile::Embedded, "embedded", [true, true, true]),
];

/// All of them take 10,000 parts, as Amazon does.
const fn row(
    profile: StoreProfile,
    name: &'static str,
    [checksum, conditional_write, object_size]: [bool; 3],
) -> Row {
    let capabilities = Capabilities {
        checksum,
        conditional_write,
        object_size,
        part_count_max: PART_COUNT_MAX,
        key_segment_length_bytes_max: KEY_LENGTH_BYTES_MAX,
    };
    Row {
        profile,
        name,
        capabilities,
    }
}

impl Row {
    /// Keys become names of files.
    const fn over_files(mut self) -> Self {
        self.capabilities.key_segment_length_bytes_max = FILE_NAME_LENGTH_BYTES_MAX;
        self
    }
}

impl StoreProfile {
    /// Every profile.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.profile)
    }

    /// The name it is configured by.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// What such a store can do.
    pub fn capabilities(self) -> Capabilities {
        self.row().capabilities
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl FromStr for StoreProfile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let row = TABLE.iter().find(|row| row.name == name);
        row.map(|row| row.profile).ok_or_else(|| UnknownProfile {
            name: name.chars().filter(|char| !char.is_control()).take(80).collect(),
        })
    }
}

impl fmt::Display for StoreProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_its_own_row_and_is_read_by_its_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.profile as usize, index, "{}", row.name);
            assert_eq!(row.name.parse(), Ok(row.profile));
            assert_eq!(row.profile.to_string(), row.name);
        }
    }

    #[test]
    fn unknown_store_is_refused_with_the_names_there_are() {
        for name in ["", "AWS", "s3", "min io"] {
            let error = name.parse::<StoreProfile>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
            for profile in StoreProfile::all() {
                assert!(error.contains(profile.as_str()), "{error}");
            }
        }
    }

    #[test]
    fn what_is_not_known_of_a_store_is_declared_absent() {
        let of = |profile: StoreProfile| {
            let can = profile.capabilities();
            (can.checksum, can.conditional_write, can.object_size)
        };
        assert_eq!(StoreProfile::Aws.capabilities(), Capabilities::default());
        assert_eq!(of(StoreProfile::Embedded), (true, true, true));
        assert_eq!(of(StoreProfile::Versitygw), (true, true, true));
        assert_eq!(of(StoreProfile::Minio), (true, true, false));
        assert_eq!(of(StoreProfile::R2), (false, true, false));
        assert_eq!(of(StoreProfile::Garage), (false, false, false));
        assert_eq!(of(StoreProfile::Ceph), (false, false, false));
    }

    #[test]
    fn store_that_makes_files_of_keys_takes_no_longer_names_than_a_file_system() {
        let longest = |profile: StoreProfile| profile.capabilities().key_segment_length_bytes_max;
        assert_eq!(longest(StoreProfile::Versitygw), 255);
        assert_eq!(longest(StoreProfile::Minio), 255);
        assert_eq!(longest(StoreProfile::Aws), KEY_LENGTH_BYTES_MAX);
        assert_eq!(longest(StoreProfile::Embedded), KEY_LENGTH_BYTES_MAX);
    }

    #[test]
    fn no_profile_exceeds_the_parts_that_the_protocol_can_number() {
        for profile in StoreProfile::all() {
            let most = profile.capabilities().part_count_max;
            assert!((1..=PART_COUNT_MAX).contains(&most), "{profile}");
        }
    }
}
