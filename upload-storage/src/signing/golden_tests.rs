//! Our URLs against those of the SDK, for the same time and credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};

use super::*;

const LIFETIME: Duration = Duration::from_mins(15);
const KEYS: &[&str] = &[
    "plain.bin",
    "a b/c+d~e.txt",
    "uploads/x/2026-01-01/é 😀 (1) 'q' *!@$,;:=?#%&.mov",
    "日本語/файл.txt",
];

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_708)
}

fn credentials(session_token: Option<&str>) -> Credentials {
    let token = session_token.map(str::to_owned);
    Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCY",
        token,
        None,
        "test",
    )
}

fn client(credentials: Credentials, endpoint: Option<&str>) -> Client {
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(credentials)
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    Client::from_conf(config.build())
}

fn address(endpoint: Option<&str>, bucket: &str) -> BucketAddress {
    match endpoint {
        Some(endpoint) => BucketAddress::of_endpoint(endpoint, bucket).unwrap(),
        None => BucketAddress::of_aws("eu-central-1", bucket),
    }
}

fn presigning() -> PresigningConfig {
    PresigningConfig::builder()
        .start_time(noon())
        .expires_in(LIFETIME)
        .build()
        .unwrap()
}

/// A URL as what it means: the order of its parameters is free.
fn taken_apart(url: &str) -> (String, BTreeSet<String>) {
    let (path, query) = url.split_once('?').unwrap();
    (path.to_owned(), query.split('&').map(str::to_owned).collect())
}

fn assert_same(ours: &SignedPut, theirs: &PresignedRequest, size_bytes: u64) {
    assert_eq!(taken_apart(ours.url.expose()), taken_apart(theirs.uri()));
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for header in &ours.headers {
        headers.insert(&header.name, header.value.clone());
    }
    headers.insert("content-length", size_bytes.to_string());
    let expected: BTreeMap<&str, String> = theirs
        .headers()
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn part_url_equals_the_one_of_the_sdk() {
    let crc = Crc64Nvme(0x0123_4567_89ab_cdef);
    let upload_id = MultipartUploadId("2~abc/+=. XYZ".to_owned());
    let settings = [
        (None, None, "videos"),
        (Some("token/+=="), None, "videos"),
        (None, Some("http://127.0.0.1:9000"), "b.with.dots"),
        (Some("token"), Some("https://s3.example"), "bucket"),
    ];
    for ((token, endpoint, bucket), key) in settings.iter().flat_map(|s| KEYS.iter().map(move |k| (s, k))) {
        for checksum in [Some(crc), None] {
            let part = PartToSign {
                part_number: PartNumber::new(7).unwrap(),
                size_bytes: 5_242_881,
                checksum_crc64nvme: checksum,
            };
            let context = SigningContext::new(&credentials(*token), "eu-central-1", noon());
            let address = address(*endpoint, bucket);
            let ours = sign_parts(&context, &address, noon(), LIFETIME, key, &upload_id, &[part]).unwrap();
            let theirs = client(credentials(*token), *endpoint)
                .upload_part()
                .bucket(*bucket)
                .key(*key)
                .upload_id(&upload_id.0)
                .part_number(7)
                .content_length(5_242_881)
                .set_checksum_crc64_nvme(checksum.map(Crc64Nvme::to_base64))
                .presigned(presigning())
                .await
                .unwrap();
            assert_same(&ours[0], &theirs, part.size_bytes);
            let names = if checksum.is_some() {
                "content-length%3Bhost%3Bx-amz-checksum-crc64nvme"
            } else {
                "content-length%3Bhost"
            };
            let expected = format!("X-Amz-SignedHeaders={names}");
            assert!(ours[0].url.expose().split('&').any(|pair| pair == expected));
        }
    }
}

#[tokio::test]
async fn single_put_url_equals_the_one_of_the_sdk() {
    let crc = Crc64Nvme(42);
    for key in KEYS {
        let object = NewObject {
            key: (*key).to_owned(),
            content_type: "video/quicktime".to_owned(),
            content_disposition: "attachment; filename=\"a b.mov\"; filename*=UTF-8''a%20b.mov".to_owned(),
            metadata: BTreeMap::from([("album".to_owned(), "summer 26".to_owned())]),
            checksum: true,
        };
        let part = PartToSign {
            part_number: PartNumber::FIRST,
            size_bytes: 0,
            checksum_crc64nvme: Some(crc),
        };
        let context = SigningContext::new(&credentials(None), "eu-central-1", noon());
        let endpoint = Some("http://127.0.0.1:9000");
        let ours = sign_object(
            &context,
            &address(endpoint, "b"),
            noon(),
            LIFETIME,
            &object,
            &part,
        )
        .unwrap();
        let theirs = client(credentials(None), endpoint)
            .put_object()
            .bucket("b")
            .key(*key)
            .content_length(0)
            .content_type(&object.content_type)
            .content_disposition(&object.content_disposition)
            .metadata("album", "summer 26")
            .checksum_crc64_nvme(crc.to_base64())
            .if_none_match("*")
            .presigned(presigning())
            .await
            .unwrap();
        assert_same(&ours, &theirs, 0);
    }
}

#[test]
fn url_never_outlives_the_credentials_nor_seven_days() {
    let end = noon() + Duration::from_mins(1);
    let short = Credentials::new("id", "secret", None, Some(end), "test");
    let address = address(None, "b");
    let sign = |credentials: &Credentials, lifetime| {
        let context = SigningContext::new(credentials, "r", noon());
        let upload_id = MultipartUploadId("u".to_owned());
        let part = PartToSign {
            part_number: PartNumber::FIRST,
            size_bytes: 1,
            checksum_crc64nvme: None,
        };
        let signed = sign_parts(&context, &address, noon(), lifetime, "k", &upload_id, &[part]);
        signed.unwrap()[0].expires_in_seconds
    };
    assert_eq!(sign(&short, LIFETIME), 60);
    assert_eq!(sign(&credentials(None), Duration::from_hours(720)), 7 * 86_400);
}
