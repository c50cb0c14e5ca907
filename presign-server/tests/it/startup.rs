//! What the server finds out about its bucket when it starts.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse as _;
use presign_server::startup::{Expectations, Finding, inspect};
use tokio::net::TcpListener;
use upload_storage::{Credentials, S3Storage, S3StorageConfig, SharedCredentialsProvider};

use crate::process::start;

const PAGE: &str = "https://app.example.com";

/// What a store answers when it is asked about a bucket.
#[derive(Debug, Clone)]
struct Store {
    lifecycle: (u16, String),
    cors: HeaderMap,
    date: Option<String>,
}

impl Store {
    /// One that is set up as it should be.
    fn sound() -> Self {
        let mut cors = HeaderMap::new();
        cors.insert("access-control-allow-origin", PAGE.parse().unwrap());
        cors.insert("access-control-allow-methods", "PUT".parse().unwrap());
        let headers = "content-disposition, content-type, if-none-match, x-amz-checksum-crc64nvme";
        cors.insert("access-control-allow-headers", headers.parse().unwrap());
        Self {
            lifecycle: (200, rule("uploads/", "Enabled", 7)),
            cors,
            date: None,
        }
    }

    async fn findings(self) -> Vec<Finding> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(move |request: Request| {
            let store = self.clone();
            async move { store.answer(&request) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        inspect_at(&endpoint).await
    }

    fn answer(&self, request: &Request) -> axum::response::Response {
        let mut response = if *request.method() == Method::OPTIONS {
            assert_eq!(request.headers()["origin"], PAGE);
            assert_eq!(request.headers()["access-control-request-method"], "PUT");
            (StatusCode::OK, self.cors.clone()).into_response()
        } else {
            assert_eq!(request.uri().query(), Some("lifecycle"));
            let status = StatusCode::from_u16(self.lifecycle.0).unwrap();
            (status, self.lifecycle.1.clone()).into_response()
        };
        if let Some(date) = &self.date {
            response.headers_mut().insert("date", date.parse().unwrap());
        }
        response
    }
}

async fn inspect_at(endpoint: &str) -> Vec<Finding> {
    let mut config = S3StorageConfig::new("videos");
    config.endpoint = Some(endpoint.to_owned());
    config.region = Some("us-east-1".to_owned());
    let credentials = Credentials::new("access", "secret", None, None, "test");
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    let storage = S3Storage::connect(config).await.unwrap();
    let expected = Expectations {
        origins: vec![PAGE.to_owned()],
        key_prefix: "uploads".to_owned(),
        lease: Duration::from_hours(168),
        lifecycle: true,
    };
    inspect(&storage, &expected).await
}

fn rule(prefix: &str, status: &str, days: u32) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>x</ID><Status>{status}</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
    )
}

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>words</Message></Error>")
}

#[track_caller]
fn expect_warning(findings: &[Finding], words: &[&str]) {
    match findings {
        [Finding::Warning(text)] => {
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
        other => panic!("expected one warning: {other:?}"),
    }
}

#[tokio::test]
async fn bucket_that_is_set_up_well_is_not_spoken_of() {
    assert_eq!(Store::sound().findings().await, []);
    let mut whole_bucket = Store::sound();
    whole_bucket.lifecycle.1 = rule("", "Enabled", 30);
    assert_eq!(whole_bucket.findings().await, []);
}

#[tokio::test]
async fn missing_or_hasty_lifecycle_rule_is_warned_of_with_the_command_that_mends_it() {
    for (answer, words) in [
        ((404, error("NoSuchLifecycleConfiguration")), "no lifecycle rule"),
        ((200, rule("other/", "Enabled", 7)), "no lifecycle rule"),
        ((200, rule("uploads/", "Disabled", 7)), "no lifecycle rule"),
        (
            (200, rule("uploads/", "Enabled", 6)),
            "after 6 days, sooner than their lease of 7 days",
        ),
    ] {
        let mut store = Store::sound();
        store.lifecycle = answer;
        let fix = "aws s3api put-bucket-lifecycle-configuration --bucket videos";
        expect_warning(
            &store.findings().await,
            &[words, fix, "\"DaysAfterInitiation\":8"],
        );
    }
}

#[tokio::test]
async fn store_that_does_not_know_or_tell_its_rules_is_told_apart_and_only_noted() {
    for (status, code) in [
        (501, "NotImplemented"),
        (403, "AccessDenied"),
        (405, "MethodNotAllowed"),
    ] {
        let mut store = Store::sound();
        store.lifecycle = (status, error(code));
        match store.findings().await.as_slice() {
            [Finding::Note(text)] => assert!(text.contains("is not known") && text.contains(code), "{text}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn cors_that_would_stop_a_page_is_warned_of_by_origin_with_the_command_that_mends_it() {
    for (header, value, words) in [
        (
            "access-control-allow-origin",
            "https://other.example",
            "the origin `https://other.example`",
        ),
        ("access-control-allow-methods", "GET", "the methods `GET`"),
        (
            "access-control-allow-headers",
            "content-type",
            "the header `content-disposition`",
        ),
    ] {
        let mut store = Store::sound();
        store.cors.insert(header, value.parse().unwrap());
        let fix = "aws s3api put-bucket-cors --bucket videos";
        expect_warning(&store.findings().await, &[PAGE, words, fix]);
    }
}

#[tokio::test]
async fn clock_that_is_far_from_the_stores_is_warned_of() {
    let mut store = Store::sound();
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    let zoned = jiff::Timestamp::try_from(hour_ago).unwrap();
    store.date = Some(zoned.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    expect_warning(&store.findings().await, &["ahead of the store's", "NTP"]);
}

#[tokio::test]
async fn store_that_can_not_be_reached_is_only_noted() {
    // Nobody listens here.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let findings = inspect_at(&endpoint).await;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings.iter().all(|finding| matches!(finding, Finding::Note(_))),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_with_the_embedded_store_has_nothing_to_say_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let _server = start(folder.path(), 0);
    for _ in 0..100 {
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        if log.contains("the bucket was looked at") {
            assert!(log.contains("0 warnings"), "{log}");
            assert!(!log.contains("can't send parts"), "{log}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the bucket was not looked at");
}
