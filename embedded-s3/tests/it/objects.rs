//! Whole objects: headers, conditions, ranges, copies, deletes.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier};

use crate::common::*;

#[tokio::test]
async fn object_is_answered_with_the_headers_it_was_stored_with() {
    let store = start().await;
    let put = store.client.put_object().bucket(BUCKET).key("k");
    put.content_type("video/mp4")
        .content_disposition("attachment; filename*=UTF-8''%F0%9F%8E%AC.mp4")
        .cache_control("no-store")
        .content_language("en")
        .metadata("owner", "someone")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .expect("stored");
    let got = store.client.get_object().bucket(BUCKET).key("k").send().await;
    let got = got.expect("there");
    assert_eq!(got.content_type(), Some("video/mp4"));
    assert_eq!(
        got.content_disposition(),
        Some("attachment; filename*=UTF-8''%F0%9F%8E%AC.mp4")
    );
    assert_eq!(got.cache_control(), Some("no-store"));
    assert_eq!(got.content_language(), Some("en"));
    let metadata = got.metadata().expect("metadata");
    assert_eq!(metadata.get("owner").map(String::as_str), Some("someone"));
    let etag = got.e_tag().expect("a tag").trim_matches('"');
    assert!(
        etag.len() != 32 || etag.contains('-'),
        "not in the form of an MD5: {etag}"
    );
}

#[tokio::test]
async fn object_of_no_bytes_is_stored_and_read() {
    let store = start().await;
    put(&store.client, "empty", b"").await;
    assert_eq!(get(&store.client, "empty").await, b"");
    let range = store
        .client
        .get_object()
        .bucket(BUCKET)
        .key("empty")
        .range("bytes=0-0");
    assert_eq!(code(range.send().await), "InvalidRange");
}

#[tokio::test]
async fn ranges_are_cut_to_the_object_and_refused_outside() {
    let store = start().await;
    let body = bytes(50, 3 * MIB + 17);
    put(&store.client, "k", &body).await;
    let last = body.len() - 1;
    for (range, expected) in [
        ("bytes=0-0".to_owned(), &body[..1]),
        ("bytes=5-1048580".to_owned(), &body[5..=1_048_580]),
        (format!("bytes={last}-{}", last + 500), &body[last..]),
        ("bytes=2000000-".to_owned(), &body[2_000_000..]),
        ("bytes=-7".to_owned(), &body[body.len() - 7..]),
        ("bytes=-99999999".to_owned(), &body[..]),
    ] {
        let get = store.client.get_object().bucket(BUCKET).key("k").range(&range);
        let answer = get.send().await.expect("a range");
        assert!(answer.content_range().is_some(), "{range}");
        let got = answer.body.collect().await.expect("bytes").to_vec();
        assert!(got == expected, "{range}: {} bytes", got.len());
    }
    let beyond = store.client.get_object().bucket(BUCKET).key("k");
    let beyond = beyond.range(format!("bytes={}-", last + 1)).send().await;
    assert_eq!(code(beyond), "InvalidRange");
}

#[tokio::test]
async fn conditions_on_reads_are_answered_304_and_412() {
    let store = start().await;
    put(&store.client, "k", b"hello").await;
    let get = || store.client.get_object().bucket(BUCKET).key("k");
    let etag = get().send().await.expect("there").e_tag.expect("a tag");
    assert_eq!(code(get().if_match(&etag).send().await), "200");
    assert_eq!(code(get().if_match("\"x\"").send().await), "PreconditionFailed");
    assert_eq!(code(get().if_none_match("\"x\"").send().await), "200");
    let not_modified = get().if_none_match(&etag).send().await.expect_err("304");
    let raw = not_modified.raw_response().expect("an answer");
    assert_eq!(raw.status().as_u16(), 304);
    assert_eq!(raw.headers().get("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn put_only_if_absent_is_refused_on_an_existing_key() {
    let store = start().await;
    let put = |body: &'static [u8]| {
        let put = store.client.put_object().bucket(BUCKET).key("k");
        put.if_none_match("*").body(ByteStream::from_static(body)).send()
    };
    assert_eq!(code(put(b"one").await), "200");
    assert_eq!(code(put(b"two").await), "PreconditionFailed");
    assert_eq!(get(&store.client, "k").await, b"one");
}

#[tokio::test]
async fn put_racing_on_an_absent_key_has_one_winner() {
    let store = start().await;
    let puts = (0_u8..12).map(|racer| {
        let put = store
            .client
            .put_object()
            .bucket(BUCKET)
            .key("k")
            .if_none_match("*");
        let put = put.body(ByteStream::from(vec![racer; 10_000]));
        tokio::spawn(async move { (racer, code(put.send().await)) })
    });
    let answers = futures::future::join_all(puts).await;
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("no panic"))
        .collect();
    let won: Vec<_> = answers.iter().filter(|(_, code)| code == "200").collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert_eq!(get(&store.client, "k").await, [won[0].0; 10_000]);
}

