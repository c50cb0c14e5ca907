//! Checksums: which there are, how they are computed over a stream, and how those of parts are
//! joined into the object's.

mod algorithm;
mod combine;
mod digest;

pub(crate) use algorithm::{Algorithm, ChecksumKind, StoredChecksum};
pub(crate) use combine::CrcJoiner;
pub(crate) use digest::{Digest, Digests, Expected, crc64_base64, parse_crc};
