//! Whole objects by one PUT.

use std::time::{Duration, SystemTime};

use upload_storage::SignedPut;

use super::check::{CHECKSUM_HEADER, Check, LIFETIME, assert_refused, bytes, crc, object, part};

pub(super) async fn missing_object_is_none_and_can_be_deleted(check: &Check<'_>) {
    let key = check.key("nothing");
    check.assert_no_object(&key, "nothing was done").await;
    check.storage.delete(&key).await.expect("a delete of nothing");
}

pub(super) async fn single_put_takes_exactly_its_bytes_and_does_not_overwrite(check: &Check<'_>) {
    let key = check.key("single/é 😀+.mov");
    let content = bytes(6, 1000);
    let signed = sign(check, SystemTime::now(), LIFETIME, &key, &content).await;
    let mut flipped = content.clone();
    flipped[10] ^= 1;
    assert_refused(check.put(&signed, &flipped).await, "a flipped bit");
    assert_refused(check.put(&signed, &content[1..]).await, "a byte less");
    let longer = [&content[..], b"x"].concat();
    assert_refused(check.put(&signed, &longer).await, "a byte more");
    for left_out in &signed.headers {
        let mut fewer = signed.clone();
        fewer.headers.retain(|header| header != left_out);
        let what = format!("a missing header {}", left_out.name);
        assert_refused(check.put(&fewer, &content).await, &what);
    }
    let mut other = signed.clone();
    for header in &mut other.headers {
        if header.name == CHECKSUM_HEADER {
            header.value = crc(&flipped).to_base64();
        }
    }
    assert_refused(
        check.put(&other, &flipped).await,
        "another checksum with its bytes",
    );
    check.assert_no_object(&key, "refused PUTs").await;
    assert_eq!(check.put(&signed, &content).await, 200, "the very bytes");
    assert_eq!(check.put(&signed, &content).await, 412, "the same PUT once more");
    let second = bytes(7, 500);
    let signed = sign(check, SystemTime::now(), LIFETIME, &key, &second).await;
    assert_eq!(
        check.put(&signed, &second).await,
        412,
        "another object over the first"
    );
    check.assert_object_and_delete(&key, &content).await;
}

pub(super) async fn object_of_no_byte_is_written(check: &Check<'_>) {
    let key = check.key("single/empty");
    let signed = sign(check, SystemTime::now(), LIFETIME, &key, b"").await;
    assert_refused(check.put(&signed, b"x").await, "a byte where none was signed");
    assert_eq!(check.put(&signed, b"").await, 200);
    assert_eq!(check.put(&signed, b"").await, 412, "the same PUT once more");
    check.assert_object_and_delete(&key, b"").await;
}

pub(super) async fn expired_single_url_is_refused(check: &Check<'_>) {
    let key = check.key("single/late");
    let past = SystemTime::now() - Duration::from_mins(2);
    let signed = sign(check, past, Duration::from_mins(1), &key, b"abc").await;
    assert_eq!(check.put(&signed, b"abc").await, 403);
    check.assert_no_object(&key, "an expired URL").await;
}

async fn sign(check: &Check<'_>, at: SystemTime, lifetime: Duration, key: &str, content: &[u8]) -> SignedPut {
    let signed = check
        .storage
        .presign_single(at, lifetime, &object(key), &part(1, content))
        .await;
    signed.expect("presign_single")
}
