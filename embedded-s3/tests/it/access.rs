//! Who may ask: signatures, addresses, folders.

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use embedded_s3::{EmbeddedS3, EmbeddedS3Config, OpenError, ServeError};
use tokio::net::TcpListener;

use crate::common::*;

#[tokio::test]
async fn request_with_another_secret_or_none_is_refused() {
    let store = start().await;
    let stranger = client_with(&store.endpoint, "another-secret", |builder| builder);
    let list = stranger.list_objects_v2().bucket(BUCKET).send().await;
    assert_eq!(code(list), "SignatureDoesNotMatch");
    let unsigned = raw("GET", &format!("{}/holdfast", store.endpoint), &[], b"").await;
    assert_eq!((unsigned.status, unsigned.code().as_str()), (403, "AccessDenied"));
    let put = format!("{}/holdfast/k", store.endpoint);
    let unsigned = raw("PUT", &put, &[("content-length", "3")], b"abc").await;
    assert_eq!(unsigned.status, 403);
}

#[tokio::test]
async fn presigned_url_past_its_time_is_refused() {
    let store = start().await;
    let config = aws_sdk_s3::presigning::PresigningConfig::builder()
        .start_time(std::time::SystemTime::now() - std::time::Duration::from_secs(100))
        .expires_in(std::time::Duration::from_secs(50))
        .build()
        .expect("a past time");
    let signed = store
        .client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .presigned(config)
        .await;
    let answer = send(&signed.expect("signed"), b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "AccessDenied"));
}

#[tokio::test]
async fn chunked_bodies_with_trailing_checksums_are_stored_and_checked() {
    let store = start().await;
    let client = client_with(&store.endpoint, SECRET_KEY, |builder| {
        builder.request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
    });
    let body = bytes(70, 3 * MIB + 5);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("body");
    std::fs::write(&path, &body).expect("written");
    for algorithm in [
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = client.put_object().bucket(BUCKET).key("k");
        let put = put
            .checksum_algorithm(algorithm)
            .body(ByteStream::from_path(&path).await.expect("a file"));
        put.send().await.expect("stored");
        assert!(get(&client, "k").await == body);
    }
}

#[tokio::test]
async fn listener_open_to_other_machines_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedS3::open(config(folder.path())).await.expect("opens");
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let refused = store.serve(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback { .. })));
}

#[tokio::test]
async fn folder_in_use_and_configs_without_keys_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = EmbeddedS3::open(config(folder.path())).await.expect("opens");
    let second = EmbeddedS3::open(config(folder.path())).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(first);
    assert!(EmbeddedS3::open(config(folder.path())).await.is_ok());

    let keyless = EmbeddedS3Config::new(folder.path(), "", "secret");
    assert!(matches!(
        EmbeddedS3::open(keyless).await,
        Err(OpenError::EmptyKey { .. })
    ));
    let mut config = config(folder.path());
    config.buckets.push("../escape".to_owned());
    let refused = EmbeddedS3::open(config).await;
    assert!(matches!(refused, Err(OpenError::BucketName { .. })));
}

#[tokio::test]
async fn shutdown_lets_a_request_under_way_finish() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedS3::open(config(folder.path())).await.expect("opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        store.serve(listener, stopped).await
    });
    let body = bytes(80, 16 * MIB);
    let client = client(&endpoint);
    let upload = {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move { put(&client, "k", &body).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let _ = stop.send(());
    serving.await.expect("no panic").expect("served");
    // Either it was accepted, and then finished, or it came too late to be accepted at all.
    let _ = upload.await;
}

#[test]
fn secret_key_is_not_in_the_debug_form() {
    let config = EmbeddedS3Config::new("x", "access", "very-secret");
    assert!(!format!("{config:?}").contains("very-secret"));
}
