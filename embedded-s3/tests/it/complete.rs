//! Complete: every claim is checked, one of two racing wins, and a repeat is answered alike.

use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder as Complete;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedPart, ObjectAttributes};

use crate::common::*;

fn complete(store: &TestStore, key: &str, id: &str, parts: &[CompletedPart]) -> Complete {
    store
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .upload_id(id)
        .multipart_upload(part_list(parts.to_vec()))
}

/// An upload with one full part and one of 3 bytes.
async fn two_parts(store: &TestStore, key: &str) -> (String, Vec<CompletedPart>, Vec<u8>) {
    let body = bytes(30, PART + 3);
    let id = create_upload(&store.client, key).await;
    let parts = vec![
        upload_part(&store.client, key, &id, 1, &body[..PART]).await,
        upload_part(&store.client, key, &id, 2, &body[PART..]).await,
    ];
    (id, parts, body)
}

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
    let done = complete(&store, "a/b", &id, &parts)
        .checksum_type(ChecksumType::FullObject)
        .checksum_crc64_nvme(crc64(&whole))
        .mpu_object_size(whole.len() as i64)
        .if_none_match("*")
        .send()
        .await
        .expect("the upload completes");
    assert_eq!(done.checksum_crc64_nvme(), Some(crc64(&whole).as_str()));
    assert!(done.e_tag().expect("a tag").ends_with("-3\""));
    assert_eq!(get(&store.client, "a/b").await, whole);

    let head = store.client.head_object().bucket(BUCKET).key("a/b");
    let head = head.checksum_mode(ChecksumMode::Enabled).send().await;
    let head = head.expect("the object is there");
    assert_eq!(head.content_length(), Some(whole.len() as i64));
    assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&whole).as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    assert_eq!(head.e_tag(), done.e_tag());

    let attributes = store.client.get_object_attributes().bucket(BUCKET).key("a/b");
    let attributes = attributes
        .object_attributes(ObjectAttributes::ObjectParts)
        .object_attributes(ObjectAttributes::ObjectSize)
        .object_attributes(ObjectAttributes::Checksum)
        .max_parts(2)
        .send()
        .await
        .expect("attributes");
    assert_eq!(attributes.object_size(), Some(whole.len() as i64));
    let listed = attributes.object_parts().expect("parts");
    assert_eq!(listed.total_parts_count(), Some(3));
    assert_eq!(listed.parts().len(), 2);
    assert_eq!(listed.is_truncated(), Some(true));
    let checksum = attributes.checksum().expect("a checksum");
    assert_eq!(checksum.checksum_crc64_nvme(), Some(crc64(&whole).as_str()));

    let second = store.client.get_object().bucket(BUCKET).key("a/b").part_number(2);
    let second = second.send().await.expect("the second part");
    assert_eq!(second.parts_count(), Some(3));
    let second = second.body.collect().await.expect("bytes").to_vec();
    assert_eq!(second, whole[PART..2 * PART]);
}

