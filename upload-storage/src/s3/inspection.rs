//! Asking a bucket how it is set up.

use async_trait::async_trait;
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule};

use super::S3Storage;
use super::errors::from_sdk;
use crate::error::StorageError;
use crate::inspection::{BucketInspection, Lifecycle};

#[async_trait]
impl BucketInspection for S3Storage {
    async fn lifecycle(&self, key_prefix: &str) -> Result<Lifecycle, StorageError> {
        let call = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(&self.bucket);
        let error = match call.send().await {
            Ok(answer) => {
                let days = answer.rules().iter().filter(|rule| covers(rule, key_prefix));
                let days = days.filter_map(days_of).min();
                return Ok(days.map_or(Lifecycle::Never, |days| Lifecycle::AbortsAfter { days }));
            }
            Err(error) => from_sdk("GetBucketLifecycleConfiguration", &error),
        };
        match error {
            StorageError::Refused { ref code, .. } if code == "NoSuchLifecycleConfiguration" => {
                Ok(Lifecycle::Never)
            }
            StorageError::Refused { .. } => Ok(Lifecycle::Unknown {
                reason: error.to_string(),
            }),
            // A 501 is no passing failure.
            StorageError::Unavailable { ref message, .. } if message.starts_with("status 501") => {
                Ok(Lifecycle::Unknown {
                    reason: error.to_string(),
                })
            }
            error => Err(error),
        }
    }

    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn public_url(&self, key: &str) -> String {
        format!("{}{}/{key}", self.address.origin(), self.address.path_prefix())
    }
}

/// Whether a rule is in force for every key below the prefix. One with tags or sizes is for some alone.
fn covers(rule: &LifecycleRule, key_prefix: &str) -> bool {
    let filter = rule.filter();
    let plain = filter.is_none_or(|filter| filter.tag().is_none() && filter.and().is_none());
    #[expect(deprecated, reason = "older configurations have the prefix beside the filter")]
    let prefix = filter.and_then(|filter| filter.prefix()).or(rule.prefix());
    *rule.status() == ExpirationStatus::Enabled && plain && key_prefix.starts_with(prefix.unwrap_or_default())
}

fn days_of(rule: &LifecycleRule) -> Option<u32> {
    let days = rule
        .abort_incomplete_multipart_upload()?
        .days_after_initiation()?;
    u32::try_from(days).ok()
}
