//! What operators see: who may, and whether it is true.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use presign_server::auth::{Authorizer, Principal, Role};
use presign_server::{AccessRules, AppState, UploadError, router};
use serde_json::json;
use tower::ServiceExt as _;
use upload_protocol::ErrorCode;

use crate::support::{HOST, TWO_PARTS, World, content, start_body};

async fn metrics(world: &World) -> String {
    let answer = world.call(Method::GET, "/metrics", None, None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    String::from_utf8(answer.body).unwrap()
}

/// The value of one series, 0 where nothing was counted.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn upload_is_counted_once_in_every_respect() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let (key, body) = (uuid::Uuid::new_v4().to_string(), start_body("a.mov", &bytes));
    let started: upload_protocol::StartResponse = world.start_call(&key, body.clone()).await.expect(201);
    // A repeated start is the same session, with fresh URLs.
    assert_eq!(world.start_call(&key, body).await.status, 201);
    world.put_all(&started, &bytes).await;
    for _ in 0..2 {
        let completed = world.on(&started, Method::POST, "/complete", None).await;
        assert_eq!(completed.status, 200);
    }
    let text = metrics(&world).await;
    for (series, expected) in [
        ("holdfast_sessions_started_total{mode=\"multipart\"}", 1.0),
        ("holdfast_sessions_completed_total{mode=\"multipart\"}", 1.0),
        ("holdfast_sessions_aborted_total{mode=\"multipart\"}", 0.0),
        ("holdfast_completed_bytes_total", 5_242_883.0),
        ("holdfast_urls_signed_total", 4.0),
        (
            "holdfast_requests_total{method=\"POST\",route=\"/api/upload-sessions\",status=\"201\"}",
            2.0,
        ),
        (
            "holdfast_requests_total{method=\"POST\",route=\"/api/upload-sessions/{id}/complete\",status=\"200\"}",
            2.0,
        ),
        (
            "holdfast_store_calls_total{action=\"create_multipart\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "holdfast_store_calls_total{action=\"complete\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "holdfast_session_store_calls_total{action=\"create\",outcome=\"ok\"}",
            2.0,
        ),
        (
            "holdfast_store_call_duration_seconds_count{action=\"complete\"}",
            1.0,
        ),
        (
            "holdfast_request_duration_seconds_count{method=\"POST\",route=\"/api/upload-sessions\"}",
            2.0,
        ),
        // The call that asks is one.
        ("holdfast_requests_in_flight", 1.0),
    ] {
        let found = value(&text, series);
        assert!((found - expected).abs() < 0.5, "{series} is {found}: {text}");
    }
}

#[tokio::test]
async fn no_label_names_a_session_a_key_or_a_path_that_somebody_made_up() {
    let world = World::start().await;
    let started = world.start_upload("secret-name.mov", b"abc").await;
    world.on(&started, Method::GET, "", None).await;
    world.call(Method::GET, "/made/up", None, None).await;
    let odd = Method::from_bytes(b"FROBNICATE").unwrap();
    world.call(odd, "/health", None, None).await;
    let text = metrics(&world).await;
    let id = started.upload_session_id.to_string();
    for hidden in [&*id, "secret-name", "made", "FROBNICATE"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    let session =
        "holdfast_requests_total{method=\"GET\",route=\"/api/upload-sessions/{id}\",status=\"200\"}";
    assert!((value(&text, session) - 1.0).abs() < 0.5, "{text}");
    let other = "holdfast_requests_total{method=\"GET\",route=\"other\",status=\"404\"}";
    assert!((value(&text, other) - 1.0).abs() < 0.5, "{text}");
}

#[tokio::test]
async fn failures_are_counted_by_code_also_inside_a_batch() {
    let world = World::start().await;
    let started = world.start_upload("a", b"abc").await;
    world
        .call(
            Method::GET,
            &format!("/api/upload-sessions/{}", started.upload_session_id),
            None,
            None,
        )
        .await;
    let batch = json!({"starts": [{"idempotencyKey": "none", "start": {"fileName": "a", "sizeBytes": 1}}]});
    let answer = world
        .call(Method::POST, "/api/upload-sessions/batch", None, Some(batch))
        .await;
    assert_eq!(answer.status, 200);
    let text = metrics(&world).await;
    for code in ["token_refused", "invalid_request"] {
        let series = format!("holdfast_errors_total{{code=\"{code}\"}}");
        assert!((value(&text, &series) - 1.0).abs() < 0.5, "{series}: {text}");
    }
}

#[tokio::test]
async fn aborted_session_is_counted_once_however_often_it_is_aborted() {
    let world = World::start().await;
    let started = world.start_upload("a", &content(TWO_PARTS)).await;
    world
        .storage
        .refuse_abort
        .store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        world.on(&started, Method::DELETE, "", None).await;
    }
    let text = metrics(&world).await;
    let aborted = value(&text, "holdfast_sessions_aborted_total{mode=\"multipart\"}");
    assert!((aborted - 1.0).abs() < 0.5, "{text}");
    let failed = value(
        &text,
        "holdfast_store_calls_total{action=\"abort\",outcome=\"unavailable\"}",
    );
    assert!((failed - 1.0).abs() < 0.5, "{text}");
}

/// Knows one operator and one client, by what they show.
#[derive(Debug)]
struct Keys;

#[async_trait]
impl Authorizer for Keys {
    async fn authorize(&self, bearer: Option<&str>) -> Result<Principal, UploadError> {
        let mut principal = Principal::local();
        principal.role = match bearer {
            Some("operator") => Role::Operator,
            Some("uploader") => Role::Uploader,
            _ => return Err(UploadError::new(ErrorCode::Unauthorized, "no")),
        };
        Ok(principal)
    }
}

#[tokio::test]
async fn metrics_are_for_operators() {
    let world = World::start().await;
    let mut state = AppState::new(world.uploads.clone(), AccessRules::default());
    state.authorizer = Arc::new(Keys);
    let router = router(state);
    for (bearer, status, code) in [
        (None, 401, "unauthorized"),
        (Some("uploader"), 403, "forbidden"),
        (Some("operator"), 200, ""),
    ] {
        let mut request = Request::get("/metrics").header("host", HOST);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        // A monitoring system is on another machine.
        let far: SocketAddr = "192.168.1.9:5000".parse().unwrap();
        let request = request.extension(ConnectInfo(far)).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(code), "{text}");
    }
}

#[tokio::test]
async fn open_server_shows_its_metrics_on_its_own_machine_only() {
    let world = World::start().await;
    for (peer, status) in [
        ("127.0.0.1:5000", 200),
        ("[::1]:5000", 200),
        ("[::ffff:127.0.0.1]:5000", 200),
        ("192.168.1.9:5000", 403),
    ] {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::get("/metrics")
            .header("host", HOST)
            .extension(ConnectInfo(peer));
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{peer}");
    }
}