#[tokio::test]
async fn complete_with_a_wrong_claim_is_refused_and_the_upload_stays() {
    let store = start().await;
    let (id, parts, body) = two_parts(&store, "k").await;
    let part = |number: i32, etag: &str| CompletedPart::builder().part_number(number).e_tag(etag).build();
    let etag = |index: usize| parts[index].e_tag().expect("a tag").to_owned();
    let other_crc = CompletedPart::builder()
        .part_number(2)
        .e_tag(etag(1))
        .checksum_crc64_nvme(crc64(b"xyz"))
        .build();
    let lists: Vec<(Vec<CompletedPart>, &str)> = vec![
        (vec![], "MalformedXML"),
        (vec![part(1, &etag(0)), part(3, &etag(1))], "InvalidPart"),
        (vec![part(1, &etag(1)), part(2, &etag(1))], "InvalidPart"),
        (vec![part(1, "\"0123\"")], "InvalidPart"),
        (vec![part(0, &etag(0))], "InvalidPart"),
        (
            vec![CompletedPart::builder().part_number(1).build()],
            "InvalidPart",
        ),
        (vec![parts[0].clone(), other_crc], "InvalidPart"),
        (vec![parts[1].clone(), parts[0].clone()], "InvalidPartOrder"),
        (vec![parts[0].clone(), parts[0].clone()], "InvalidPartOrder"),
    ];
    for (list, expected) in lists {
        let answer = complete(&store, "k", &id, &list).send().await;
        assert_eq!(code(answer), expected, "{list:?}");
    }
    let whole = || complete(&store, "k", &id, &parts);
    assert_eq!(
        code(whole().checksum_crc64_nvme(crc64(b"?")).send().await),
        "BadDigest"
    );
    assert_eq!(code(whole().mpu_object_size(7).send().await), "InvalidRequest");
    assert_eq!(
        code(whole().checksum_type(ChecksumType::Composite).send().await),
        "InvalidRequest"
    );
    assert_eq!(code(whole().if_match("\"x\"").send().await), "NoSuchKey");
    assert_eq!(
        code(whole().checksum_crc64_nvme(crc64(&body)).send().await),
        "200"
    );
}

#[tokio::test]
async fn complete_with_a_small_part_before_the_last_is_too_small() {
    let store = start().await;
    let id = create_upload(&store.client, "k").await;
    let parts = [
        upload_part(&store.client, "k", &id, 1, &bytes(1, PART - 1)).await,
        upload_part(&store.client, "k", &id, 2, b"end").await,
    ];
    assert_eq!(
        code(complete(&store, "k", &id, &parts).send().await),
        "EntityTooSmall"
    );
    let first = complete(&store, "k", &id, &parts[..1]).send().await;
    assert_eq!(code(first), "200", "a small part may be the last");
    assert_eq!(
        get(&store.client, "k").await.len(),
        PART - 1,
        "the unlisted part is dropped"
    );
}

#[tokio::test]
async fn empty_single_part_completes_to_an_empty_object() {
    let store = start().await;
    let id = create_upload(&store.client, "empty").await;
    let parts = [upload_part(&store.client, "empty", &id, 1, b"").await];
    let done = complete(&store, "empty", &id, &parts)
        .mpu_object_size(0)
        .send()
        .await;
    assert_eq!(code(done), "200");
    assert_eq!(get(&store.client, "empty").await, b"");
}

#[tokio::test]
async fn complete_onto_an_existing_key_is_refused_and_the_parts_stay() {
    let store = start().await;
    put(&store.client, "k", b"first").await;
    let (id, parts, body) = two_parts(&store, "k").await;
    let conditional = || complete(&store, "k", &id, &parts).if_none_match("*");
    assert_eq!(code(conditional().send().await), "PreconditionFailed");
    let list = store.client.list_parts().bucket(BUCKET).key("k").upload_id(&id);
    assert_eq!(list.send().await.expect("listed").parts().len(), 2);
    assert_eq!(get(&store.client, "k").await, b"first");
    store
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("deleted");
    assert_eq!(code(conditional().send().await), "200");
    assert_eq!(get(&store.client, "k").await, body);
}

#[tokio::test]
async fn complete_repeated_answers_the_same_until_the_object_is_replaced() {
    let store = start().await;
    let (id, parts, _) = two_parts(&store, "k").await;
    let again = || complete(&store, "k", &id, &parts).if_none_match("*").send();
    let first = again().await.expect("completes");
    let second = again().await.expect("completes again");
    assert_eq!(first.e_tag(), second.e_tag());
    assert_eq!(first.checksum_crc64_nvme(), second.checksum_crc64_nvme());
    assert_eq!(
        code(complete(&store, "k", &id, &parts[..1]).send().await),
        "InvalidPart"
    );
    let list = store.client.list_parts().bucket(BUCKET).key("k").upload_id(&id);
    assert_eq!(code(list.send().await), "NoSuchUpload");
    put(&store.client, "k", b"other").await;
    assert_eq!(code(again().await), "NoSuchUpload");
}