#[tokio::test]
async fn put_with_wrong_digests_is_refused_and_nothing_is_stored() {
    let store = start().await;
    let put = || {
        let put = store.client.put_object().bucket(BUCKET).key("k");
        put.body(ByteStream::from_static(b"hello"))
    };
    assert_eq!(
        code(put().checksum_crc64_nvme(crc64(b"hullo")).send().await),
        "BadDigest"
    );
    assert_eq!(code(put().checksum_crc32("AAAAAA==").send().await), "BadDigest");
    assert_eq!(
        code(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        "BadDigest"
    );
    assert_eq!(code(put().content_md5("x").send().await), "InvalidDigest");
    let head = store.client.head_object().bucket(BUCKET).key("k").send().await;
    assert_eq!(code(head), "NotFound");
    let right = put().content_md5("XUFAKrxLKna5cZ2REBfFkg==").send().await;
    assert_eq!(code(right), "200");
}

#[tokio::test]
async fn put_of_what_the_store_does_not_do_is_refused_by_name() {
    let store = start().await;
    let put = || {
        let put = store.client.put_object().bucket(BUCKET).key("k");
        put.body(ByteStream::from_static(b"hello"))
    };
    assert_eq!(code(put().tagging("a=b").send().await), "NotImplemented");
    let kms = put().server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms);
    assert_eq!(code(kms.send().await), "NotImplemented");
    let large = put().metadata("m", "x".repeat(2048)).send().await;
    assert_eq!(code(large), "MetadataTooLarge");
}

#[tokio::test]
async fn object_replaced_or_deleted_while_it_is_read_is_read_to_its_end() {
    let store = start().await;
    let body = bytes(60, 24 * MIB);
    put(&store.client, "k", &body).await;
    let slow = store.client.get_object().bucket(BUCKET).key("k").send().await;
    let slow = slow.expect("there");
    put(&store.client, "k", b"new").await;
    store
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .expect("deleted");
    let read = slow.body.collect().await.expect("the whole old body").to_vec();
    assert!(read == body);
    let gone = store.client.get_object().bucket(BUCKET).key("k").send().await;
    assert_eq!(code(gone), "NoSuchKey");
}

#[tokio::test]
async fn copy_takes_bytes_and_headers_or_replaces_them() {
    let store = start().await;
    let put = store.client.put_object().bucket(BUCKET).key("a b/ü");
    put.content_type("text/plain")
        .metadata("m", "1")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .expect("stored");
    let copy = |to: &str| {
        let copy = store.client.copy_object().bucket(BUCKET).key(to);
        copy.copy_source(format!("{BUCKET}/a%20b/%C3%BC"))
    };
    copy("copy").send().await.expect("copied");
    let got = store.client.get_object().bucket(BUCKET).key("copy").send().await;
    let got = got.expect("there");
    assert_eq!(got.content_type(), Some("text/plain"));
    assert_eq!(
        got.metadata().and_then(|all| all.get("m")).map(String::as_str),
        Some("1")
    );
    assert_eq!(got.body.collect().await.expect("bytes").to_vec(), b"hello");

    assert_eq!(
        code(copy("a b/ü").send().await),
        "InvalidRequest",
        "onto itself, unchanged"
    );
    let replace = copy("a b/ü").metadata_directive(MetadataDirective::Replace);
    replace.content_type("image/png").send().await.expect("replaced");
    let head = store
        .client
        .head_object()
        .bucket(BUCKET)
        .key("a b/ü")
        .send()
        .await;
    assert_eq!(head.expect("there").content_type(), Some("image/png"));
    assert_eq!(get(&store.client, "a b/ü").await, b"hello");

    let missing = store.client.copy_object().bucket(BUCKET).key("x");
    let missing = missing.copy_source(format!("{BUCKET}/nothing")).send().await;
    assert_eq!(code(missing), "NoSuchKey");
}

#[tokio::test]
async fn delete_takes_absent_keys_and_many_at_once() {
    let store = start().await;
    for key in ["a", "b", "c"] {
        put(&store.client, key, b"x").await;
    }
    let absent = store
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("nothing")
        .send()
        .await;
    assert_eq!(code(absent), "200");
    let keys = ["a", "b", "nothing"].map(|key| ObjectIdentifier::builder().key(key).build().expect("a key"));
    let delete = Delete::builder()
        .set_objects(Some(keys.into()))
        .build()
        .expect("a list");
    let deleted = store
        .client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await;
    let deleted = deleted.expect("deleted");
    assert_eq!(deleted.deleted().len(), 3);
    assert!(deleted.errors().is_empty());
    let left = store
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("listed");
    let left: Vec<_> = left.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(left, ["c"]);
}
