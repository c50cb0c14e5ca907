//! Multipart uploads: what is stored, what is refused, what is listed.

use crate::common::*;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedPart, ObjectAttributes};

#[tokio::test]
async fn parts_uploaded_out_of_order_complete_to_the_whole_file() {
    let store = start().await;
    let whole = bytes(1, 2 * PART + 12_345);
    let id = create_upload(&store.client, "a/b").await;
    let mut parts = Vec::new();
    for (number, part) in whole.chunks(PART).enumerate().rev() {
        let number = i32::try_from(number).expect("few") + 1;
        parts.push(upload_part(&store.client, "a/b", &id, number, part).await);
    }
    parts.reverse();
    let done = store
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("a/b")
        .upload_id(&id)
        .multipart_upload(part_list(parts))
        .checksum_type(ChecksumType::FullObject)
        .checksum_crc64_nvme(crc64(&whole))
        .mpu_object_size(i64::try_from(whole.len()).expect("small"))
        .if_none_match("*")
        .send()
        .await
        .expect("the upload completes");
    assert_eq!(done.checksum_crc64_nvme(), Some(crc64(&whole).as_str()));
    assert!(done.e_tag().expect("a tag").ends_with("-3\""));
    assert_eq!(get(&store.client, "a/b").await, whole);

    let head = store
        .client
        .head_object()
        .bucket(BUCKET)
        .key("a/b")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("the object is there");
    assert_eq!(head.content_length(), Some(whole.len() as i64));
    assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&whole).as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    assert_eq!(head.e_tag(), done.e_tag());
}

#[tokio::test]
async fn presigned_part_is_stored_once_its_bytes_are_the_signed_ones() {
    let store = start().await;
    let body = bytes(2, PART);
    let id = create_upload(&store.client, "k").await;
    let signed = presign_part(&store.client, "k", &id, 1, &body).await;
    let answer = send(&signed, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-amz-checksum-crc64nvme"), crc64(&body));
    assert!(!answer.header("etag").is_empty());
}
