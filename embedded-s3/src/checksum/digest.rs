//! Computes what is needed over a body as it passes, and compares it with what was declared.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{self, Checksum as _};
use s3s::dto::Checksum;

use super::Algorithm;
use crate::store::StoreError;

/// Running checksums of one body: CRC64NVME always, others when asked for.
pub(crate) struct Digest {
    crc64: crc64fast_nvme::Digest,
    others: ChecksumHasher,
    has_others: bool,
    size_bytes: u64,
}

/// What a whole body came to.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    pub(crate) size_bytes: u64,
    pub(crate) crc64: u64,
    others: Checksum,
}

/// What the client declared about a body.
#[derive(Debug, Default, Clone)]
pub(crate) struct Expected {
    /// Checksums by algorithm, base64.
    pub(crate) checksums: Vec<(Algorithm, String)>,
    /// The `Content-MD5` header, base64.
    pub(crate) content_md5: Option<String>,
    pub(crate) size_bytes: Option<u64>,
}

impl Digest {
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut others = ChecksumHasher::default();
        let mut has_others = false;
        for algorithm in algorithms {
            has_others |= algorithm != Algorithm::Crc64Nvme;
            match algorithm {
                Algorithm::Crc32 => others.crc32 = Some(crypto::Crc32::new()),
                Algorithm::Crc32c => others.crc32c = Some(crypto::Crc32c::new()),
                Algorithm::Crc64Nvme => {}
                Algorithm::Sha1 => others.sha1 = Some(crypto::Sha1::new()),
                Algorithm::Sha256 => others.sha256 = Some(crypto::Sha256::new()),
                Algorithm::Sha512 => others.sha512 = Some(crypto::Sha512::new()),
                Algorithm::Md5 => others.md5 = Some(crypto::Md5::new()),
                Algorithm::XxHash64 => others.xxhash64 = Some(crypto::XxHash64::new()),
                Algorithm::XxHash3 => others.xxhash3 = Some(crypto::XxHash3::new()),
                Algorithm::XxHash128 => others.xxhash128 = Some(crypto::XxHash128::new()),
            }
        }
        Self {
            crc64: crc64fast_nvme::Digest::new(),
            others,
            has_others,
            size_bytes: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.crc64.write(bytes);
        if self.has_others {
            self.others.update(bytes);
        }
        self.size_bytes += bytes.len() as u64;
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            size_bytes: self.size_bytes,
            crc64: self.crc64.sum64(),
            others: self.others.finalize(),
        }
    }
}

impl Digests {
    /// The value of `algorithm` in base64, if it was computed.
    pub(crate) fn value(&self, algorithm: Algorithm) -> Option<String> {
        if algorithm == Algorithm::Crc64Nvme {
            return Some(crc64_base64(self.crc64));
        }
        algorithm.pick(&self.others).cloned()
    }

    /// Refuses a body that is not the declared one.
    pub(crate) fn check(&self, expected: &Expected) -> Result<(), StoreError> {
        if let Some(size_bytes) = expected.size_bytes
            && size_bytes != self.size_bytes
        {
            return Err(StoreError::IncompleteBody {
                declared_bytes: size_bytes,
                received_bytes: self.size_bytes,
            });
        }
        if let Some(declared) = &expected.content_md5 {
            self.check_one(Algorithm::Md5, declared, "Content-MD5")?;
        }
        for (algorithm, declared) in &expected.checksums {
            self.check_one(*algorithm, declared, algorithm.name())?;
        }
        Ok(())
    }

    fn check_one(&self, algorithm: Algorithm, declared: &str, name: &'static str) -> Result<(), StoreError> {
        match self.value(algorithm) {
            Some(computed) if computed == declared => Ok(()),
            computed => Err(StoreError::BadDigest {
                name,
                declared: declared.to_owned(),
                computed: computed.unwrap_or_default(),
            }),
        }
    }
}

impl Expected {
    /// The algorithms that must be computed to check this.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let md5 = self.content_md5.as_ref().map(|_| Algorithm::Md5);
        self.checksums.iter().map(|(algorithm, _)| *algorithm).chain(md5)
    }

    /// Refuses values that cannot be a checksum at all, before a byte is read.
    pub(crate) fn check_form(&self) -> Result<(), StoreError> {
        if self.checksums.len() > 1 {
            return Err(StoreError::InvalidRequest(
                "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."
                    .to_owned(),
            ));
        }
        for (algorithm, value) in &self.checksums {
            if !is_base64_of(value, algorithm.size_bytes()) {
                return Err(StoreError::InvalidRequest(format!(
                    "Value for {} header is invalid: {value:?} is not the base64 form of {} bytes.",
                    algorithm.header(),
                    algorithm.size_bytes()
                )));
            }
        }
        match &self.content_md5 {
            Some(value) if !is_base64_of(value, Algorithm::Md5.size_bytes()) => {
                Err(StoreError::InvalidDigest { value: value.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// A CRC64NVME as S3 writes it: big-endian, base64.
pub(crate) fn crc64_base64(crc64: u64) -> String {
    STANDARD.encode(crc64.to_be_bytes())
}

/// The number behind a base64 CRC of 4 or 8 bytes.
pub(crate) fn parse_crc(value: &str) -> Option<u64> {
    let bytes = STANDARD.decode(value).ok()?;
    match bytes.len() {
        4 | 8 => Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        ),
        _ => None,
    }
}

fn is_base64_of(value: &str, size_bytes: usize) -> bool {
    STANDARD
        .decode(value)
        .is_ok_and(|bytes| bytes.len() == size_bytes)
}