#[tokio::test]
async fn conditional_completes_of_one_key_racing_leave_one_winner() {
    let store = start().await;
    for round in 0..10 {
        let key = format!("race-{round}");
        let mut racers = Vec::new();
        for racer in 0_u8..6 {
            let id = create_upload(&store.client, &key).await;
            let part = upload_part(&store.client, &key, &id, 1, &[racer; 100]).await;
            racers.push((racer, complete(&store, &key, &id, &[part]).if_none_match("*")));
        }
        let answers = racers
            .into_iter()
            .map(|(racer, complete)| tokio::spawn(async move { (racer, code(complete.send().await)) }));
        let answers = futures::future::join_all(answers).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .map(|answer| answer.expect("no panic"))
            .partition(|(_, code)| code == "200");
        assert_eq!(won.len(), 1);
        assert!(
            lost.iter().all(|(_, code)| code == "PreconditionFailed"),
            "{lost:?}"
        );
        assert_eq!(get(&store.client, &key).await, [won[0].0; 100]);
    }
}

#[tokio::test]
async fn one_upload_completed_by_many_at_once_is_completed_once() {
    let store = start().await;
    let (id, parts, body) = two_parts(&store, "k").await;
    let answers = (0..8).map(|_| {
        let complete = complete(&store, "k", &id, &parts).if_none_match("*");
        tokio::spawn(async move { code(complete.send().await) })
    });
    for answer in futures::future::join_all(answers).await {
        assert_eq!(answer.expect("no panic"), "200");
    }
    assert_eq!(get(&store.client, "k").await, body);
}

#[tokio::test]
async fn other_algorithms_combine_as_s3_combines_them() {
    let store = start().await;
    let client = client_with(&store.endpoint, SECRET_KEY, |builder| {
        builder.request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
    });
    let body = bytes(40, PART + 77);
    let cases = [
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32C, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
    ];
    for (algorithm, kind) in cases {
        let key = format!("{algorithm}-{kind}");
        // A single PUT of the same bytes gives the full-object value to compare with.
        let single = client.put_object().bucket(BUCKET).key("single");
        let single = single
            .checksum_algorithm(algorithm.clone())
            .body(ByteStream::from(body.clone()))
            .send()
            .await
            .expect("stored");
        let create = client.create_multipart_upload().bucket(BUCKET).key(&key);
        let created = create
            .checksum_algorithm(algorithm.clone())
            .checksum_type(kind.clone())
            .send()
            .await
            .expect("an upload starts");
        let id = created.upload_id.expect("an id");
        let mut parts = Vec::new();
        for (number, part) in [(1, &body[..PART]), (2, &body[PART..])] {
            let answer = client.upload_part().bucket(BUCKET).key(&key);
            let answer = answer
                .upload_id(&id)
                .part_number(number)
                .checksum_algorithm(algorithm.clone())
                .body(ByteStream::from(part.to_vec()))
                .send()
                .await
                .expect("a part is stored");
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(answer.e_tag)
                    .set_checksum_crc32(answer.checksum_crc32)
                    .set_checksum_crc32_c(answer.checksum_crc32_c)
                    .set_checksum_sha256(answer.checksum_sha256)
                    .build(),
            );
        }
        let done = complete(&store, &key, &id, &parts)
            .send()
            .await
            .expect("completes");
        assert_eq!(done.checksum_type(), Some(&kind));
        match (&algorithm, &kind) {
            (ChecksumAlgorithm::Crc32, ChecksumType::FullObject) => {
                assert_eq!(done.checksum_crc32(), single.checksum_crc32());
            }
            (ChecksumAlgorithm::Crc32C, _) => {
                assert_eq!(done.checksum_crc32_c(), single.checksum_crc32_c());
            }
            (ChecksumAlgorithm::Crc32, _) => {
                assert!(done.checksum_crc32().expect("a value").ends_with("-2"));
            }
            _ => assert!(done.checksum_sha256().expect("a value").ends_with("-2")),
        }
        assert_eq!(get(&store.client, &key).await, body);
    }
}
