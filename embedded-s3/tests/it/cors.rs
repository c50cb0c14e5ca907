//! What a page on another origin may ask and read.

use crate::common::*;

const PAGE: (&str, &str) = ("origin", "http://127.0.0.1:4000");

#[tokio::test]
async fn preflight_of_a_part_is_answered_without_a_signature() {
    let store = start().await;
    let answer = raw(
        "OPTIONS",
        &format!("{}/holdfast/k?partNumber=1&uploadId=x", store.endpoint),
        &[
            PAGE,
            ("access-control-request-method", "PUT"),
            (
                "access-control-request-headers",
                "content-type,x-amz-checksum-crc64nvme",
            ),
            ("access-control-request-private-network", "true"),
        ],
        b"",
    )
    .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-methods").contains("PUT"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "content-type,x-amz-checksum-crc64nvme"
    );
    assert_eq!(answer.header("access-control-allow-private-network"), "true");
    assert_eq!(answer.header("access-control-max-age"), "7200");
}

#[tokio::test]
async fn errors_can_be_read_by_a_page() {
    let store = start().await;
    for url in [
        "/holdfast/k",
        "/",
        "/%ff",
        "/holdfast/k?X-Amz-Signature=1&X-Amz-Expires=x",
    ] {
        let answer = raw("GET", &format!("{}{url}", store.endpoint), &[PAGE], b"").await;
        assert!((400..500).contains(&answer.status), "{url}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{url}");
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("ETag") && exposed.contains("x-amz-checksum-crc64nvme"));
        assert!(!answer.header("x-amz-request-id").is_empty());
    }
}

#[tokio::test]
async fn origins_not_on_the_list_get_no_header() {
    let store = start_with(|config| config.allowed_origins = vec![PAGE.1.to_owned()]).await;
    let url = format!("{}/holdfast/k", store.endpoint);
    let preflight = |origin: &'static str| {
        let url = url.clone();
        async move {
            let headers = [("origin", origin), ("access-control-request-method", "PUT")];
            raw("OPTIONS", &url, &headers, b"").await
        }
    };
    let allowed = preflight(PAGE.1).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), PAGE.1);
    let refused = preflight("http://evil.example").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("access-control-allow-origin"), "");
    let rules = store
        .client
        .get_bucket_cors()
        .bucket(BUCKET)
        .send()
        .await
        .expect("rules");
    assert_eq!(rules.cors_rules()[0].allowed_origins(), [PAGE.1]);
}
