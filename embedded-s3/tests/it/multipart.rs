//! Parts: what is stored, listed, copied and aborted.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;

use crate::common::*;

#[tokio::test]
async fn part_without_the_uploads_checksum_is_refused() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    let part = |number| {
        let part = store.client.upload_part().bucket(BUCKET).key("k");
        part.upload_id(&id)
            .part_number(number)
            .body(ByteStream::from_static(b"abc"))
    };
    assert_eq!(code(part(1).send().await), "InvalidRequest");
    let crc32 = part(1).checksum_crc32("NSRBwg==").send().await;
    assert_eq!(code(crc32), "InvalidRequest", "another algorithm is none");
    let garbled = part(1).checksum_crc64_nvme("not base64").send().await;
    assert_eq!(code(garbled), "InvalidRequest");
    let wrong = part(1).checksum_crc64_nvme(crc64(b"abd")).send().await;
    assert_eq!(code(wrong), "BadDigest");
    let right = part(1).checksum_crc64_nvme(crc64(b"abc")).send().await;
    assert_eq!(code(right), "200");
}

#[tokio::test]
async fn part_number_outside_one_to_ten_thousand_is_an_invalid_argument() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    for (number, expected) in [
        (0, "InvalidArgument"),
        (-1, "InvalidArgument"),
        (10_001, "InvalidArgument"),
        (i32::MAX, "InvalidArgument"),
        (1, "200"),
        (10_000, "200"),
    ] {
        let part = store.client.upload_part().bucket(BUCKET).key("k");
        let part = part
            .upload_id(&id)
            .part_number(number)
            .checksum_crc64_nvme(crc64(b"x"))
            .body(ByteStream::from_static(b"x"));
        assert_eq!(code(part.send().await), expected, "part {number}");
    }
}

#[tokio::test]
async fn part_sent_again_replaces_the_one_before() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    upload_part(&store.client, "k", &id, 1, b"old bytes").await;
    let part = upload_part(&store.client, "k", &id, 1, b"new").await;
    let list = store.client.list_parts().bucket(BUCKET).key("k");
    let listed = list.upload_id(&id).send().await.expect("listed");
    let [only] = listed.parts() else {
        panic!("one part: {listed:?}");
    };
    assert_eq!(only.size(), Some(3));
    assert_eq!(only.e_tag(), part.e_tag());
}

#[tokio::test]
async fn parts_beyond_a_page_are_listed_page_by_page() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    let uploads = (1..=1_205).map(|number| {
        let (client, id) = (store.client.clone(), id.clone());
        async move {
            let body = number.to_string();
            upload_part(&client, "k", &id, number, body.as_bytes()).await;
        }
    });
    futures::stream::StreamExt::for_each_concurrent(futures::stream::iter(uploads), 16, |part| part).await;
    for (page_size, pages_expected) in [(None, 2), (Some(100), 13), (Some(5_000), 2)] {
        let mut pages = Vec::new();
        let mut marker = None;
        loop {
            let list = store.client.list_parts().bucket(BUCKET).key("k");
            let page = list
                .upload_id(&id)
                .set_max_parts(page_size)
                .set_part_number_marker(marker)
                .send()
                .await
                .expect("a page");
            marker = page.next_part_number_marker().map(str::to_owned);
            let more = page.is_truncated() == Some(true);
            pages.push(page);
            if !more {
                break;
            }
        }
        assert_eq!(pages.len(), pages_expected);
        assert!(pages.iter().all(|page| page.parts().len() <= 1000));
        let listed: Vec<_> = pages.iter().flat_map(ListPartsOutput::parts).collect();
        assert_eq!(listed.len(), 1_205);
        for (part, number) in listed.into_iter().zip(1..) {
            let body = number.to_string();
            assert_eq!(part.part_number(), Some(number));
            assert_eq!(part.size(), Some(body.len() as i64));
            assert_eq!(part.checksum_crc64_nvme(), Some(&*crc64(body.as_bytes())));
        }
    }
}

