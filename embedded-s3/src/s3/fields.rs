//! What several operations read and write alike: checksums, object headers, names in listings.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::TrailingHeaders;
use s3s::dto::{ETag, EncodingType, Metadata, Timestamp, TimestampFormat};

use crate::checksum::{Algorithm, Expected};
use crate::store::{ObjectHeaders, StoreError, from_ms};

/// Bytes of user metadata, names and values together:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const METADATA_SIZE_MAX_BYTES: usize = 2 * 1024;

/// The checksums named in an input, in whichever of S3's fields they stand.
macro_rules! declared_checksums {
    ($input:expr) => {{
        let mut set = ::s3s::dto::Checksum::default();
        set.checksum_crc32 = $input.checksum_crc32.take();
        set.checksum_crc32c = $input.checksum_crc32c.take();
        set.checksum_crc64nvme = $input.checksum_crc64nvme.take();
        set.checksum_md5 = $input.checksum_md5.take();
        set.checksum_sha1 = $input.checksum_sha1.take();
        set.checksum_sha256 = $input.checksum_sha256.take();
        set.checksum_sha512 = $input.checksum_sha512.take();
        set.checksum_xxhash64 = $input.checksum_xxhash64.take();
        set.checksum_xxhash3 = $input.checksum_xxhash3.take();
        set.checksum_xxhash128 = $input.checksum_xxhash128.take();
        $crate::s3::fields::values_of(&set)
    }};
}

/// Puts a set of checksums into an output's fields.
macro_rules! answer_checksums {
    ($output:expr, $set:expr) => {{
        let set = $set;
        $output.checksum_crc32 = set.checksum_crc32;
        $output.checksum_crc32c = set.checksum_crc32c;
        $output.checksum_crc64nvme = set.checksum_crc64nvme;
        $output.checksum_md5 = set.checksum_md5;
        $output.checksum_sha1 = set.checksum_sha1;
        $output.checksum_sha256 = set.checksum_sha256;
        $output.checksum_sha512 = set.checksum_sha512;
        $output.checksum_xxhash64 = set.checksum_xxhash64;
        $output.checksum_xxhash3 = set.checksum_xxhash3;
        $output.checksum_xxhash128 = set.checksum_xxhash128;
    }};
}

/// The object headers of an input that makes an object.
macro_rules! object_headers {
    ($input:expr) => {
        $crate::s3::fields::checked_headers(
            $crate::store::ObjectHeaders {
                content_type: $input.content_type.take().map(|value| value.to_string()),
                content_disposition: $input.content_disposition.take(),
                content_encoding: $input.content_encoding.take(),
                content_language: $input.content_language.take(),
                cache_control: $input.cache_control.take(),
                expires: $input.expires.take(),
                metadata: ::std::collections::BTreeMap::new(),
            },
            $input.metadata.take(),
        )
    };
}

/// Refuses what would otherwise be dropped in silence, to the caller's surprise.
macro_rules! refuse_unsupported {
    ($input:expr) => {
        $crate::s3::fields::refuse(&[
            ("x-amz-tagging", $input.tagging.is_some()),
            (
                "x-amz-server-side-encryption",
                $input.server_side_encryption.is_some(),
            ),
            (
                "x-amz-server-side-encryption-customer-key",
                $input.sse_customer_key.is_some(),
            ),
            ("x-amz-object-lock-mode", $input.object_lock_mode.is_some()),
            (
                "x-amz-website-redirect-location",
                $input.website_redirect_location.is_some(),
            ),
        ])
    };
}

pub(super) use {answer_checksums, declared_checksums, object_headers, refuse_unsupported};

pub(super) fn values_of(set: &s3s::dto::Checksum) -> Vec<(Algorithm, String)> {
    Algorithm::ALL
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, algorithm.pick(set)?.clone())))
        .collect()
}

