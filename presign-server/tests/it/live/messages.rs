//! What viewers are sent, in which order and how often.

use presign_server::events::MemoryEventBus;
use serde_json::{Value, json};
use std::sync::Arc;
use upload_protocol::StartResponse;

use super::{Replica, uploads_over};
use crate::support::{SEALER_TIMING, TWO_PARTS, World, content, crc};

async fn one_replica() -> (World, Replica) {
    let world = World::start().await;
    let replica = Replica::start(uploads_over(&world, Arc::new(MemoryEventBus::default()))).await;
    (world, replica)
}

async fn started(replica: &Replica, bytes: &[u8]) -> StartResponse {
    replica.start_upload("anybody", bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn viewer_is_sent_envelope_and_payloads_exactly() {
    let (world, replica) = one_replica().await;
    let mut viewer = replica.watch("").await;
    let bytes = content(TWO_PARTS);
    let started = started(&replica, &bytes).await;
    let id = started.upload_session_id;
    let start = json!({
        "Type": "session_start",
        "RunID": id,
        "Payload": {
            "bucket": "holdfast",
            "key": started.key,
            "uploadId": started.upload_id.as_ref().unwrap(),
            "total": TWO_PARTS,
            "partMB": 5.0,
        },
    });
    assert_eq!(viewer.next().await, start);
    let parts = json!({
        "parts": [
            {"partNumber": 2, "sizeBytes": 3},
            {"partNumber": 1, "sizeBytes": 5 << 20, "etag": "\"5d41402abc4b2a76b9719d911017c592\""},
        ],
        "errors": [{"message": "connection lost", "partNumber": 2}, {"message": "offline"}],
    });
    let answer = replica.on(&started, "/progress", Some(parts)).await;
    assert_eq!(answer.status(), 204);
    let expected = [
        json!({"Type": "part_done", "RunID": id, "Payload": {"part": 2, "size": 3, "etag": ""}}),
        json!({
            "Type": "part_done",
            "RunID": id,
            "Payload": {"part": 1, "size": 5 << 20, "etag": "5d41402abc4b2a76b9719d911017c592"},
        }),
        json!({
            "Type": "error",
            "RunID": id,
            "Payload": {"message": "connection lost", "partNumber": 2},
        }),
        json!({"Type": "error", "RunID": id, "Payload": {"message": "offline"}}),
    ];
    for message in expected {
        assert_eq!(viewer.next().await, message);
    }
    world.put_all(&started, &bytes).await;
    replica.complete(&started).await;
    let done = json!({
        "Type": "session_done",
        "RunID": id,
        "Payload": {"success": true, "uploadId": started.upload_id.as_ref().unwrap()},
    });
    assert_eq!(viewer.next().await, done);
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_announced_once_by_whoever_learns_of_them_first() {
    let (world, replica) = one_replica().await;
    let bytes = content(TWO_PARTS);
    let started = started(&replica, &bytes).await;
    let mut viewer = replica.watch_run(&started).await;
    replica.progress(&started, &[1]).await;
    replica.progress(&started, &[1]).await;
    world.put_all(&started, &bytes).await;
    // The server lists both parts, twice.
    for _ in 0..2 {
        let url = format!(
            "http://{}/api/upload-sessions/{}",
            replica.address, started.upload_session_id
        );
        let request = replica
            .http
            .get(url)
            .header("upload-token", started.token.expose());
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    replica.complete(&started).await;
    assert_eq!(viewer.next_words(4).await, "session_start 1 2 done:true");
    viewer.expect_silence().await;
    // Who comes later is told the ETags that the store has.
    let mut late = replica.watch_run(&started).await;
    late.next().await;
    for _ in 0..2 {
        let part = late.next().await;
        let etag = part["Payload"]["etag"].as_str().unwrap();
        assert!(!etag.is_empty() && !etag.contains('"'), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_start_announces_nothing_more() {
    let (_world, replica) = one_replica().await;
    let mut viewer = replica.watch("").await;
    let body = crate::support::start_body("a", &content(TWO_PARTS));
    for _ in 0..3 {
        let headers = [("idempotency-key", "5f3b2c1d-0e9f-4a8b-8c7d-6e5f4a3b2c1d")];
        let answer = replica
            .post("/api/upload-sessions", &headers, Some(body.clone()))
            .await;
        assert_eq!(answer.status(), 201);
    }
    assert_eq!(viewer.next_words(1).await, "session_start");
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_session_ends_without_success_at_once_and_once() {
    for length in [TWO_PARTS, 5] {
        let (_world, replica) = one_replica().await;
        let started = started(&replica, &content(length)).await;
        let mut viewer = replica.watch_run(&started).await;
        for _ in 0..2 {
            let url = format!(
                "http://{}/api/upload-sessions/{}",
                replica.address, started.upload_session_id
            );
            let request = replica
                .http
                .delete(url)
                .header("upload-token", started.token.expose());
            assert_eq!(request.send().await.unwrap().status(), 204);
        }
        assert_eq!(
            viewer.next_words(2).await,
            "session_start done:false",
            "{length} bytes"
        );
        // What comes too late is taken and not shown.
        replica
            .on(
                &started,
                "/progress",
                Some(json!({"errors": [{"message": "late"}]})),
            )
            .await;
        viewer.expect_silence().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_put_is_one_part_and_goes_by_its_session_id() {
    let (world, replica) = one_replica().await;
    let bytes = content(5);
    let started = started(&replica, &bytes).await;
    let mut viewer = replica.watch_run(&started).await;
    let start = viewer.next().await;
    assert_eq!(start["Payload"]["uploadId"], json!(started.upload_session_id));
    assert_eq!(start["Payload"]["total"], 5);
    world.put_all(&started, &bytes).await;
    replica.complete(&started).await;
    let part = viewer.next().await;
    assert_eq!(part["Payload"], json!({"part": 1, "size": 5, "etag": ""}));
    let done = viewer.next().await;
    assert_eq!(done["Payload"]["uploadId"], json!(started.upload_session_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn end_that_the_server_brings_about_by_itself_is_announced() {
    let world = World::start().await;
    let uploads = uploads_over(&world, Arc::new(MemoryEventBus::default()));
    tokio::spawn(presign_server::Sealer::new(uploads.clone(), SEALER_TIMING).run(world.stop.clone()));
    let replica = Replica::start(uploads).await;
    let bytes = content(TWO_PARTS);
    let started = started(&replica, &bytes).await;
    let mut viewer = replica.watch_run(&started).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    assert_eq!(replica.on(&started, "/seal", Some(seal)).await.status(), 200);
    world.put_all(&started, &bytes).await;
    let words = viewer.next_words(4).await;
    assert_eq!(words, "session_start 1 2 done:true");
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_that_fails_for_good_is_announced_as_an_error() {
    let (world, replica) = one_replica().await;
    let bytes = content(TWO_PARTS);
    let started = started(&replica, &bytes).await;
    world.put_all(&started, &bytes).await;
    let other = json!({"checksumCrc64nvme": crc(b"other")});
    for _ in 0..2 {
        let answer = replica.on(&started, "/complete", Some(other.clone())).await;
        assert_eq!(answer.status(), 409);
    }
    let mut viewer = replica.watch_run(&started).await;
    assert_eq!(viewer.next_words(3).await, "session_start 1 2");
    let error = viewer.next().await;
    assert_eq!(error["Type"], "error");
    assert!(
        error["Payload"]["message"].as_str().unwrap().contains("checksum"),
        "{error}"
    );
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_changes_nothing_of_the_session() {
    let (world, replica) = one_replica().await;
    let started = started(&replica, &content(TWO_PARTS)).await;
    let before = world.sessions.get(started.upload_session_id).await.unwrap();
    replica.progress(&started, &[1, 2]).await;
    assert_eq!(
        world.sessions.get(started.upload_session_id).await.unwrap(),
        before
    );
    let answer = replica.on(&started, "/complete", None).await;
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "parts_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_that_does_not_fit_is_refused_and_nothing_of_it_is_told() {
    let (_world, replica) = one_replica().await;
    let started = started(&replica, &content(TWO_PARTS)).await;
    let mut viewer = replica.watch_run(&started).await;
    viewer.next().await;
    let good = json!({"partNumber": 2, "sizeBytes": 3});
    let long = "x".repeat(501);
    let many: Vec<Value> = vec![good.clone(); 1001];
    let cases = [
        (json!({}), "invalid_request", "outside 1 to 1000"),
        (json!({ "parts": many }), "invalid_request", "1001 parts"),
        (
            json!({"parts": [good, {"partNumber": 3, "sizeBytes": 3}]}),
            "invalid_request",
            "part 3",
        ),
        (
            json!({"parts": [{"partNumber": 2, "sizeBytes": 4}]}),
            "size_mismatch",
            "4 bytes",
        ),
        (
            json!({"parts": [{"partNumber": 0, "sizeBytes": 4}]}),
            "invalid_request",
            "part number 0",
        ),
        (
            json!({"parts": [{"partNumber": 2, "sizeBytes": 3, "etag": "a b"}]}),
            "invalid_request",
            "etag",
        ),
        (json!({"errors": [{"message": ""}]}), "invalid_request", "0 bytes"),
        (
            json!({"errors": [{ "message": long }]}),
            "invalid_request",
            "501 bytes",
        ),
        (
            json!({"errors": [{"message": "a", "partNumber": 3}]}),
            "invalid_request",
            "part 3",
        ),
    ];
    for (body, code, hint) in cases {
        let answer = replica.on(&started, "/progress", Some(body.clone())).await;
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{problem}");
    }
    viewer.expect_silence().await;
    let path = format!("/api/upload-sessions/{}/progress", started.upload_session_id);
    let answer = replica
        .post(&path, &[("upload-token", "wrong")], Some(json!({"parts": []})))
        .await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewer_chooses_runs_and_may_choose_anew() {
    let (_world, replica) = one_replica().await;
    let (first, second) = (
        started(&replica, &content(TWO_PARTS)).await,
        started(&replica, &content(TWO_PARTS)).await,
    );
    let mut viewer = replica.watch_run(&first).await;
    assert_eq!(viewer.next_words(1).await, "session_start");
    replica.progress(&second, &[1]).await;
    viewer.expect_silence().await;
    viewer
        .say(&json!({"subscribe": second.upload_session_id}).to_string())
        .await;
    assert_eq!(viewer.next_words(2).await, "session_start 1");
    viewer
        .say(&json!({"unsubscribe": first.upload_session_id}).to_string())
        .await;
    viewer.say(r#"{"subscribe": "*"}"#).await;
    // The first one is new again to a viewer that had left it.
    assert_eq!(viewer.next().await["RunID"], json!(first.upload_session_id));
    replica.progress(&first, &[2]).await;
    assert_eq!(viewer.next_words(1).await, "2");
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_run_that_a_viewer_chooses_replaces_all() {
    let (_world, replica) = one_replica().await;
    let mut viewer = replica.watch("").await;
    let run = uuid::Uuid::new_v4();
    viewer.say(&json!({ "subscribe": run }).to_string()).await;
    viewer.expect_silence().await;
    started(&replica, &content(TWO_PARTS)).await;
    viewer.expect_silence().await;
}
