//! Keys are just keys.

use crate::common::*;

fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/b",
        "a/b/",
        "a//b",
        "/leading",
        "../up",
        "../../etc/passwd",
        "a/../b",
        ".",
        "..",
        "./x",
        "emoji 🎬🦀.mp4",
        "e\u{301} and é",
        "space  and +plus&amp;<>\"'",
        "per%20cent%2F",
        "question?mark#hash",
        "back\\slash",
        "con",
        "object.json",
        "new\nline",
        "tab\tand\u{7f}",
    ]
    .map(str::to_owned)
    .into();
    keys.push("k".repeat(1024));
    keys.push("🎬".repeat(256));
    keys
}

#[tokio::test]
async fn odd_keys_are_stored_apart_and_survive_a_restart() {
    let store = start().await;
    for (seed, key) in (0..).zip(odd_keys()) {
        put(&store.client, &key, &bytes(seed, 100)).await;
    }
    let check = async |client: &aws_sdk_s3::Client| {
        for (seed, key) in (0..).zip(odd_keys()) {
            assert_eq!(get(client, &key).await, bytes(seed, 100), "{key:?}");
        }
        let list = client.list_objects_v2().bucket(BUCKET);
        let list = list.encoding_type(aws_sdk_s3::types::EncodingType::Url);
        let listed = list.send().await.expect("listed");
        let mut listed: Vec<String> = listed
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .map(|key| {
                percent_encoding::percent_decode_str(key)
                    .decode_utf8()
                    .expect("utf-8")
                    .into_owned()
            })
            .collect();
        listed.sort();
        let mut expected = odd_keys();
        expected.sort();
        assert_eq!(listed, expected);
    };
    check(&store.client).await;

    // Nothing but the store's own names on disk.
    let outside = store.folder.path().parent().expect("a parent").join("up");
    assert!(!outside.exists());

    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(store.folder.path(), copy.path());
    let again = embedded_s3::EmbeddedS3::open(config(copy.path())).await;
    let endpoint = serve(again.expect("opens again")).await;
    check(&client(&endpoint)).await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[tokio::test]
async fn key_above_1024_bytes_is_too_long() {
    let store = start().await;
    let put = store.client.put_object().bucket(BUCKET).key("k".repeat(1025));
    assert_eq!(code(put.send().await), "KeyTooLongError");
}

#[tokio::test]
async fn missing_keys_and_buckets_are_named() {
    let store = start().await;
    let client = &store.client;
    let get = client.get_object().bucket(BUCKET).key("nothing").send().await;
    assert_eq!(code(get), "NoSuchKey");
    let get = client.get_object().bucket("no-such-bucket").key("k").send().await;
    assert_eq!(code(get), "NoSuchBucket");
    let put = client.put_object().bucket("no-such-bucket").key("k").send().await;
    assert_eq!(code(put), "NoSuchBucket");
    let list = client.list_objects_v2().bucket("no-such-bucket").send().await;
    assert_eq!(code(list), "NoSuchBucket");
}
