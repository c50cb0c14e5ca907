//! The seam between uploads and the store that keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber, PresignedUrl, SignedHeader};

use crate::capabilities::Capabilities;
use crate::error::StorageError;

/// One bucket of an S3 store.
///
/// Every call may be repeated after any error whose retry class is a back-off: none of them does its
/// work twice.
#[async_trait]
pub trait ObjectStorage: Send + Sync + fmt::Debug {
    /// What the store can do. Never changes.
    fn capabilities(&self) -> Capabilities;

    /// The bucket's name.
    fn bucket(&self) -> &str;

    /// Scheme, host and port that the signed URLs name, such as `https://s3.example`: what a page's
    /// content security policy must let through.
    fn public_origin(&self) -> String;

    /// Starts a multipart upload.
    ///
    /// Repeated after a lost answer it starts a second one: look with
    /// [`find_multipart`](Self::find_multipart) first.
    async fn create_multipart(&self, object: &NewObject) -> Result<MultipartUploadId, StorageError>;

    /// The unfinished multipart uploads of exactly this key, oldest first.
    async fn find_multipart(&self, key: &str) -> Result<Vec<MultipartUploadId>, StorageError>;

    /// Signs one URL a part, in the order given, without a request to the store. Each takes exactly
    /// the declared number of bytes and, where a checksum is given, those bytes alone.
    ///
    /// `lifetime` counts from `now`, at most 7 days; it is cut where the credentials end sooner.
    async fn presign_parts(
        &self,
        now: SystemTime,
        lifetime: Duration,
        key: &str,
        upload_id: &MultipartUploadId,
        parts: &[PartToSign],
    ) -> Result<Vec<SignedPut>, StorageError>;

    /// Signs a URL that writes the whole object by one PUT and refuses to overwrite.
    async fn presign_single(
        &self,
        now: SystemTime,
        lifetime: Duration,
        object: &NewObject,
        part: &PartToSign,
    ) -> Result<SignedPut, StorageError>;

    /// Sends one part, or the whole object by one PUT that refuses to overwrite, from a stream; answers
    /// the `ETag` where the store told one.
    ///
    /// Only exactly the declared bytes become a part, whatever the store checks: they are counted and
    /// hashed on the way, and the last of them are held back until number and checksum are right. Memory
    /// is that of a few pieces of the stream, however long the part. Nothing is repeated: the stream is
    /// used up.
    ///
    /// # Errors
    /// [`StorageError::SizeMismatch`] and [`StorageError::ChecksumMismatch`] for other bytes than
    /// declared; [`StorageError::Source`] when the stream fails; [`StorageError::KeyTaken`] when another
    /// object is at the key. After none of them is anything of the part at the store.
    /// # Cancellation
    /// The store sees a request cut off, and keeps nothing of it.
    async fn put_part(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
        source: PartStream,
    ) -> Result<Option<String>, StorageError>;

    /// All parts the store holds, by number, over all pages.
    ///
    /// # Errors
    /// [`StorageError::NoSuchUpload`] once it is completed or aborted.
    async fn list_parts(
        &self,
        key: &str,
        upload_id: &MultipartUploadId,
    ) -> Result<Vec<ListedPart>, StorageError>;

    /// Makes the object of the parts named, then asks the store what it has.
    ///
    /// Repeated, or after a lost answer, it answers the object as well, provided size and checksum are
    /// those expected.
    ///
    /// # Errors
    /// [`StorageError::NoSuchUpload`] when there is neither upload nor object;
    /// [`StorageError::KeyTaken`] when the object at the key is another.
    async fn complete(&self, request: CompleteMultipart<'_>) -> Result<StoredObject, StorageError>;

    /// Aborts until the store holds no part of the upload any more. An upload already gone is fine.
    async fn abort(&self, key: &str, upload_id: &MultipartUploadId) -> Result<(), StorageError>;

    /// What is at the key, or `None`.
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, StorageError>;

    /// Deletes what is at the key. Nothing there is fine.
    async fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Whether the bucket answers.
    async fn ready(&self) -> Result<(), StorageError>;
}

/// An object about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its key.
    pub key: String,
    /// MIME type it will be served with.
    pub content_type: String,
    /// How a browser that opens it is told to treat it.
    pub content_disposition: String,
    /// User metadata: lower-case names without the `x-amz-meta-` prefix.
    pub metadata: BTreeMap<String, String>,
    /// The store is to keep and check CRC64NVME.
    pub checksum: bool,
}

/// What a signed URL is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartToSign {
    /// The part.
    pub part_number: PartNumber,
    /// Exact number of bytes.
    pub size_bytes: u64,
    /// Checksum of those bytes; without it any bytes of that number are taken.
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// What [`ObjectStorage::put_part`] writes.
#[derive(Debug, Clone, Copy)]
pub enum PutTarget<'a> {
    /// A part of a multipart upload.
    Part {
        /// The upload's key.
        key: &'a str,
        /// The upload.
        upload_id: &'a MultipartUploadId,
    },
    /// The whole object.
    Object(&'a NewObject),
}

/// A part's bytes on their way, in pieces of any size.
pub type PartStream = Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>;

/// A stream of bytes failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// Why.
    pub message: String,
}

/// A signed URL and what must be sent with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPut {
    /// Where to PUT the bytes.
    pub url: PresignedUrl,
    /// Headers to send, beside `content-length` which every HTTP client sets by itself.
    pub headers: Vec<SignedHeader>,
    /// Seconds from the time of signing until the URL is refused.
    pub expires_in_seconds: u32,
}

/// A part as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// The part.
    pub part_number: PartNumber,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its `ETag`, quotes included as the store gives them.
    pub etag: String,
    /// Its checksum, where the store keeps one.
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// What [`ObjectStorage::complete`] makes an object of.
#[derive(Debug, Clone, Copy)]
pub struct CompleteMultipart<'a> {
    /// The key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a MultipartUploadId,
    /// Every part, as [`ObjectStorage::list_parts`] gave them.
    pub parts: &'a [ListedPart],
    /// Sum of their sizes in bytes.
    pub size_bytes: u64,
    /// Checksum of the whole, where the upload has checksums.
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// An object as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// CRC64NVME of all its bytes, where the store keeps one.
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

impl StoredObject {
    /// Whether this is the object of that size and, where both are known, that checksum.
    pub fn is(&self, size_bytes: u64, checksum: Option<Crc64Nvme>) -> bool {
        let same_checksum = match (checksum, self.checksum_crc64nvme) {
            (Some(expected), Some(found)) => expected == found,
            // A store that keeps no checksum of an object sent with one can't vouch for it.
            (Some(_), None) => false,
            (None, _) => true,
        };
        self.size_bytes == size_bytes && same_checksum
    }
}
