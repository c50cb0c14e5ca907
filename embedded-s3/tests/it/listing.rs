//! Listings of buckets, objects and uploads.

use aws_sdk_s3::types::ObjectIdentifier;

use crate::common::*;

#[tokio::test]
async fn objects_are_listed_by_prefix_delimiter_and_page() {
    let store = start().await;
    for key in ["a", "b/1", "b/2", "b/c/3", "d", "é"] {
        put(&store.client, key, b"x").await;
    }
    let list = || store.client.list_objects_v2().bucket(BUCKET);
    let rolled = list().delimiter("/").send().await.expect("listed");
    let keys: Vec<_> = rolled
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    let prefixes: Vec<_> = rolled
        .common_prefixes()
        .iter()
        .filter_map(|p| p.prefix())
        .collect();
    assert_eq!((keys, prefixes), (vec!["a", "d", "é"], vec!["b/"]));
    assert_eq!(rolled.key_count(), Some(4));

    let below = list().prefix("b/").delimiter("/").send().await.expect("listed");
    assert_eq!(below.contents().len(), 2);
    assert_eq!(below.common_prefixes().len(), 1);

    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let page = list().max_keys(1).delimiter("/").set_continuation_token(token);
        let page = page.send().await.expect("a page");
        let items = page.contents().iter().filter_map(|object| object.key());
        let rolled = page.common_prefixes().iter().filter_map(|p| p.prefix());
        seen.extend(items.chain(rolled).map(str::to_owned));
        token = page.next_continuation_token().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "d", "é"]);
    assert_eq!(
        code(list().continuation_token("!").send().await),
        "InvalidArgument"
    );
    assert_eq!(code(list().max_keys(-1).send().await), "InvalidArgument");

    let first = store.client.list_objects().bucket(BUCKET).max_keys(2);
    let first = first.send().await.expect("version 1");
    assert_eq!(first.is_truncated(), Some(true));
    let next = store.client.list_objects().bucket(BUCKET);
    let next = next.set_marker(first.next_marker).send().await.expect("the rest");
    assert_eq!(next.contents().len(), 4);
}

#[tokio::test]
async fn objects_beyond_a_thousand_are_listed_in_two_pages() {
    let store = start().await;
    let puts = (0..1_005).map(|number| {
        let client = store.client.clone();
        async move { put(&client, &format!("k{number:05}"), b"").await }
    });
    futures::stream::StreamExt::for_each_concurrent(futures::stream::iter(puts), 16, |put| put).await;
    let first = store
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .expect("a page");
    assert_eq!((first.contents().len(), first.is_truncated()), (1000, Some(true)));
    let rest = store.client.list_objects_v2().bucket(BUCKET);
    let rest = rest.set_continuation_token(first.next_continuation_token);
    assert_eq!(rest.send().await.expect("the rest").contents().len(), 5);
}

#[tokio::test]
async fn uploads_are_listed_by_true_prefix_and_page() {
    let store = start().await;
    let mut ids = Vec::new();
    for key in ["p/a", "p/a", "p/b", "q", "p"] {
        ids.push(create_upload(&store.client, key).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let list = || store.client.list_multipart_uploads().bucket(BUCKET);
    let found = list().prefix("p/").send().await.expect("listed");
    let found: Vec<_> = found
        .uploads()
        .iter()
        .filter_map(|upload| upload.upload_id())
        .collect();
    assert_eq!(found, [&ids[0], &ids[1], &ids[2]], "by key, then by start");
    let rolled = list().delimiter("/").send().await.expect("listed");
    assert_eq!(rolled.uploads().len(), 2);
    assert_eq!(rolled.common_prefixes().len(), 1);

    let mut seen = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let page = list().max_uploads(2).set_key_marker(key).set_upload_id_marker(id);
        let page = page.send().await.expect("a page");
        seen.extend(
            page.uploads()
                .iter()
                .filter_map(|upload| upload.upload_id.clone()),
        );
        key = page.next_key_marker().map(str::to_owned);
        id = page.next_upload_id_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    let expected: Vec<_> = [4, 0, 1, 2, 3].into_iter().map(|at| ids[at].clone()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn buckets_are_made_listed_and_deleted_when_empty() {
    let store = start().await;
    let client = &store.client;
    let create = |name: &str| client.create_bucket().bucket(name).send();
    assert_eq!(code(create("second.bucket-2").await), "200");
    assert_eq!(code(create("second.bucket-2").await), "BucketAlreadyOwnedByYou");
    assert_eq!(code(create("Bad_Name").await), "InvalidBucketName");
    let buckets = client.list_buckets().send().await.expect("listed");
    let names: Vec<_> = buckets
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.name())
        .collect();
    assert_eq!(names, [BUCKET, "second.bucket-2"]);
    client
        .put_object()
        .bucket("second.bucket-2")
        .key("k")
        .send()
        .await
        .expect("stored");
    let delete = || client.delete_bucket().bucket("second.bucket-2").send();
    assert_eq!(code(delete().await), "BucketNotEmpty");
    let key = ObjectIdentifier::builder().key("k").build().expect("a key");
    client
        .delete_object()
        .bucket("second.bucket-2")
        .key(key.key())
        .send()
        .await
        .expect("deleted");
    assert_eq!(code(delete().await), "200");
    assert_eq!(code(delete().await), "NoSuchBucket");
    assert_eq!(
        code(client.head_bucket().bucket("second.bucket-2").send().await),
        "NotFound"
    );
}

#[tokio::test]
async fn bucket_settings_have_fixed_answers() {
    let store = start().await;
    let client = &store.client;
    assert_eq!(code(client.head_bucket().bucket(BUCKET).send().await), "200");
    assert_eq!(
        code(client.get_bucket_location().bucket(BUCKET).send().await),
        "200"
    );
    let versioning = client.get_bucket_versioning().bucket(BUCKET).send().await;
    assert_eq!(versioning.expect("answered").status(), None);
    let cors = client
        .get_bucket_cors()
        .bucket(BUCKET)
        .send()
        .await
        .expect("answered");
    assert_eq!(cors.cors_rules()[0].allowed_origins(), ["*"]);
    let rules = client
        .get_bucket_lifecycle_configuration()
        .bucket(BUCKET)
        .send()
        .await;
    assert_eq!(code(rules), "NoSuchLifecycleConfiguration");
}