#[tokio::test]
async fn aborted_upload_is_gone_for_every_call() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    let part = upload_part(&store.client, "k", &id, 1, b"abc").await;
    let client = &store.client;
    let abort = || {
        client
            .abort_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id)
    };
    let list = || client.list_parts().bucket(BUCKET).key("k").upload_id(&id);
    assert_eq!(code(list().send().await), "200");
    assert_eq!(code(abort().send().await), "200");
    assert_eq!(code(abort().send().await), "NoSuchUpload");
    assert_eq!(code(list().send().await), "NoSuchUpload");
    let put = client.upload_part().bucket(BUCKET).key("k").upload_id(&id);
    let put = put
        .part_number(2)
        .checksum_crc64_nvme(crc64(b"x"))
        .body(ByteStream::from_static(b"x"));
    assert_eq!(code(put.send().await), "NoSuchUpload");
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("k");
    let complete = complete.upload_id(&id).multipart_upload(part_list(vec![part]));
    assert_eq!(code(complete.send().await), "NoSuchUpload");
}

#[tokio::test]
async fn upload_is_known_by_its_own_key_only() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    for (key, id) in [
        ("other", id.as_str()),
        ("k", "../k"),
        ("k", "no-such-id"),
        ("k", ""),
    ] {
        let list = store.client.list_parts().bucket(BUCKET).key(key);
        let answer = list.upload_id(id).send().await;
        // The SDK itself refuses an empty id.
        if let Err(SdkError::ConstructionFailure(_)) = answer {
            continue;
        }
        assert_eq!(code(answer), "NoSuchUpload", "{key} {id}");
    }
}

#[tokio::test]
async fn parts_are_copied_from_ranges_of_objects() {
    let store = start().await;
    let source = bytes(20, PART + 1000);
    put(&store.client, "source", &source).await;
    let id = create_upload(&store.client, "copy").await;
    let copy = |number: i32, range: &str| {
        store
            .client
            .upload_part_copy()
            .bucket(BUCKET)
            .key("copy")
            .upload_id(&id)
            .part_number(number)
            .copy_source(format!("{BUCKET}/source"))
            .copy_source_range(range)
            .send()
    };
    let last = source.len() - 1;
    let mut parts = Vec::new();
    for (number, range) in [
        (1, format!("bytes=0-{}", PART - 1)),
        (2, format!("bytes={PART}-{last}")),
    ] {
        let answer = copy(number, &range).await.expect("copied");
        let result = answer.copy_part_result.expect("a result");
        parts.push(
            aws_sdk_s3::types::CompletedPart::builder()
                .part_number(number)
                .set_e_tag(result.e_tag)
                .set_checksum_crc64_nvme(result.checksum_crc64_nvme)
                .build(),
        );
    }
    for range in [
        format!("bytes=0-{}", last + 1),
        "bytes=5-".to_owned(),
        "5-6".to_owned(),
    ] {
        assert_eq!(code(copy(3, &range).await), "InvalidArgument", "{range}");
    }
    let complete = store
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("copy");
    complete
        .upload_id(&id)
        .multipart_upload(part_list(parts))
        .checksum_crc64_nvme(crc64(&source))
        .send()
        .await
        .expect("completes");
    assert_eq!(get(&store.client, "copy").await, source);
}

#[tokio::test]
async fn upload_in_an_algorithm_and_kind_s3_does_not_pair_is_refused() {
    use aws_sdk_s3::types::ChecksumType;
    let store = start().await;
    for (algorithm, kind, expected) in [
        (
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumType::Composite,
            "InvalidRequest",
        ),
        (
            ChecksumAlgorithm::Sha256,
            ChecksumType::FullObject,
            "InvalidRequest",
        ),
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject, "200"),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite, "200"),
    ] {
        let create = store.client.create_multipart_upload().bucket(BUCKET).key("k");
        let create = create.checksum_algorithm(algorithm).checksum_type(kind);
        assert_eq!(code(create.send().await), expected);
    }
}
