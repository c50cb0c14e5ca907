//! The trait against real stores over HTTP, each held to what its profile declares.

use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_storage::{
    Credentials, ObjectStorage as _, Retry, S3Storage, S3StorageConfig, SharedCredentialsProvider,
    StorageError, StoreProfile,
};
use upload_testkit::object_storage::{Stores, suite};
use upload_testkit::versitygw::Versitygw;

/// Where a store is, and as whom it is used.
struct Account {
    endpoint: String,
    access_key: String,
    secret_key: String,
}

impl Account {
    async fn connect(&self, profile: StoreProfile, bucket: &str) -> S3Storage {
        let mut config = S3StorageConfig::new(bucket);
        config.endpoint = Some(self.endpoint.clone());
        config.region = Some("us-east-1".to_owned());
        config.capabilities = profile.capabilities();
        let credentials = Credentials::new(&self.access_key, &self.secret_key, None, None, "test");
        config.credentials = Some(SharedCredentialsProvider::new(credentials));
        S3Storage::connect(config).await.unwrap()
    }

    async fn passes_as(&self, profile: StoreProfile, bucket: &str) {
        suite(Stores {
            storage: &self.connect(profile, bucket).await,
            without_bucket: &self.connect(profile, "no-such-bucket").await,
        })
        .await;
    }
}

/// The embedded store over a folder that goes with the test.
async fn embedded() -> (Account, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EmbeddedS3Config::new(folder.path(), "access", "secret");
    config.buckets = vec!["bucket".to_owned()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let account = Account {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        access_key: "access".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let store = EmbeddedS3::open(config).await.unwrap();
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
    (account, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_store_does_what_its_profile_declares() {
    let (account, _folder) = embedded().await;
    account.passes_as(StoreProfile::Embedded, "bucket").await;
}

/// A store that can do more than it is declared to shows that nothing more is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn store_declared_to_do_less_is_asked_for_no_more() {
    let (account, _folder) = embedded().await;
    for profile in [StoreProfile::Garage, StoreProfile::R2, StoreProfile::Minio] {
        account.passes_as(profile, "bucket").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_does_what_its_profile_declares() {
    let server = Versitygw::start().await.unwrap();
    let account = Account {
        endpoint: server.endpoint().to_owned(),
        access_key: server.access_key().to_owned(),
        secret_key: server.secret_key().to_owned(),
    };
    account.passes_as(StoreProfile::Versitygw, server.bucket()).await;
}

#[tokio::test]
async fn unreachable_store_is_an_error_to_wait_for() {
    let nowhere = Account {
        endpoint: "http://127.0.0.1:1".to_owned(),
        access_key: "access".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let storage = nowhere.connect(StoreProfile::Embedded, "bucket").await;
    let error = storage.head("k").await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterBackoff);
}
