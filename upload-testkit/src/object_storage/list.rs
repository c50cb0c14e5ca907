//! The bucket, its unfinished uploads, and their parts.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use upload_storage::{ObjectStorage, Retry, StorageError};

use super::check::{Check, part};

/// Parts of the upload whose list has several pages; a page has 1,000 at most.
const PARTS: u32 = 1003;

/// PUTs at once while those are sent.
const PUTS_AT_ONCE: usize = 16;

/// Between two starts, so that any store tells which came first: some keep whole seconds.
const BETWEEN_STARTS: Duration = Duration::from_millis(1100);

pub(super) async fn bucket_is_ready_and_a_missing_one_is_refused(
    check: &Check<'_>,
    without_bucket: &dyn ObjectStorage,
) {
    check.storage.ready().await.expect("ready");
    let error = without_bucket
        .ready()
        .await
        .expect_err("a missing bucket is ready");
    let refused = matches!(error, StorageError::Refused { status: 404, .. });
    assert!(refused, "a missing bucket: {error:?}");
    // An operator can make it.
    assert_eq!(error.retry(), Retry::AfterBackoff);
}

pub(super) async fn upload_is_found_by_its_exact_key_until_it_ends(check: &Check<'_>) {
    let key = check.key("find/😀 a+b.bin");
    let find = async |key: &str| check.storage.find_multipart(key).await.expect("find_multipart");
    assert!(find(&key).await.is_empty(), "found before it was started");
    let first = check.start(&key).await;
    tokio::time::sleep(BETWEEN_STARTS).await;
    let second = check.start(&key).await;
    assert_ne!(first, second, "two starts gave one upload");
    assert_eq!(
        find(&key).await,
        [first.clone(), second.clone()],
        "not both, oldest first"
    );
    for other in [&key[..key.len() - 1], &format!("{key}x"), &check.key("find")] {
        assert!(find(other).await.is_empty(), "{other} is not the key {key}");
    }
    check.storage.abort(&key, &first).await.expect("abort");
    assert_eq!(find(&key).await, std::slice::from_ref(&second));
    check.storage.abort(&key, &second).await.expect("abort");
    assert!(find(&key).await.is_empty(), "found after its abort");
}

pub(super) async fn parts_are_listed_over_all_pages_and_aborted_to_the_last(check: &Check<'_>) {
    let key = check.key("many");
    let id = check.start(&key).await;
    assert_eq!(check.list(&key, &id).await, [], "parts before any was sent");
    let contents: Vec<[u8; 4]> = (1..=PARTS).map(u32::to_be_bytes).collect();
    let to_sign: Vec<_> = (1..)
        .zip(&contents)
        .map(|(number, bytes)| part(number, bytes))
        .collect();
    let signed = check.sign(&key, &id, &to_sign).await;
    let puts = signed
        .iter()
        .zip(&contents)
        .map(|(signed, bytes)| check.put(signed, bytes));
    let statuses: Vec<u16> = stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).collect().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let parts = check.list(&key, &id).await;
    assert_eq!(parts.len(), contents.len(), "parts listed");
    for ((part, bytes), number) in parts.iter().zip(&contents).zip(1..) {
        assert_eq!(part.part_number.value(), number, "in the order of their numbers");
        assert_eq!(part.size_bytes, 4, "part {number}");
        assert_eq!(part.checksum_crc64nvme, check.checksum_of(bytes), "part {number}");
    }
    check.storage.abort(&key, &id).await.expect("abort");
    let listed = check.storage.list_parts(&key, &id).await;
    assert_eq!(listed, Err(StorageError::NoSuchUpload));
}
