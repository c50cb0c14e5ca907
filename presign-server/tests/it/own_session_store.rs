//! The example of `docs/session-stores.md` keeps every rule, mounted in its own app.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use presign_server::store::SessionStore;
use serde_json::Value;
use tower::ServiceExt as _;
use upload_protocol::StartResponse;
use upload_testkit::session_store::{shared_by_two, suite, survives_reopening};
use uuid::Uuid;

use crate::support::{Answer, HOST, World, content, start_body};

#[path = "../../examples/own_session_store/main.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main runs as an example")]
mod example;

fn open(folder: &tempfile::TempDir) -> Arc<dyn SessionStore> {
    Arc::new(example::FileStore(folder.path().join("sessions.json")))
}

#[tokio::test(flavor = "multi_thread")]
async fn store_of_the_example_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite(open(&folder)).await;
    let (one, two) = (open(&folder), open(&folder));
    shared_by_two(one.clone(), two.clone()).await;
    survives_reopening(one, async || two).await;
}

#[test]
fn store_of_the_example_takes_less_than_a_hundred_lines_of_code() {
    let store = include_str!("../../examples/own_session_store/file_store.rs");
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("use ")
    };
    let lines = store.lines().filter(is_code).count();
    assert!(lines < 100, "{lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn router_mounted_below_a_path_of_an_own_app_takes_an_upload_whole() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with_sessions(open(&folder)).await;
    let app = example::app(world.uploads.clone(), HOST.parse().unwrap());
    let call = async |request: Request<Body>| Answer::of(app.clone().oneshot(request).await.unwrap()).await;
    let own = call(
        Request::get("/")
            .header("host", HOST)
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(own.body, b"an app of one's own");

    let bytes = content(1000);
    let start = Request::post("/uploads/api/upload-sessions")
        .header("host", HOST)
        .header("idempotency-key", Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(Body::from(start_body("a.bin", &bytes).to_string()));
    let started: StartResponse = call(start.unwrap()).await.expect(201);
    world.put_all(&started, &bytes).await;
    let complete = Request::post(format!(
        "/uploads/api/upload-sessions/{}/complete",
        started.upload_session_id
    ))
    .header("host", HOST)
    .header("upload-token", started.token.expose())
    .body(Body::empty());
    let completed: Value = call(complete.unwrap()).await.expect(200);
    assert_eq!(completed["sizeBytes"], 1000);
    for path in ["/uploads/health", "/uploads/ready"] {
        let probe = call(
            Request::get(path)
                .header("host", HOST)
                .body(Body::empty())
                .unwrap(),
        )
        .await;
        assert_eq!(probe.status, StatusCode::OK, "{path}");
    }
    let unknown = Request::get("/uploads/api/nothing")
        .header("host", HOST)
        .body(Body::empty());
    call(unknown.unwrap()).await.expect_problem("route_not_found");
}