pub(super) fn refuse(headers: &[(&'static str, bool)]) -> Result<(), StoreError> {
    match headers.iter().find(|(_, present)| *present) {
        Some((name, _)) => Err(StoreError::NotImplemented(name)),
        None => Ok(()),
    }
}

pub(super) fn checked_headers(
    mut headers: ObjectHeaders,
    metadata: Option<Metadata>,
) -> Result<ObjectHeaders, StoreError> {
    headers.metadata = metadata.unwrap_or_default().into_iter().collect();
    let size_bytes = headers
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size_bytes > METADATA_SIZE_MAX_BYTES {
        return Err(StoreError::MetadataTooLarge {
            size_bytes,
            size_max_bytes: METADATA_SIZE_MAX_BYTES,
        });
    }
    Ok(headers)
}

/// The algorithms whose values will follow the body as trailers.
pub(super) fn announced_trailers(headers: &HeaderMap) -> Vec<Algorithm> {
    let names = headers
        .get_all("x-amz-trailer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect::<Vec<_>>();
    Algorithm::ALL
        .into_iter()
        .filter(|algorithm| names.contains(&algorithm.header()))
        .collect()
}

/// Adds the trailers' values once the body was read. An announced trailer must have come.
pub(super) fn add_trailers(
    expected: &mut Expected,
    announced: &[Algorithm],
    trailers: Option<&TrailingHeaders>,
) -> Result<(), StoreError> {
    for algorithm in announced {
        let value = trailers
            .and_then(|trailers| {
                trailers.read(|map| {
                    map.get(algorithm.header())
                        .and_then(|value| value.to_str().ok())
                        .map(str::to_owned)
                })
            })
            .flatten();
        let Some(value) = value else {
            return Err(StoreError::InvalidRequest(format!(
                "The announced trailer {} did not follow the body.",
                algorithm.header()
            )));
        };
        expected.checksums.push((*algorithm, value));
    }
    expected.check_form()
}

pub(super) fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

pub(super) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from(from_ms(ms))
}

/// A size for S3's fields, which are signed.
pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A count for S3's fields, which are signed 32-bit.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A page size: the client's, at most S3's 1,000.
pub(super) fn page_size(name: &str, asked: Option<i32>) -> Result<usize, StoreError> {
    const PAGE_ENTRIES_MAX: usize = 1000;
    match asked.map(usize::try_from) {
        None => Ok(PAGE_ENTRIES_MAX),
        Some(Ok(entries)) => Ok(entries.min(PAGE_ENTRIES_MAX)),
        Some(Err(_)) => Err(StoreError::InvalidArgument(format!(
            "{name} is {}, below 0",
            asked.unwrap_or_default()
        ))),
    }
}

/// What stays as it is in names of a listing with `encoding-type=url`.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Writes names as the client asked: XML cannot hold every character a key can.
pub(super) struct NameEncoding {
    url: bool,
}

impl NameEncoding {
    pub(super) fn new(asked: Option<&EncodingType>) -> Result<Self, StoreError> {
        match asked.map(EncodingType::as_str) {
            None | Some("") => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(other) => Err(StoreError::InvalidArgument(format!(
                "Invalid Encoding Method {other:?} specified in Request"
            ))),
        }
    }

    pub(super) fn write(&self, name: &str) -> String {
        if self.url {
            utf8_percent_encode(name, UNRESERVED).to_string()
        } else {
            name.to_owned()
        }
    }

    pub(super) fn write_some(&self, name: Option<&str>) -> Option<String> {
        name.map(|name| self.write(name))
    }
}

/// Whole seconds since 1970; times before it count as 0.
pub(super) fn unix_seconds(time: &Timestamp) -> u64 {
    let mut text = Vec::new();
    if time.format(TimestampFormat::EpochSeconds, &mut text).is_err() {
        return 0;
    }
    let text = String::from_utf8_lossy(&text);
    let seconds = text.split('.').next().unwrap_or_default();
    seconds.parse().unwrap_or(0)
}
