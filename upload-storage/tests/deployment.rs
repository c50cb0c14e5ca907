//! The files in `deploy/` against what this crate really asks of a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::types::{CorsConfiguration, CorsRule};
use reqwest::Method;
use serde_json::Value;
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};
use upload_storage::{
    Credentials, NewObject, ObjectStorage as _, PartToSign, S3Storage, S3StorageConfig,
    SharedCredentialsProvider, SignedPut,
};
use upload_testkit::versitygw::Versitygw;

/// What each call of the SDK must be allowed, and what must be for a HEAD of nothing to be answered with
/// 404 and not with 403.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
const ACTIONS: &[(&str, &[&str])] = &[
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    ("complete_multipart_upload", &["s3:PutObject"]),
    ("create_multipart_upload", &["s3:PutObject"]),
    ("delete_object", &["s3:DeleteObject"]),
    (
        "get_bucket_lifecycle_configuration",
        &["s3:GetLifecycleConfiguration"],
    ),
    ("head_bucket", &["s3:ListBucket"]),
    ("head_object", &["s3:GetObject", "s3:ListBucket"]),
    ("list_multipart_uploads", &["s3:ListBucketMultipartUploads"]),
    ("list_parts", &["s3:ListMultipartUploadParts"]),
];

/// Actions on the bucket; all others are on objects.
const ON_BUCKET: &[&str] = &[
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
];

/// What the URLs given to clients do: `UploadPart` and `PutObject`.
const ACTION_OF_URLS: &str = "s3:PutObject";

const ORIGIN: &str = "http://localhost:8080";

fn deploy_file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().unwrap().iter();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// The SDK's calls in this crate's sources: each is a method of the client that is then sent.
fn calls_made() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/s3");
    let mut calls = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let compact: String = source.split_whitespace().collect();
        for after in compact.split("self.client.").skip(1) {
            calls.insert(after.split('(').next().unwrap().to_owned());
        }
    }
    calls
}

#[test]
fn iam_policy_allows_the_calls_that_are_made_and_no_others() {
    let actions: BTreeMap<_, _> = ACTIONS.iter().copied().collect();
    let mut needed = BTreeSet::from([ACTION_OF_URLS.to_owned()]);
    let calls = calls_made();
    assert_eq!(
        calls.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        actions.keys().copied().collect(),
        "the calls made are not those of the table"
    );
    for call in &calls {
        needed.extend(actions[call.as_str()].iter().map(|action| (*action).to_owned()));
    }
    let mut allowed = BTreeSet::new();
    for statement in deploy_file("iam-policy.json")["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let of_bucket = !statement["Resource"].as_str().unwrap().contains('/');
        for action in strings(&statement["Action"]) {
            assert_eq!(
                of_bucket,
                ON_BUCKET.contains(&action.as_str()),
                "{action} is of the other resource"
            );
            assert!(allowed.insert(action.clone()), "{action} is allowed twice");
        }
    }
    assert_eq!(allowed, needed);
}

/// The SDK reads no JSON: the rule as its type.
fn cors_rule() -> CorsRule {
    let rules = &deploy_file("bucket-cors.json")["CORSRules"];
    assert_eq!(rules.as_array().unwrap().len(), 1);
    let rule = &rules[0];
    CorsRule::builder()
        .set_allowed_origins(Some(strings(&rule["AllowedOrigins"])))
        .set_allowed_methods(Some(strings(&rule["AllowedMethods"])))
        .set_allowed_headers(Some(strings(&rule["AllowedHeaders"])))
        .max_age_seconds(i32::try_from(rule["MaxAgeSeconds"].as_i64().unwrap()).unwrap())
        .build()
        .unwrap()
}

/// Every kind of URL that a page can be given.
async fn signed_urls(storage: &S3Storage) -> [SignedPut; 2] {
    let part = PartToSign {
        part_number: PartNumber::FIRST,
        size_bytes: 3,
        checksum_crc64nvme: Some(Crc64Nvme(1)),
    };
    let object = NewObject {
        key: "uploads/x".to_owned(),
        content_type: "video/mp4".to_owned(),
        content_disposition: "attachment".to_owned(),
        metadata: BTreeMap::from([("album".to_owned(), "summer".to_owned())]),
        checksum: true,
    };
    let (now, lifetime) = (SystemTime::now(), Duration::from_mins(1));
    let id = MultipartUploadId("u".to_owned());
    let parts = [part];
    let parts = storage.presign_parts(now, lifetime, &object.key, &id, &parts);
    let single = storage.presign_single(now, lifetime, &object, &part);
    [parts.await.unwrap().remove(0), single.await.unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_with_these_cors_rules_lets_pages_send_parts_and_objects_and_nothing_else() {
    let server = Versitygw::start().await.unwrap();
    let credentials = Credentials::new(server.access_key(), server.secret_key(), None, None, "test");
    let client = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(server.region()))
        .credentials_provider(credentials.clone())
        .endpoint_url(server.endpoint())
        .force_path_style(true);
    let rules = CorsConfiguration::builder()
        .cors_rules(cors_rule())
        .build()
        .unwrap();
    let put = Client::from_conf(client.build())
        .put_bucket_cors()
        .bucket(server.bucket());
    put.cors_configuration(rules).send().await.unwrap();

    let mut config = S3StorageConfig::new(server.bucket());
    config.endpoint = Some(server.endpoint().to_owned());
    config.region = Some(server.region().to_owned());
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    let storage = S3Storage::connect(config).await.unwrap();
    for signed in signed_urls(&storage).await {
        let names: Vec<&str> = signed.headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(
            preflight(&signed, ORIGIN, "PUT", &names).await.as_deref(),
            Some(ORIGIN)
        );
        assert_eq!(
            preflight(&signed, "https://evil.example", "PUT", &names).await,
            None
        );
        assert_eq!(preflight(&signed, ORIGIN, "DELETE", &[]).await, None);
    }
}

/// Asks as a browser does before it sends; answers the origin that is allowed.
async fn preflight(signed: &SignedPut, origin: &str, method: &str, headers: &[&str]) -> Option<String> {
    let response = reqwest::Client::new()
        .request(Method::OPTIONS, signed.url.expose())
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers.join(","))
        .send()
        .await
        .unwrap();
    let allowed = response.status().is_success();
    let origin = response.headers().get("access-control-allow-origin");
    origin
        .filter(|_| allowed)
        .map(|origin| origin.to_str().unwrap().to_owned())
}

#[test]
fn lifecycle_rule_ends_what_the_server_forgot_and_nothing_that_it_still_keeps() {
    let rules = deploy_file("bucket-lifecycle.json");
    let rule = &rules["Rules"][0];
    assert_eq!(rule["Status"], "Enabled");
    assert_eq!(rule["Filter"]["Prefix"], "uploads/");
    // It counts from the start of an upload, however busy that is; a session lives a week after its
    // last call.
    let days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        .as_u64()
        .unwrap();
    assert!((14..=60).contains(&days), "{days} days");
    let about_objects = ["Expiration", "Transitions"]
        .iter()
        .any(|name| !rule[name].is_null());
    assert!(!about_objects, "a rule about objects has no place here");
}
