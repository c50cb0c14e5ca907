//! How to reach a bucket.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Config, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
    retry::RetryConfig,
};

use crate::address::{AddressError, BucketAddress};
use crate::capabilities::Capabilities;

/// How long a connection to the store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt of a control call may take. Completing 10,000 parts takes a store a while.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a control call may take with its repetitions. Callers give up sooner; the work goes on.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(150);

/// Attempts of a control call, the first included.
const ATTEMPTS_MAX: u32 = 3;

/// Region signed for where a custom endpoint is used and nobody named one: most stores accept it.
const REGION_DEFAULT: &str = "us-east-1";

/// How to reach a bucket.
#[derive(Debug, Clone)]
pub struct S3StorageConfig {
    /// The bucket. It must exist.
    pub bucket: String,
    /// Region; without it what the AWS environment says, then `us-east-1`.
    pub region: Option<String>,
    /// Endpoint of control calls; without it Amazon's own.
    pub endpoint: Option<String>,
    /// Endpoint that URLs given to clients name; without it `endpoint`.
    pub public_endpoint: Option<String>,
    /// Credentials; without them the AWS default chain.
    pub credentials: Option<SharedCredentialsProvider>,
    /// What the store can do.
    pub capabilities: Capabilities,
}

impl S3StorageConfig {
    /// A bucket at Amazon with the credentials and region of the environment.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: None,
            endpoint: None,
            public_endpoint: None,
            credentials: None,
            capabilities: Capabilities::default(),
        }
    }

    /// Where clients find the bucket.
    pub(super) fn public_address(&self, region: &str) -> Result<BucketAddress, AddressError> {
        match self.public_endpoint.as_ref().or(self.endpoint.as_ref()) {
            Some(endpoint) => BucketAddress::of_endpoint(endpoint, &self.bucket),
            None => Ok(BucketAddress::of_aws(region, &self.bucket)),
        }
    }

    /// Where this process finds the bucket.
    pub(super) fn own_address(&self, region: &str) -> Result<BucketAddress, AddressError> {
        match &self.endpoint {
            Some(endpoint) => BucketAddress::of_endpoint(endpoint, &self.bucket),
            None => Ok(BucketAddress::of_aws(region, &self.bucket)),
        }
    }

    /// What the environment says, with what this configuration says over it.
    pub(super) async fn load(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        let sdk = loader.load().await;
        if sdk.region().is_some() {
            return sdk;
        }
        sdk.into_builder().region(Region::new(REGION_DEFAULT)).build()
    }

    /// The client of control calls.
    pub(super) fn client_config(&self, sdk: &SdkConfig) -> Config {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut builder = Builder::from(sdk)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Stores other than Amazon's refuse the checksum trailers that newer SDKs add by default.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint_url(endpoint).force_path_style(true);
        }
        builder.build()
    }
}
