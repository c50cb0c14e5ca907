//! A store that keeps no bytes checks them all the same.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, CompletedPart};
use embedded_s3::Discarded;

use crate::common::*;

async fn discarding() -> (TestStore, Discarded) {
    let discarded = Discarded::default();
    let store = start_with(|config| config.discard = Some(discarded.clone())).await;
    (store, discarded)
}

/// Bytes that the files below a folder take up on disk.
fn disk_usage_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("its size");
            if meta.is_dir() {
                disk_usage_bytes(&entry.path())
            } else {
                meta.blocks() * 512
            }
        })
        .sum()
}

async fn complete(store: &TestStore, id: &str, parts: &[CompletedPart], crc: &str) -> String {
    let call = store.client.complete_multipart_upload().bucket(BUCKET).key("big");
    let call = call.upload_id(id).multipart_upload(part_list(parts.to_vec()));
    code(call.checksum_crc64_nvme(crc).send().await)
}

#[tokio::test]
async fn discarding_store_completes_what_is_whole_and_holds_none_of_its_bytes() {
    let (store, discarded) = discarding().await;
    let body = bytes(1, 2 * PART + 1000);
    let id = create_upload(&store.client, "big").await;
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(body.chunks(PART)) {
        parts.push(upload_part(&store.client, "big", &id, number, part).await);
    }
    assert_eq!(complete(&store, &id, &parts, &crc64(b"else")).await, "BadDigest");
    assert_eq!(complete(&store, &id, &parts, &crc64(&body)).await, "200");
    assert_eq!((discarded.bytes(), discarded.bodies()), (body.len() as u64, 3));
    assert!(disk_usage_bytes(store.folder.path()) < 100_000);

    let head = store.client.head_object().bucket(BUCKET).key("big");
    let head = head.checksum_mode(ChecksumMode::Enabled).send().await;
    let head = head.expect("the object is there");
    assert_eq!(head.content_length(), Some(body.len() as i64));
    assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&body).as_str()));
}

#[tokio::test]
async fn discarding_store_refuses_a_flipped_bit() {
    let (store, _) = discarding().await;
    let body = bytes(4, 1000);
    let mut flipped = body.clone();
    flipped[17] ^= 1;
    let put = store.client.put_object().bucket(BUCKET).key("small");
    let put = put.checksum_crc64_nvme(crc64(&body));
    let put = put.body(ByteStream::from(flipped)).send().await;
    assert_eq!(code(put), "BadDigest");
}
