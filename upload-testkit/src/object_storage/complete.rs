//! Completing: the object is whole and right, or there is none.

use upload_protocol::Crc64Nvme;
use upload_storage::{Retry, StorageError};

use super::check::{Check, PART_BYTES, Sent, bytes, crc, part};

pub(super) async fn completed_object_has_size_and_checksum_and_repeats_answer_it(check: &Check<'_>) {
    let content = bytes(3, 2 * PART_BYTES + 3);
    let parts: Vec<&[u8]> = content.chunks(PART_BYTES).collect();
    let sent = check.sent("whole/😀", &parts).await;
    let whole = sent.whole();
    assert_eq!(whole.size_bytes, content.len() as u64);
    assert_eq!(whole.checksum_crc64nvme, check.checksum_of(&content));
    let object = check.storage.complete(whole).await.expect("complete");
    assert!(
        object.is(whole.size_bytes, whole.checksum_crc64nvme),
        "{object:?}"
    );
    for _ in 0..2 {
        assert_eq!(
            check.storage.complete(whole).await,
            Ok(object.clone()),
            "repeated"
        );
    }
    let listed = check.storage.list_parts(&sent.key, &sent.id).await;
    assert_eq!(listed, Err(StorageError::NoSuchUpload));
    assert_eq!(check.storage.find_multipart(&sent.key).await, Ok(Vec::new()));
    check
        .storage
        .abort(&sent.key, &sent.id)
        .await
        .expect("an abort of what is complete");
    check.assert_object_and_delete(&sent.key, &content).await;
}

pub(super) async fn completes_at_once_all_answer_the_same_object(check: &Check<'_>) {
    let (first, last) = (bytes(4, PART_BYTES), b"end");
    let sent = check.sent("raced", &[&first, last]).await;
    let whole = sent.whole();
    let complete = || check.storage.complete(whole);
    let (a, b, c, d) = tokio::join!(complete(), complete(), complete(), complete());
    let answers = [a, b, c, d];
    for answer in &answers {
        // A store may ask one of them to come again; none may be told that the upload is lost.
        match answer {
            Ok(object) => assert!(
                object.is(whole.size_bytes, whole.checksum_crc64nvme),
                "{object:?}"
            ),
            Err(error) => assert_eq!(error.retry(), Retry::AfterBackoff, "{error:?}"),
        }
    }
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
    let object = check.storage.complete(whole).await.expect("complete once more");
    assert!(
        object.is(whole.size_bytes, whole.checksum_crc64nvme),
        "{object:?}"
    );
    check
        .assert_object_and_delete(&sent.key, &[&first[..], last].concat())
        .await;
}

pub(super) async fn complete_with_a_wrong_checksum_makes_no_object(check: &Check<'_>) {
    let sent = check.sent("wrong-checksum", &[b"abc"]).await;
    let mut wrong = sent.whole();
    wrong.checksum_crc64nvme = Some(Crc64Nvme(1));
    let error = check.storage.complete(wrong).await.expect_err("a wrong checksum");
    let mismatch = matches!(error, StorageError::ChecksumMismatch { .. });
    assert!(mismatch, "a wrong checksum: {error:?}");
    check
        .assert_no_object(&sent.key, "a complete with a wrong checksum")
        .await;
    check.storage.complete(sent.whole()).await.expect("complete");
    check.assert_object_and_delete(&sent.key, b"abc").await;
}

/// Where the store compares sizes there is no object; elsewhere the object's own size tells.
pub(super) async fn complete_with_a_wrong_size_never_answers_success(check: &Check<'_>) {
    let sent = check.sent("wrong-size", &[b"abc"]).await;
    let mut wrong = sent.whole();
    wrong.size_bytes += 1;
    let error = check.storage.complete(wrong).await.expect_err("a wrong size");
    if check.can.object_size {
        check
            .assert_no_object(&sent.key, "a complete with a wrong size")
            .await;
    } else {
        let found = StorageError::KeyTaken {
            found_size_bytes: 3,
            expected_size_bytes: 4,
        };
        assert_eq!(error, found);
    }
    check.storage.complete(sent.whole()).await.expect("complete");
    check.assert_object_and_delete(&sent.key, b"abc").await;
}

pub(super) async fn part_sent_again_since_it_was_listed_is_noticed(check: &Check<'_>) {
    let mut sent = check.sent("changed", &[b"old"]).await;
    check.send(&sent.key, &sent.id, &[b"new!"]).await;
    let error = check
        .storage
        .complete(sent.whole())
        .await
        .expect_err("parts of an old list");
    let changed = matches!(error, StorageError::PartsChanged { .. });
    assert!(changed, "parts of an old list: {error:?}");
    check
        .assert_no_object(&sent.key, "a complete with an old list")
        .await;
    sent.parts = check.list(&sent.key, &sent.id).await;
    check.storage.complete(sent.whole()).await.expect("complete");
    check.assert_object_and_delete(&sent.key, b"new!").await;
}

/// Where the store knows no condition, the trait can only promise that the answer is true.
pub(super) async fn complete_over_another_object_is_refused(check: &Check<'_>) {
    let first = check.sent("taken", &[b"first"]).await;
    let second = check.sent("taken", &[b"the second"]).await;
    check.storage.complete(first.whole()).await.expect("complete");
    let answer = check.storage.complete(second.whole()).await;
    if !check.can.conditional_write {
        assert!(answer.is_ok_and(|object| object.size_bytes == 10));
        return check.assert_object_and_delete(&second.key, b"the second").await;
    }
    let taken = StorageError::KeyTaken {
        found_size_bytes: 5,
        expected_size_bytes: 10,
    };
    assert_eq!(answer, Err(taken));
    check.storage.abort(&second.key, &second.id).await.expect("abort");
    check.assert_object_and_delete(&first.key, b"first").await;
}

pub(super) async fn upload_of_one_small_part_and_of_no_byte_completes(check: &Check<'_>) {
    for (name, content) in [("small", &b"abc"[..]), ("empty", b"")] {
        let key = check.key(name);
        let id = check.start(&key).await;
        let signed = check.sign(&key, &id, &[part(1, content)]).await;
        assert_eq!(check.put(&signed[0], content).await, 200, "{name}");
        let parts = check.list(&key, &id).await;
        let sent = Sent { key, id, parts };
        let object = check.storage.complete(sent.whole()).await;
        let object = object.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(object.size_bytes, content.len() as u64, "{name}");
        assert_eq!(
            object.checksum_crc64nvme,
            check.can.checksum.then(|| crc(content)),
            "{name}"
        );
        check.assert_object_and_delete(&sent.key, content).await;
    }
}
