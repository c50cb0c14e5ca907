//! Aborting: until nothing is left, and for good.

use upload_protocol::MultipartUploadId;
use upload_storage::StorageError;

use super::check::{Check, PART_BYTES, bytes, part};

pub(super) async fn abort_leaves_nothing_and_may_be_repeated(check: &Check<'_>) {
    let first = bytes(5, PART_BYTES);
    let sent = check.sent("aborted", &[&first, b"end"]).await;
    for _ in 0..2 {
        check.storage.abort(&sent.key, &sent.id).await.expect("abort");
        let listed = check.storage.list_parts(&sent.key, &sent.id).await;
        assert_eq!(listed, Err(StorageError::NoSuchUpload));
        assert_eq!(check.storage.find_multipart(&sent.key).await, Ok(Vec::new()));
    }
    check.assert_no_object(&sent.key, "an abort").await;
    let never = MultipartUploadId(uuid::Uuid::new_v4().to_string());
    check
        .storage
        .abort(&sent.key, &never)
        .await
        .expect("abort of an upload that never was");
}

pub(super) async fn part_url_of_an_aborted_upload_is_refused(check: &Check<'_>) {
    let key = check.key("dead");
    let id = check.start(&key).await;
    let signed = check.sign(&key, &id, &[part(1, b"abc")]).await.remove(0);
    check.storage.abort(&key, &id).await.expect("abort");
    assert_eq!(
        check.put(&signed, b"abc").await,
        404,
        "a part of an aborted upload"
    );
    let listed = check.storage.list_parts(&key, &id).await;
    assert_eq!(listed, Err(StorageError::NoSuchUpload));
    check.assert_no_object(&key, "a part of an aborted upload").await;
}

pub(super) async fn complete_of_an_upload_that_is_gone_says_so(check: &Check<'_>) {
    let sent = check.sent("gone", &[b"abc"]).await;
    check.storage.abort(&sent.key, &sent.id).await.expect("abort");
    let answer = check.storage.complete(sent.whole()).await;
    assert_eq!(answer, Err(StorageError::NoSuchUpload));
}
