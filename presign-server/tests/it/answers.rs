//! What every answer carries: ids, security headers, the page and its policy.

use crate::support::{HOST, World};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use upload_storage::ObjectStorage as _;

#[tokio::test]
async fn request_id_is_taken_when_harmless_and_made_otherwise() {
    let world = World::start().await;
    for (given, kept) in [("abc-123", true), ("a b", false), (&*"x".repeat(65), false)] {
        let request = Request::get("/health")
            .header("host", HOST)
            .header("x-request-id", given);
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.headers["x-request-id"] == given, kept, "{given}");
    }
}

#[tokio::test]
async fn answers_of_the_api_are_never_cached_nor_sniffed() {
    let world = World::start().await;
    let started = world.start_upload("a", b"abc").await;
    let answer = world.on(&started, Method::GET, "", None).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let world = World::start().await;
    let answer: Value = world.call(Method::GET, "/health", None, None).await.expect(200);
    assert_eq!(answer["status"], "ok");
    let answer: Value = world.call(Method::GET, "/ready", None, None).await.expect(200);
    assert_eq!(answer["status"], "ready");
}

#[tokio::test]
async fn store_that_is_down_makes_the_server_unready_but_not_unhealthy() {
    let world = World::start().await;
    world.stop.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let answer = world.call(Method::GET, "/ready", None, None).await;
    answer.expect_problem("store_unavailable");
    assert_eq!(answer.headers["retry-after"], "2");
    assert_eq!(world.call(Method::GET, "/health", None, None).await.status, 200);
}

#[tokio::test]
async fn page_may_run_wasm_and_reach_the_store_and_nothing_else() {
    let world = World::start().await;
    let answer = world.call(Method::GET, "/", None, None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "no-cache");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"));
    assert!(policy.contains("worker-src 'self';"));
    assert!(policy.contains(&format!("connect-src 'self' {};", world.storage.public_origin())));
}

#[tokio::test]
async fn handler_that_takes_too_long_is_answered_as_a_timeout() {
    use presign_server::{AccessRules, AppState, router};
    let world = World::start().await;
    let mut state = AppState::new(world.uploads.clone(), AccessRules::default());
    state.request_timeout = std::time::Duration::from_millis(50);
    let slow = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
    let request = Request::post("/api/upload-sessions")
        .header("host", HOST)
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(Body::from_stream(slow));
    let response = tower::ServiceExt::oneshot(router(state), request.unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 408);
}
