//! S3's operations over the store: each reads its request, asks the store, writes its answer.

#![allow(
    clippy::wildcard_imports,
    reason = "an operation uses a dozen of s3s's generated types, all named after S3's"
)]
#![expect(clippy::doc_markdown, reason = "the names of S3's operations are prose here")]
#![expect(
    clippy::unused_async,
    reason = "operations are called alike, whether or not they touch the disk"
)]

mod attributes;
mod buckets;
mod copy;
mod errors;
mod fields;
mod list;
mod multipart;
mod objects;
mod read;

use std::sync::Arc;

use async_trait::async_trait;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};

use crate::disk::blocking;
use crate::store::{Bucket, Store, StoreError};

/// The operations, for s3s to call once it has checked the signature.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) region: String,
    pub(crate) allowed_origins: Vec<String>,
}

impl Api {
    fn bucket(&self, name: &str) -> Result<Arc<Bucket>, StoreError> {
        self.store.bucket(name)
    }

    /// Runs work that touches the disk off the async threads.
    async fn on_disk<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        blocking(move || work(&store))
            .await
            .map_err(StoreError::io("work in", self.store.layout.root()))?
    }
}

/// Forwards each operation to the method of the same name, which answers with the output alone.
macro_rules! operations {
    ($($name:ident: $input:ident => $output:ident,)*) => {
        #[async_trait]
        impl S3 for Api {
            $(
                async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    match Api::$name(self, request).await {
                        Ok(output) => Ok(S3Response::new(output)),
                        Err(error) => Err(errors::to_s3(error)),
                    }
                }
            )*

            async fn get_object(
                &self,
                request: S3Request<GetObjectInput>,
            ) -> S3Result<S3Response<GetObjectOutput>> {
                self.get_object_answer(request).await
            }

            async fn head_object(
                &self,
                request: S3Request<HeadObjectInput>,
            ) -> S3Result<S3Response<HeadObjectOutput>> {
                self.head_object_answer(request).await
            }
        }
    };
}

operations! {
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    copy_object: CopyObjectInput => CopyObjectOutput,
    create_bucket: CreateBucketInput => CreateBucketOutput,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    delete_bucket: DeleteBucketInput => DeleteBucketOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
    get_bucket_cors: GetBucketCorsInput => GetBucketCorsOutput,
    get_bucket_lifecycle_configuration: GetBucketLifecycleConfigurationInput
        => GetBucketLifecycleConfigurationOutput,
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
    get_bucket_versioning: GetBucketVersioningInput => GetBucketVersioningOutput,
    get_object_attributes: GetObjectAttributesInput => GetObjectAttributesOutput,
    head_bucket: HeadBucketInput => HeadBucketOutput,
    list_buckets: ListBucketsInput => ListBucketsOutput,
    list_multipart_uploads: ListMultipartUploadsInput => ListMultipartUploadsOutput,
    list_objects: ListObjectsInput => ListObjectsOutput,
    list_objects_v2: ListObjectsV2Input => ListObjectsV2Output,
    list_parts: ListPartsInput => ListPartsOutput,
    put_object: PutObjectInput => PutObjectOutput,
    upload_part: UploadPartInput => UploadPartOutput,
    upload_part_copy: UploadPartCopyInput => UploadPartCopyOutput,
}
