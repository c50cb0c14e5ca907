//! A part's URL: it takes exactly its bytes, for exactly its part, until it expires.

use std::time::{Duration, SystemTime};

use super::check::{CHECKSUM_HEADER, Check, assert_refused, bytes, crc, part};

const SIZE_BYTES: usize = 2000;

pub(super) async fn part_url_takes_exactly_its_bytes(check: &Check<'_>) {
    let key = check.key("exact");
    let id = check.start(&key).await;
    let content = bytes(1, SIZE_BYTES);
    let signed = check.sign(&key, &id, &[part(1, &content)]).await.remove(0);
    let longer = [&content[..], b"x"].concat();
    assert_refused(check.put(&signed, &longer).await, "a byte more");
    assert_refused(check.put(&signed, &content[1..]).await, "a byte less");
    assert_refused(check.put(&signed, b"").await, "no byte");
    if check.can.checksum {
        let mut flipped = content.clone();
        flipped[SIZE_BYTES / 2] ^= 1;
        assert_refused(check.put(&signed, &flipped).await, "a flipped bit");
        let url = signed.url.expose();
        let missing = check.put_raw(url, &[], &content).await;
        assert_refused(missing, "a missing checksum header");
        // Right for these bytes, and not what was signed.
        let other = crc(&flipped).to_base64();
        let other = check.put_raw(url, &[(CHECKSUM_HEADER, &other)], &flipped).await;
        assert_refused(other, "another checksum with its bytes");
    } else {
        assert_eq!(signed.headers, [], "a header that the store does not know");
    }
    assert_eq!(check.list(&key, &id).await, [], "a refused part is listed");
    for _ in 0..2 {
        assert_eq!(check.put(&signed, &content).await, 200, "the very bytes");
        let parts = check.list(&key, &id).await;
        assert_eq!(parts.len(), 1, "{parts:?}");
        assert_eq!(parts[0].size_bytes, SIZE_BYTES as u64);
        assert_eq!(parts[0].checksum_crc64nvme, check.checksum_of(&content));
    }
    check.storage.abort(&key, &id).await.expect("abort");
}

pub(super) async fn part_url_can_not_be_turned_to_another_use(check: &Check<'_>) {
    let (key, other_key) = (check.key("turned"), check.key("elsewhere"));
    let (id, other_id) = (check.start(&key).await, check.start(&other_key).await);
    let content = bytes(2, SIZE_BYTES);
    let signed = check.sign(&key, &id, &[part(1, &content)]).await.remove(0);
    let url = signed.url.expose();
    let headers: Vec<(&str, &str)> = signed
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_str()))
        .collect();
    let changed = [
        ("another part number", url.replace("partNumber=1", "partNumber=2")),
        ("another key", url.replace("/turned?", "/elsewhere?")),
        (
            "a longer life",
            url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
        ),
        (
            "another call",
            url.replace("partNumber=1&", "").replace("&x-id=UploadPart", ""),
        ),
        (
            "another signature",
            format!("{}{}", &url[..url.len() - 4], "0bad"),
        ),
    ];
    for (what, changed) in &changed {
        assert_ne!(changed, url, "{what}");
        let status = check.put_raw(changed, &headers, &content).await;
        assert_refused(status, what);
    }
    let mut more = headers.clone();
    more.push(("x-amz-storage-class", "GLACIER"));
    let status = check.put_raw(url, &more, &content).await;
    assert_refused(status, "an S3 header that was not signed");
    assert_eq!(check.list(&key, &id).await, []);
    assert_eq!(check.list(&other_key, &other_id).await, []);
    check.assert_no_object(&key, "refused PUTs").await;
    check.storage.abort(&key, &id).await.expect("abort");
    check.storage.abort(&other_key, &other_id).await.expect("abort");
}

pub(super) async fn expired_url_is_refused(check: &Check<'_>) {
    let key = check.key("late");
    let id = check.start(&key).await;
    let past = SystemTime::now() - Duration::from_mins(2);
    let sign = async |lifetime: Duration| {
        let parts = [part(1, b"abc")];
        let signed = check
            .storage
            .presign_parts(past, lifetime, &key, &id, &parts)
            .await;
        signed.expect("presign_parts").remove(0)
    };
    let dead = sign(Duration::from_mins(1)).await;
    assert_eq!(dead.expires_in_seconds, 60);
    assert_eq!(
        check.put(&dead, b"abc").await,
        403,
        "a URL of two minutes ago that lived one"
    );
    assert_eq!(check.list(&key, &id).await, []);
    let alive = sign(Duration::from_mins(4)).await;
    assert_eq!(
        check.put(&alive, b"abc").await,
        200,
        "a URL of two minutes ago that lives four"
    );
    check.storage.abort(&key, &id).await.expect("abort");
}
