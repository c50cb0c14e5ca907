//! Amazon S3's limits and Holdfast's own, each with its source.
//!
//! S3: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>

/// One mebibyte in bytes.
pub const MIB: u64 = 1024 * 1024;

/// Smallest size in bytes of every part but the last.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const PART_SIZE_BYTES_MIN: u64 = 5 * MIB;

/// Largest size in bytes of one part, and of an object written by a single PUT.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const PART_SIZE_BYTES_MAX: u64 = 5 * 1024 * MIB;

/// Part size in bytes where nobody asked for another: large enough that the round trips of a part do
/// not show, small enough that a lost part costs little.
pub const PART_SIZE_BYTES_DEFAULT: u64 = 8 * MIB;

/// Most parts of one multipart upload, numbered from 1.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const PART_COUNT_MAX: u32 = 10_000;

/// Largest object in bytes: 50 TB since December 2025.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const OBJECT_SIZE_BYTES_MAX: u64 = 50_000_000_000_000;

/// Longest object key in bytes of UTF-8.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
pub const KEY_LENGTH_BYTES_MAX: usize = 1024;

/// Longest file name in bytes of UTF-8 that a client may send; what common file systems allow four
/// times over. The server shortens it to fit the key.
pub const FILE_NAME_LENGTH_BYTES_MAX: usize = 1024;

/// Longest content type in bytes.
pub const CONTENT_TYPE_LENGTH_BYTES_MAX: usize = 255;

/// Most bytes of user metadata of one object, names and values together.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
pub const METADATA_LENGTH_BYTES_MAX: usize = 2048;

/// Most part URLs signed by one call: at 600 bytes each an answer stays well under a megabyte.
pub const SIGN_BATCH_PARTS_MAX: usize = 1000;

/// Most starts or completes in one call: with what rides along an answer stays under a megabyte.
pub const BATCH_LENGTH_MAX: usize = 100;

/// Most parts and errors that one call may report for the live view.
pub const PROGRESS_ENTRIES_MAX: usize = 1000;

/// Longest message in bytes of an error reported for the live view.
pub const PROGRESS_MESSAGE_LENGTH_BYTES_MAX: usize = 500;

/// Longest `ETag` in bytes reported for the live view; S3's are 32 digits, some with a count.
pub const PROGRESS_ETAG_LENGTH_BYTES_MAX: usize = 128;

/// Longest life in seconds of a presigned URL (`SigV4`).
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
pub const PRESIGNED_URL_LIFETIME_SECONDS_MAX: u32 = 7 * 24 * 3600;

const _: () = assert!(PART_SIZE_BYTES_MIN <= PART_SIZE_BYTES_DEFAULT);
const _: () = assert!(PART_SIZE_BYTES_DEFAULT <= PART_SIZE_BYTES_MAX);
const _: () = assert!(PART_SIZE_BYTES_DEFAULT.is_multiple_of(MIB));
const _: () = assert!(OBJECT_SIZE_BYTES_MAX <= PART_SIZE_BYTES_MAX * PART_COUNT_MAX as u64);
// Sizes cross into JavaScript as numbers, exact up to 2^53.
const _: () = assert!(OBJECT_SIZE_BYTES_MAX < 1 << 53);

/// Longest life of a grant in seconds: a day. Ours, not S3's; longer ones are asked for again.
pub const GRANT_LIFETIME_SECONDS_MAX: u64 = 24 * 3600;

/// Life of a grant in seconds that asks for none: an hour.
pub const GRANT_LIFETIME_SECONDS_DEFAULT: u64 = 3600;

/// Most uploads that a grant can be limited to. Ours: each is remembered until the grant ends.
pub const GRANT_UPLOADS_MAX: u32 = 10_000;

/// Sessions in one page of a list, where no other number is asked for, and the most that may be.
pub const SESSION_LIST_LENGTH_DEFAULT: usize = 100;

/// See [`SESSION_LIST_LENGTH_DEFAULT`].
pub const SESSION_LIST_LENGTH_MAX: usize = 1000;

const _: () = assert!(GRANT_LIFETIME_SECONDS_DEFAULT <= GRANT_LIFETIME_SECONDS_MAX);
const _: () = assert!(SESSION_LIST_LENGTH_DEFAULT <= SESSION_LIST_LENGTH_MAX);
