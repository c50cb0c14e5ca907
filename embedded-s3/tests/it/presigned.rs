//! Presigned URLs bind one part: its number, its size and its bytes.

use aws_sdk_s3::presigning::PresignedRequest;

use crate::common::*;

async fn signed_part(store: &TestStore, body: &[u8]) -> (String, PresignedRequest) {
    let id = create_upload(&store.client, "k").await;
    let signed = presign_part(&store.client, "k", &id, 1, body).await;
    (id, signed)
}

async fn stored_parts(store: &TestStore, id: &str) -> usize {
    let list = store.client.list_parts().bucket(BUCKET).key("k");
    let answer = list.upload_id(id).send().await.expect("parts are listed");
    answer.parts().len()
}

#[tokio::test]
async fn presigned_part_with_the_signed_bytes_is_stored() {
    let store = start().await;
    let body = bytes(2, PART);
    let (id, signed) = signed_part(&store, &body).await;
    let answer = send(&signed, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-amz-checksum-crc64nvme"), crc64(&body));
    assert!(!answer.header("etag").is_empty());
    assert_eq!(stored_parts(&store, &id).await, 1);
}

#[tokio::test]
async fn presigned_part_with_a_flipped_bit_is_a_bad_digest() {
    let store = start().await;
    let mut body = bytes(3, 300_000);
    let (id, signed) = signed_part(&store, &body).await;
    body[299_999] ^= 1;
    let answer = send(&signed, &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BadDigest"));
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_with_a_byte_more_or_less_is_refused() {
    let store = start().await;
    let body = bytes(4, 300_000);
    let (id, signed) = signed_part(&store, &body).await;
    let longer = [body.as_slice(), b"x"].concat();
    for wrong in [&longer[..], &body[..299_999], &body[..0]] {
        let answer = send(&signed, wrong).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "SignatureDoesNotMatch"),
            "{} bytes",
            wrong.len()
        );
    }
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_whose_body_breaks_off_is_not_stored() {
    let store = start().await;
    let body = bytes(5, 300_000);
    let (id, signed) = signed_part(&store, &body).await;
    let url = signed.uri().to_owned();
    let rest = url.strip_prefix("http://").expect("http");
    let (host, path) = rest.split_once('/').expect("a path");
    let head = format!(
        "PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 300000\r\nx-amz-checksum-crc64nvme: {}\r\n\r\n",
        crc64(&body)
    );
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connects");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .expect("the head is sent");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &body[..299_000])
        .await
        .expect("most of the body is sent");
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(stored_parts(&store, &id).await, 0);
    let tmp = std::fs::read_dir(store.folder.path().join("tmp")).expect("the tmp folder");
    assert_eq!(tmp.count(), 0, "the broken-off body is removed");
}

#[tokio::test]
async fn presigned_part_without_its_checksum_header_is_refused() {
    let store = start().await;
    let body = bytes(6, 1000);
    let (id, signed) = signed_part(&store, &body).await;
    let answer = send_changed(&signed, &body, |headers| {
        headers.retain(|(name, _)| name != "x-amz-checksum-crc64nvme");
    })
    .await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_with_another_checksum_header_is_refused() {
    let store = start().await;
    let body = bytes(6, 1000);
    let other = bytes(7, 1000);
    let (id, signed) = signed_part(&store, &body).await;
    let answer = send_changed(&signed, &other, |headers| {
        headers.retain(|(name, _)| name != "x-amz-checksum-crc64nvme");
        headers.push(("x-amz-checksum-crc64nvme".to_owned(), crc64(&other)));
    })
    .await;
    assert_eq!(answer.code(), "SignatureDoesNotMatch");
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_url_that_never_bound_a_checksum_is_refused_by_the_upload() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    let signed = store
        .client
        .upload_part()
        .bucket(BUCKET)
        .key("k")
        .upload_id(&id)
        .part_number(1)
        .presigned(expires())
        .await
        .expect("signed");
    let answer = send(&signed, b"anything").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidRequest"));
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_url_changed_to_another_part_key_or_upload_is_refused() {
    let store = start().await;
    let body = bytes(8, 1000);
    let (id, signed) = signed_part(&store, &body).await;
    let other = create_upload(&store.client, "k").await;
    let url = signed.uri().to_owned();
    let changed = [
        url.replace("partNumber=1", "partNumber=2"),
        url.replace("/holdfast/k?", "/holdfast/l?"),
        url.replace(&id, &other),
        url.replace("X-Amz-Expires=600", "X-Amz-Expires=601"),
    ];
    for url in changed {
        assert_ne!(url, signed.uri());
        let crc = crc64(&body);
        let headers = [("content-length", "1000"), ("x-amz-checksum-crc64nvme", &*crc)];
        let answer = raw("PUT", &url, &headers, &body).await;
        assert_eq!(answer.code(), "SignatureDoesNotMatch", "{url}");
    }
    assert_eq!(stored_parts(&store, &id).await, 0);
}

#[tokio::test]
async fn presigned_part_with_an_unsigned_amz_header_is_refused() {
    let store = start().await;
    let body = bytes(9, 1000);
    let (_, signed) = signed_part(&store, &body).await;
    let answer = send_changed(&signed, &body, |headers| {
        headers.push(("x-amz-meta-more".to_owned(), "1".to_owned()));
    })
    .await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test]
async fn presigned_part_with_an_unsigned_content_type_is_stored() {
    let store = start().await;
    let body = bytes(10, 1000);
    let (_, signed) = signed_part(&store, &body).await;
    let answer = send_changed(&signed, &body, |headers| {
        headers.push(("content-type".to_owned(), "video/mp4".to_owned()));
    })
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn presigned_put_object_binds_size_checksum_and_absence() {
    let store = start().await;
    let body = bytes(11, 5000);
    let sign = || {
        store
            .client
            .put_object()
            .bucket(BUCKET)
            .key("single")
            .content_length(5000)
            .checksum_crc64_nvme(crc64(&body))
            .if_none_match("*")
            .presigned(expires())
    };
    let signed = sign().await.expect("signed");
    let mut flipped = body.clone();
    flipped[0] ^= 0x80;
    assert_eq!(send(&signed, &flipped).await.code(), "BadDigest");
    assert_eq!(send(&signed, &body[1..]).await.code(), "SignatureDoesNotMatch");
    let unconditional = send_changed(&signed, &body, |headers| {
        headers.retain(|(name, _)| name != "if-none-match");
    });
    assert_eq!(unconditional.await.status, 403);
    assert_eq!(send(&signed, &body).await.status, 200);
    let again = send(&signed, &body).await;
    assert_eq!((again.status, again.code().as_str()), (412, "PreconditionFailed"));
    assert_eq!(get(&store.client, "single").await, body);
}

#[tokio::test]
async fn presigned_part_refused_early_is_answered_although_the_body_was_not_read() {
    let store = start().await;
    let body = bytes(12, 8 * MIB);
    let (id, signed) = signed_part(&store, &body).await;
    let abort = store.client.abort_multipart_upload().bucket(BUCKET).key("k");
    abort.upload_id(&id).send().await.expect("aborted");
    for _ in 0..5 {
        let answer = send(&signed, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NoSuchUpload"));
    }
}
