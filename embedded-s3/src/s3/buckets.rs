//! Buckets, and the fixed answers about them.

use s3s::S3Request;
use s3s::dto::*;

use super::Api;
use super::fields::{page_size, timestamp};
use crate::serve::{EXPOSED_HEADERS, PREFLIGHT_SECONDS};
use crate::store::StoreError;

impl Api {
    pub(super) async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> Result<CreateBucketOutput, StoreError> {
        let name = request.input.bucket;
        let location = format!("/{name}");
        self.on_disk(move |store| store.create_bucket(&name)).await?;
        Ok(CreateBucketOutput {
            location: Some(location),
            ..Default::default()
        })
    }

    pub(super) async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> Result<DeleteBucketOutput, StoreError> {
        let name = request.input.bucket;
        self.on_disk(move |store| store.delete_bucket(&name)).await?;
        Ok(DeleteBucketOutput::default())
    }

    pub(super) async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> Result<HeadBucketOutput, StoreError> {
        self.bucket(&request.input.bucket)?;
        Ok(HeadBucketOutput {
            bucket_region: Some(self.region.clone()),
            ..Default::default()
        })
    }

    pub(super) async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> Result<ListBucketsOutput, StoreError> {
        let input = request.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        // Without a size S3 answers all; with one it pages.
        let entries_max = match input.max_buckets {
            None => usize::MAX,
            asked => page_size("max-buckets", asked)?,
        };
        let mut found: Vec<_> = self
            .store
            .buckets()
            .into_iter()
            .filter(|bucket| bucket.name().starts_with(&prefix))
            .filter(|bucket| {
                let after = input.continuation_token.as_deref();
                after.is_none_or(|after| bucket.name() > after)
            })
            .collect();
        let more = found.len() > entries_max;
        found.truncate(entries_max);
        let continuation_token = found.last().filter(|_| more).map(|last| last.name().to_owned());
        let buckets = found
            .iter()
            .map(|bucket| Bucket {
                name: Some(bucket.name().to_owned()),
                creation_date: Some(timestamp(bucket.created_ms())),
                bucket_region: Some(self.region.clone()),
                ..Default::default()
            })
            .collect();
        Ok(ListBucketsOutput {
            buckets: Some(buckets),
            continuation_token,
            owner: Some(owner()),
            prefix: input.prefix,
        })
    }

    pub(super) async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Result<GetBucketLocationOutput, StoreError> {
        self.bucket(&request.input.bucket)?;
        // S3 answers an empty location for its first region.
        let location =
            (self.region != "us-east-1").then(|| BucketLocationConstraint::from(self.region.clone()));
        Ok(GetBucketLocationOutput {
            location_constraint: location,
        })
    }

    /// Never versioned: an empty answer, as S3 gives for such buckets.
    pub(super) async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> Result<GetBucketVersioningOutput, StoreError> {
        self.bucket(&request.input.bucket)?;
        Ok(GetBucketVersioningOutput::default())
    }

    /// What the CORS layer in front really does.
    pub(super) async fn get_bucket_cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> Result<GetBucketCorsOutput, StoreError> {
        self.bucket(&request.input.bucket)?;
        let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        let allowed_origins = if self.allowed_origins.is_empty() {
            vec!["*".to_owned()]
        } else {
            self.allowed_origins.clone()
        };
        Ok(GetBucketCorsOutput {
            cors_rules: Some(vec![CORSRule {
                allowed_headers: Some(vec!["*".to_owned()]),
                allowed_methods: owned(&["GET", "PUT", "POST", "DELETE", "HEAD"]),
                allowed_origins,
                expose_headers: Some(owned(&EXPOSED_HEADERS)),
                id: None,
                max_age_seconds: Some(PREFLIGHT_SECONDS),
            }]),
        })
    }

    /// The store removes nothing by itself, and says so by having no rules: uploads left behind are
    /// aborted by the server's janitor.
    pub(super) async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> Result<GetBucketLifecycleConfigurationOutput, StoreError> {
        self.bucket(&request.input.bucket)?;
        Err(StoreError::NoSuchLifecycle)
    }
}

/// The one owner of everything.
pub(super) fn owner() -> Owner {
    Owner {
        display_name: Some("holdfast".to_owned()),
        id: Some("holdfast".to_owned()),
    }
}
