//! Starts that tell the whole file's checksum: nothing more is needed for the server to complete them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{MIB, SEALER_TIMING, TWO_PARTS, World, content, crc, sealed_start_body, start_body};
use axum::http::Method;
use presign_server::SealerTiming;
use presign_server::session::StateKind;
use serde_json::{Value, json};
use upload_protocol::{SessionStatus, StartResponse};
use uuid::Uuid;

fn key() -> String {
    Uuid::new_v4().to_string()
}

async fn version(world: &World, started: &StartResponse) -> u64 {
    let found = world.sessions.get(started.upload_session_id).await.unwrap();
    found.unwrap().version
}

#[tokio::test]
async fn start_that_tells_the_checksum_is_sealed_at_no_write_more() {
    let world = World::start().await;
    for length in [0, 3, TWO_PARTS] {
        let bytes = content(length);
        let open: StartResponse = world
            .start_call(&key(), start_body("a", &bytes))
            .await
            .expect(201);
        let sealed: StartResponse = world
            .start_call(&key(), sealed_start_body("a", &bytes))
            .await
            .expect(201);
        assert_eq!(
            (open.status, sealed.status),
            (SessionStatus::Open, SessionStatus::Sealed)
        );
        assert_eq!(version(&world, &sealed).await, version(&world, &open).await);
        assert_eq!(sealed.parts.len(), open.parts.len());
    }
}

#[tokio::test]
async fn session_that_started_sealed_is_completed_by_the_server_with_no_client() {
    let world = World::start().await;
    world.run_sealer();
    for length in [0, 3, TWO_PARTS] {
        let bytes = content(length);
        let started: StartResponse = world
            .start_call(&key(), sealed_start_body("a", &bytes))
            .await
            .expect(201);
        world.put_all(&started, &bytes).await;
        world.wait_for_state(&started, StateKind::Completed).await;
        let object = world.read_object(&started.key).await.unwrap();
        assert!(object.is(length as u64, Some(crc(&bytes))));
    }
}

#[tokio::test]
async fn repeated_start_that_tells_the_checksum_seals_the_open_session() {
    let world = World::start().await;
    world.run_sealer();
    let (key, bytes) = (key(), content(TWO_PARTS));
    let open: StartResponse = world.start_call(&key, start_body("a", &bytes)).await.expect(201);
    assert_eq!(open.status, SessionStatus::Open);
    for _ in 0..2 {
        let again = world.start_call(&key, sealed_start_body("a", &bytes)).await;
        let again: StartResponse = again.expect(201);
        assert_eq!(again.upload_session_id, open.upload_session_id);
        assert_eq!(again.status, SessionStatus::Sealed);
    }
    let plain: StartResponse = world.start_call(&key, start_body("a", &bytes)).await.expect(201);
    assert_eq!(plain.status, SessionStatus::Sealed);
    world.put_all(&open, &bytes).await;
    world.wait_for_state(&open, StateKind::Completed).await;
    let again = world.start_call(&key, sealed_start_body("a", &bytes)).await;
    let again: StartResponse = again.expect(201);
    assert_eq!((again.status, again.parts.len()), (SessionStatus::Completed, 0));
}

#[tokio::test]
async fn starts_at_once_with_and_without_the_checksum_end_sealed() {
    let world = World::start().await;
    let (key, bytes) = (key(), content(TWO_PARTS));
    let starts = (0..12).map(|index| {
        let body = if index % 3 == 0 {
            sealed_start_body("a", &bytes)
        } else {
            start_body("a", &bytes)
        };
        world.start_call(&key, body)
    });
    let answers = futures::future::join_all(starts).await;
    let started: Vec<StartResponse> = answers.iter().map(|answer| answer.expect(201)).collect();
    assert!(started.iter().all(|one| one.upload_id == started[0].upload_id));
    assert!(
        started
            .iter()
            .step_by(3)
            .all(|one| one.status == SessionStatus::Sealed)
    );
    world.wait_for_state(&started[0], StateKind::Sealed).await;
}

#[tokio::test]
async fn start_with_another_checksum_is_refused_once_sealed_or_complete() {
    let world = World::start().await;
    for length in [3, TWO_PARTS] {
        let (key, bytes) = (key(), content(length));
        let started: StartResponse = world
            .start_call(&key, sealed_start_body("a", &bytes))
            .await
            .expect(201);
        let mut other = start_body("a", &bytes);
        other["checksumCrc64nvme"] = json!(crc(b"other"));
        world
            .start_call(&key, other.clone())
            .await
            .expect_problem("checksum_mismatch");
        world.put_all(&started, &bytes).await;
        let answer = world.on(&started, Method::POST, "/complete", None).await;
        answer.expect::<Value>(200);
        world
            .start_call(&key, other)
            .await
            .expect_problem("checksum_mismatch");
    }
}

#[tokio::test]
async fn thousand_files_just_started_cost_the_store_no_look() {
    let world = World::start().await;
    let timing = SealerTiming {
        delay_sending: Duration::from_mins(1),
        search_interval: Duration::from_millis(50),
        ..SEALER_TIMING
    };
    world.run_sealer_at(timing);
    // The search that a sealer begins with is over.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut first = None;
    for _ in 0..10 {
        let starts: Vec<Value> = (0..100)
            .map(|_| json!({"idempotencyKey": key(), "start": sealed_start_body("a", b"abc")}))
            .collect();
        let batch = json!({"starts": starts});
        let answer = world
            .call(Method::POST, "/api/upload-sessions/batch", None, Some(batch))
            .await;
        let session = answer.expect::<Value>(200)["results"][0]["session"].clone();
        assert_eq!(session["status"], "sealed");
        first = Some(serde_json::from_value::<StartResponse>(session).unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.storage.looks.load(Ordering::SeqCst), 0);
    let first = first.unwrap();
    world.put_all(&first, b"abc").await;
    let answer = world.on(&first, Method::POST, "/complete", None).await;
    answer.expect::<Value>(200);
    assert_eq!(world.storage.looks.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn signing_parts_of_a_sealed_session_brings_its_next_look_closer() {
    let world = World::start().await;
    let timing = SealerTiming {
        delay_max: Duration::from_hours(1),
        ..SEALER_TIMING
    };
    world.run_sealer_at(timing);
    let bytes = content(5 * MIB + 1);
    let mut body = sealed_start_body("a", &bytes);
    let parts = std::mem::replace(&mut body["parts"], json!([]));
    let started: StartResponse = world.start_call(&key(), body).await.expect(201);
    // Looks at 50, 150, 350, 750 and 1550 ms, by when the next one is 1600 ms away.
    tokio::time::sleep(Duration::from_millis(1700)).await;
    let looks = world.storage.looks.load(Ordering::SeqCst);
    assert!((3..=6).contains(&looks), "{looks} looks");
    let signed = world
        .on(&started, Method::POST, "/parts", Some(json!({"parts": parts})))
        .await;
    let signed: upload_protocol::SignPartsResponse = signed.expect(200);
    for (part, piece) in signed.parts.iter().zip([&bytes[..5 * MIB], &bytes[5 * MIB..]]) {
        assert_eq!(world.put(part, piece).await.0, 200);
    }
    let soon = world.wait_for_state(&started, StateKind::Completed);
    tokio::time::timeout(Duration::from_secs(1), soon).await.unwrap();
}
