//! The checksum algorithms of S3 and the way a checksum is kept.
//!
//! Rules: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use s3s::dto::{Checksum, ChecksumType};
use serde::{Deserialize, Serialize};

/// A checksum algorithm that S3 knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

/// Whether a checksum covers the object's bytes or the checksums of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ChecksumKind {
    FullObject,
    Composite,
}

/// A checksum as it is answered: base64, with `-{parts}` behind it when composite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredChecksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: ChecksumKind,
    pub(crate) value: String,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// The name S3 uses in requests and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The header (or trailer) that carries a value of it, lower case.
    pub(crate) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// Length of a raw value.
    pub(crate) fn size_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The kind S3 takes for a multipart upload that names none.
    pub(crate) fn default_kind(self) -> ChecksumKind {
        if self == Self::Crc64Nvme {
            ChecksumKind::FullObject
        } else {
            ChecksumKind::Composite
        }
    }

    /// Whether a multipart upload may use this algorithm in this kind.
    pub(crate) fn allows(self, kind: ChecksumKind) -> bool {
        match kind {
            ChecksumKind::FullObject => {
                matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
            }
            ChecksumKind::Composite => self != Self::Crc64Nvme,
        }
    }

    /// The value of this algorithm in a set of them.
    pub(crate) fn pick(self, set: &Checksum) -> Option<&String> {
        match self {
            Self::Crc32 => set.checksum_crc32.as_ref(),
            Self::Crc32c => set.checksum_crc32c.as_ref(),
            Self::Crc64Nvme => set.checksum_crc64nvme.as_ref(),
            Self::Sha1 => set.checksum_sha1.as_ref(),
            Self::Sha256 => set.checksum_sha256.as_ref(),
            Self::Sha512 => set.checksum_sha512.as_ref(),
            Self::Md5 => set.checksum_md5.as_ref(),
            Self::XxHash64 => set.checksum_xxhash64.as_ref(),
            Self::XxHash3 => set.checksum_xxhash3.as_ref(),
            Self::XxHash128 => set.checksum_xxhash128.as_ref(),
        }
    }

    /// A set with this algorithm's value and nothing else.
    pub(crate) fn set_of(self, value: String) -> Checksum {
        let mut set = Checksum::default();
        let slot = match self {
            Self::Crc32 => &mut set.checksum_crc32,
            Self::Crc32c => &mut set.checksum_crc32c,
            Self::Crc64Nvme => &mut set.checksum_crc64nvme,
            Self::Sha1 => &mut set.checksum_sha1,
            Self::Sha256 => &mut set.checksum_sha256,
            Self::Sha512 => &mut set.checksum_sha512,
            Self::Md5 => &mut set.checksum_md5,
            Self::XxHash64 => &mut set.checksum_xxhash64,
            Self::XxHash3 => &mut set.checksum_xxhash3,
            Self::XxHash128 => &mut set.checksum_xxhash128,
        };
        *slot = Some(value);
        set
    }
}

impl ChecksumKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullObject => ChecksumType::FULL_OBJECT,
            Self::Composite => ChecksumType::COMPOSITE,
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    pub(crate) fn to_dto(self) -> ChecksumType {
        ChecksumType::from_static(self.name())
    }
}

impl StoredChecksum {
    pub(crate) fn full(algorithm: Algorithm, value: String) -> Self {
        Self {
            algorithm,
            kind: ChecksumKind::FullObject,
            value,
        }
    }

    /// The set to answer: this value and its kind.
    pub(crate) fn to_set(&self) -> Checksum {
        let mut set = self.algorithm.set_of(self.value.clone());
        set.checksum_type = Some(self.kind.to_dto());
        set
    }
}
