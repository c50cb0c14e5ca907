//! The object store, with every call counted and timed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;
use upload_protocol::MultipartUploadId;
use upload_storage::{
    Capabilities, CompleteMultipart, ListedPart, NewObject, ObjectStorage, PartStream, PartToSign, PutTarget,
    SignedPut, StorageError, StoredObject,
};

use crate::metrics::Metrics;

/// Passes every call on and counts it.
#[derive(Debug)]
pub(super) struct ObservedStorage {
    inner: Arc<dyn ObjectStorage>,
    metrics: Metrics,
}

impl ObservedStorage {
    pub(super) fn new(inner: Arc<dyn ObjectStorage>, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    async fn observe<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let since = Instant::now();
        let result = call.await;
        let outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        self.metrics.store_called(action, outcome, since.elapsed());
        result
    }
}

/// A failure by its kind alone.
fn outcome(error: &StorageError) -> &'static str {
    match error {
        StorageError::NoSuchUpload => "no_such_upload",
        StorageError::KeyTaken { .. } => "key_taken",
        StorageError::PartsChanged { .. } => "parts_changed",
        StorageError::SizeMismatch { .. } => "size_mismatch",
        StorageError::ChecksumMismatch { .. } => "checksum_mismatch",
        StorageError::Unavailable { .. } => "unavailable",
        StorageError::Refused { .. } => "refused",
        StorageError::Credentials { .. } => "credentials",
        _ => "other",
    }
}

#[async_trait]
impl ObjectStorage for ObservedStorage {
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn public_origin(&self) -> String {
        self.inner.public_origin()
    }

    async fn create_multipart(&self, object: &NewObject) -> Result<MultipartUploadId, StorageError> {
        self.observe("create_multipart", self.inner.create_multipart(object))
            .await
    }

    async fn find_multipart(&self, key: &str) -> Result<Vec<MultipartUploadId>, StorageError> {
        self.observe("find_multipart", self.inner.find_multipart(key))
            .await
    }

    async fn presign_parts(
        &self,
        now: SystemTime,
        lifetime: Duration,
        key: &str,
        upload_id: &MultipartUploadId,
        parts: &[PartToSign],
    ) -> Result<Vec<SignedPut>, StorageError> {
        let signed = self.inner.presign_parts(now, lifetime, key, upload_id, parts);
        let signed = signed.await?;
        self.metrics.signed(signed.len());
        Ok(signed)
    }

    async fn presign_single(
        &self,
        now: SystemTime,
        lifetime: Duration,
        object: &NewObject,
        part: &PartToSign,
    ) -> Result<SignedPut, StorageError> {
        let signed = self.inner.presign_single(now, lifetime, object, part).await?;
        self.metrics.signed(1);
        Ok(signed)
    }

    async fn put_part(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
        source: PartStream,
    ) -> Result<Option<String>, StorageError> {
        self.observe("put_part", self.inner.put_part(now, target, part, source))
            .await
    }

    async fn list_parts(
        &self,
        key: &str,
        upload_id: &MultipartUploadId,
    ) -> Result<Vec<ListedPart>, StorageError> {
        self.observe("list_parts", self.inner.list_parts(key, upload_id))
            .await
    }

    async fn complete(&self, request: CompleteMultipart<'_>) -> Result<StoredObject, StorageError> {
        self.observe("complete", self.inner.complete(request)).await
    }

    async fn abort(&self, key: &str, upload_id: &MultipartUploadId) -> Result<(), StorageError> {
        self.observe("abort", self.inner.abort(key, upload_id)).await
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, StorageError> {
        self.observe("head", self.inner.head(key)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.observe("delete", self.inner.delete(key)).await
    }

    async fn ready(&self) -> Result<(), StorageError> {
        self.observe("ready", self.inner.ready()).await
    }
}
