//! From signed URLs to a completed object, and every way it can end otherwise.

use std::sync::atomic::Ordering;

use crate::support::{MIB, TWO_PARTS, World, content, crc, split, start_body};
use axum::http::Method;
use presign_server::UploadPolicy;
use presign_server::session::{SessionState, StateKind};
use serde_json::{Value, json};
use upload_protocol::{CompleteResponse, SignPartsResponse, StartResponse};
use upload_storage::ObjectStorage as _;
use uuid::Uuid;

#[tokio::test]
async fn multipart_upload_completes_with_size_and_checksum_of_the_store() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("Ünï 😀 a+b~c.mov", &bytes).await;
    assert!(started.key.starts_with("uploads/local/") && started.key.ends_with("/Ünï 😀 a+b~c.mov"));
    world.put_all(&started, &bytes).await;
    let body = json!({"checksumCrc64nvme": crc(&bytes)});
    let answer = world.on(&started, Method::POST, "/complete", Some(body)).await;
    let completed: CompleteResponse = answer.expect(200);
    assert_eq!(completed.size_bytes, bytes.len() as u64);
    assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
    assert_eq!(completed.key, started.key);
    let object = world.read_object(&started.key).await.unwrap();
    assert!(object.is(bytes.len() as u64, Some(crc(&bytes))));
    let again: CompleteResponse = world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect(200);
    assert_eq!(again, completed);
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "completed");
    assert_eq!(status["completed"]["completedAt"], completed.completed_at);
    assert_eq!(status["parts"], json!([]));
}

#[tokio::test]
async fn single_upload_completes_down_to_zero_bytes() {
    let world = World::start().await;
    for length in [0, 1, 70_000, 5 * MIB] {
        let bytes = content(length);
        let started = world.start_upload("s.bin", &bytes).await;
        let answer = world.on(&started, Method::POST, "/complete", None).await;
        answer.expect_problem("parts_missing");
        world.put_all(&started, &bytes).await;
        let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
        assert_eq!(status["parts"][0]["sizeBytes"], length);
        let completed: CompleteResponse = world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect(200);
        assert_eq!(
            (completed.size_bytes, completed.checksum_crc64nvme),
            (length as u64, Some(crc(&bytes)))
        );
    }
}

#[tokio::test]
async fn single_put_a_second_time_does_not_overwrite() {
    let world = World::start().await;
    let started = world.start_upload("s.bin", b"abc").await;
    assert_eq!(world.put(&started.parts[0], b"abc").await.0, 200);
    assert_eq!(world.put(&started.parts[0], b"abc").await.0, 412);
}

#[tokio::test]
async fn object_carries_type_disposition_and_metadata() {
    let world = World::start().await;
    for length in [3, TWO_PARTS] {
        let bytes = content(length);
        let mut body = start_body("naïve.html", &bytes);
        body["contentType"] = json!("text/html");
        body["metadata"] = json!({"album": "summer"});
        let started: StartResponse = world
            .start_call(&Uuid::new_v4().to_string(), body)
            .await
            .expect(201);
        world.put_all(&started, &bytes).await;
        world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect::<Value>(200);
        let object = world.download(&started.key).await;
        assert_eq!(object.content_type(), Some("application/octet-stream"));
        let disposition = "attachment; filename=\"na_ve.html\"; filename*=UTF-8''na%C3%AFve.html";
        assert_eq!(object.content_disposition(), Some(disposition));
        assert_eq!(object.metadata().unwrap()["album"], "summer");
        assert!(
            object.body.collect().await.unwrap().to_vec() == bytes,
            "other bytes came back"
        );
    }
}

#[tokio::test]
async fn sign_call_gives_urls_in_the_order_asked_for() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let mut body = start_body("a", &bytes);
    body["parts"] = json!([]);
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    assert!(started.parts.is_empty());
    let pieces: Vec<&[u8]> = split(&bytes, started.part_size_bytes).collect();
    let body = json!({"parts": [
        {"partNumber": 2, "checksumCrc64nvme": crc(pieces[1])},
        {"partNumber": 1, "checksumCrc64nvme": crc(pieces[0])},
    ]});
    let signed: SignPartsResponse = world
        .on(&started, Method::POST, "/parts", Some(body))
        .await
        .expect(200);
    let numbers: Vec<u32> = signed.parts.iter().map(|part| part.part_number.value()).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(signed.parts[0].expires_in_seconds, 3600);
    assert_eq!(world.put(&signed.parts[0], pieces[1]).await.0, 200);
    assert_eq!(world.put(&signed.parts[1], pieces[0]).await.0, 200);
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(
        status["parts"][0],
        json!({
            "partNumber": 1, "sizeBytes": 5 * MIB, "checksumCrc64nvme": crc(pieces[0]),
        })
    );
    assert_eq!(status["parts"][1]["sizeBytes"], 3);
}

#[tokio::test]
async fn plain_upload_without_checksums_completes_by_sizes() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let body = json!({"fileName": "p.bin", "sizeBytes": bytes.len(), "partSizeBytes": 5 * MIB});
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    let (status, _) = world.put(&started.parts[1], b"four").await;
    assert!(status >= 400, "a part of another size was taken");
    world.put_all(&started, &bytes).await;
    let completed: CompleteResponse = world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect(200);
    assert_eq!(completed.size_bytes, bytes.len() as u64);
}

#[tokio::test]
async fn complete_without_all_parts_names_those_missing() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put(&started.parts[1], &bytes[5 * MIB..]).await;
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    let detail = answer.expect_problem("parts_missing")["detail"].to_string();
    assert!(detail.contains("1 of 2 parts: 1"), "{detail}");
}

#[tokio::test]
async fn complete_with_another_checksum_is_refused_and_can_be_repeated_rightly() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    let wrong = json!({"checksumCrc64nvme": crc(b"other")});
    let answer = world.on(&started, Method::POST, "/complete", Some(wrong)).await;
    answer.expect_problem("checksum_mismatch");
    assert_eq!(world.read_object(&started.key).await, None);
    world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect::<Value>(200);
}

#[tokio::test]
async fn completes_at_once_all_answer_the_same_object() {
    let world = World::start().await;
    world.run_sealer();
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    world
        .on(&started, Method::POST, "/seal", Some(seal))
        .await
        .expect::<Value>(200);
    let calls = (0..10).map(|_| world.on(&started, Method::POST, "/complete", None));
    let answers = futures::future::join_all(calls).await;
    let completed: Vec<CompleteResponse> = answers.iter().map(|answer| answer.expect(200)).collect();
    assert!(completed.iter().all(|one| *one == completed[0]));
}

#[tokio::test]
async fn complete_whose_answer_was_lost_is_settled_by_the_repeat() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    world.storage.lose_complete.store(true, Ordering::SeqCst);
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    answer.expect_problem("store_unavailable");
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "completed", "the status call did not settle it");
    let completed: CompleteResponse = world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect(200);
    assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
}

#[tokio::test]
async fn sealed_session_is_completed_by_the_server_with_no_client() {
    let world = World::start().await;
    world.run_sealer();
    for length in [3, TWO_PARTS] {
        let bytes = content(length);
        let started = world.start_upload("a", &bytes).await;
        let seal = json!({"checksumCrc64nvme": crc(&bytes)});
        let answer: Value = world
            .on(&started, Method::POST, "/seal", Some(seal))
            .await
            .expect(200);
        assert_eq!(answer["status"], "sealed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(
            world
                .read_object(&started.key)
                .await
                .map(|object| object.size_bytes),
            None
        );
        world.put_all(&started, &bytes).await;
        world.wait_for(&started, "completed").await;
        assert!(
            world
                .read_object(&started.key)
                .await
                .unwrap()
                .is(length as u64, Some(crc(&bytes)))
        );
    }
}

#[tokio::test]
async fn sessions_sealed_before_the_sealer_started_are_found_and_completed() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    world
        .on(&started, Method::POST, "/seal", Some(seal))
        .await
        .expect::<Value>(200);
    world.run_sealer();
    world.wait_for(&started, "completed").await;
}

#[tokio::test]
async fn seal_is_idempotent_and_refuses_another_checksum() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    for _ in 0..2 {
        let seal = json!({"checksumCrc64nvme": crc(&bytes)});
        world
            .on(&started, Method::POST, "/seal", Some(seal))
            .await
            .expect::<Value>(200);
    }
    let other = json!({"checksumCrc64nvme": crc(b"x")});
    let answer = world.on(&started, Method::POST, "/seal", Some(other)).await;
    answer.expect_problem("checksum_mismatch");
}

#[tokio::test]
async fn upload_aborted_at_the_store_is_reported_aborted_for_good() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    world
        .storage
        .abort(&started.key, started.upload_id.as_ref().unwrap())
        .await
        .unwrap();
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "aborted");
    for path in ["/complete", "/parts", "/seal"] {
        let body = json!({"checksumCrc64nvme": crc(b""), "parts": [{"partNumber": 1, "checksumCrc64nvme": crc(b"")}]});
        let answer = world.on(&started, Method::POST, path, Some(body)).await;
        answer.expect_problem("session_aborted");
    }
    let kept = world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.session.state.kind().as_str(), "aborted");
}

#[tokio::test]
async fn abort_leaves_nothing_and_may_be_repeated() {
    let world = World::start().await;
    for length in [3, TWO_PARTS] {
        let bytes = content(length);
        let started = world.start_upload("a", &bytes).await;
        world.put_all(&started, &bytes).await;
        for _ in 0..2 {
            let answer = world.on(&started, Method::DELETE, "", None).await;
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        assert_eq!(world.read_object(&started.key).await, None);
        assert!(
            world
                .storage
                .find_multipart(&started.key)
                .await
                .unwrap()
                .is_empty()
        );
        let answer = world.on(&started, Method::POST, "/complete", None).await;
        answer.expect_problem("session_aborted");
    }
}

#[tokio::test]
async fn completed_upload_is_not_deleted_by_an_abort() {
    let world = World::start().await;
    for length in [3, TWO_PARTS] {
        let bytes = content(length);
        let started = world.start_upload("a", &bytes).await;
        world.put_all(&started, &bytes).await;
        world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect::<Value>(200);
        let answer = world.on(&started, Method::DELETE, "", None).await;
        answer.expect_problem("session_completed");
        assert!(world.read_object(&started.key).await.is_some());
    }
}

#[tokio::test]
async fn abort_that_the_store_refused_is_repeated_by_the_server() {
    let world = World::start().await;
    world.run_sealer();
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.storage.refuse_abort.store(true, Ordering::SeqCst);
    let answer = world.on(&started, Method::DELETE, "", None).await;
    answer.expect_problem("store_unavailable");
    for _ in 0..250 {
        let kept = world
            .sessions
            .get(started.upload_session_id)
            .await
            .unwrap()
            .unwrap();
        if kept.session.state.kind().as_str() == "aborted" {
            assert!(
                world
                    .storage
                    .find_multipart(&started.key)
                    .await
                    .unwrap()
                    .is_empty()
            );
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the abort was never repeated");
}

#[tokio::test]
async fn session_whose_lease_ran_out_is_aborted_and_a_live_one_is_not() {
    let lease = std::time::Duration::from_secs(3);
    let policy = UploadPolicy {
        lease,
        ..UploadPolicy::default()
    };
    let world = World::with_policy(policy).await;
    let bytes = content(TWO_PARTS);
    let (old, live) = (
        world.start_upload("old", &bytes).await,
        world.start_upload("live", &bytes).await,
    );
    let mut found = world.sessions.get(old.upload_session_id).await.unwrap().unwrap();
    found.session.renewed_at_ms -= 10_000;
    world.sessions.update(found.version, found.session).await.unwrap();
    world.run_sealer();
    for _ in 0..100 {
        let kept = world.sessions.get(old.upload_session_id).await.unwrap().unwrap();
        if kept.session.state.kind().as_str() == "aborted" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let kept = world.sessions.get(old.upload_session_id).await.unwrap().unwrap();
    assert_eq!(kept.session.state.kind().as_str(), "aborted");
    let kept = world.sessions.get(live.upload_session_id).await.unwrap().unwrap();
    assert_eq!(kept.session.state.kind().as_str(), "open");
}

#[tokio::test]
async fn sealed_session_whose_lease_ran_out_is_completed_when_whole_and_aborted_when_not() {
    let policy = UploadPolicy {
        lease: std::time::Duration::from_secs(3),
        ..UploadPolicy::default()
    };
    let world = World::with_policy(policy).await;
    let bytes = content(TWO_PARTS);
    let mut whole = Vec::new();
    for _ in 0..4 {
        let started = world.start_upload("whole", &bytes).await;
        world.put_all(&started, &bytes).await;
        whole.push(started);
    }
    let torn = world.start_upload("torn", &bytes).await;
    world.put(&torn.parts[0], &bytes[..5 * MIB]).await;
    for started in whole.iter().chain([&torn]) {
        let seal = json!({"checksumCrc64nvme": crc(&bytes)});
        world
            .on(started, Method::POST, "/seal", Some(seal))
            .await
            .expect::<Value>(200);
        world
            .change(started, |session| session.renewed_at_ms -= 10_000)
            .await;
    }
    world.run_sealer();
    for started in &whole {
        world.wait_for(started, "completed").await;
        assert!(world.read_object(&started.key).await.is_some());
    }
    world.wait_for(&torn, "aborted").await;
    let left = world.storage.find_multipart(&torn.key).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn abort_by_another_process_during_a_complete_stands_and_leaves_no_object() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    world.put_all(&started, &bytes).await;
    let gate = world.storage.complete_gate.lock().await;
    let abort = async {
        while world.read_object(&started.key).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        world
            .change(&started, |session| {
                session.state = SessionState::Aborting { since_ms: 0 }
            })
            .await;
        drop(gate);
    };
    let (answer, ()) = tokio::join!(world.on(&started, Method::POST, "/complete", None), abort);
    answer.expect_problem("session_aborted");
    assert_eq!(world.read_object(&started.key).await, None);
    world.run_sealer();
    world.wait_for_state(&started, StateKind::Aborted).await;
}

#[tokio::test]
async fn session_at_whose_key_another_object_stands_is_not_called_aborted() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    let upload_id = started.upload_id.as_ref().unwrap();
    world.storage.abort(&started.key, upload_id).await.unwrap();
    world.write_object(&started.key, b"other").await;
    for (method, path) in [(Method::GET, ""), (Method::POST, "/complete")] {
        let answer = world.on(&started, method, path, None).await;
        let detail = answer.expect_problem("key_taken")["detail"].to_string();
        assert!(
            detail.contains("5 bytes") && detail.contains("5242883 bytes"),
            "{detail}"
        );
    }
    let answer = world.on(&started, Method::DELETE, "", None).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(world.read_object(&started.key).await, None);
}

#[tokio::test]
async fn single_put_after_the_abort_is_removed_once_its_url_is_dead() {
    let world = World::start().await;
    let started = world.start_upload("s.bin", b"abc").await;
    let answer = world.on(&started, Method::DELETE, "", None).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(world.put(&started.parts[0], b"abc").await.0, 200);
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "aborted");
    world
        .change(&started, |session| match &mut session.state {
            SessionState::Aborting { since_ms } => *since_ms -= 2 * 3_600_000,
            state => panic!("kept as {}", state.kind().as_str()),
        })
        .await;
    world.run_sealer();
    world.wait_for_state(&started, StateKind::Aborted).await;
    assert_eq!(world.read_object(&started.key).await, None);
}

#[tokio::test]
async fn slow_abort_of_an_abandoned_session_holds_nothing_else_up() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let (old, whole) = (
        world.start_upload("old", &bytes).await,
        world.start_upload("whole", &bytes).await,
    );
    world.put_all(&whole, &bytes).await;
    world.change(&old, |session| session.renewed_at_ms = 0).await;
    let gate = world.storage.abort_gate.lock().await;
    world.run_sealer();
    world.wait_for_state(&old, StateKind::Aborting).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    let answer = world.on(&whole, Method::POST, "/seal", Some(seal)).await;
    answer.expect::<Value>(200);
    world.wait_for(&whole, "completed").await;
    drop(gate);
    world.wait_for_state(&old, StateKind::Aborted).await;
}

#[tokio::test]
async fn session_that_ended_two_leases_ago_is_forgotten_and_its_object_stays() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let mut completed = Vec::new();
    for _ in 0..2 {
        let started = world.start_upload("a", &bytes).await;
        world.put_all(&started, &bytes).await;
        let answer = world.on(&started, Method::POST, "/complete", None).await;
        answer.expect::<Value>(200);
        completed.push(started);
    }
    let aborted = world.start_upload("a", &bytes).await;
    world.on(&aborted, Method::DELETE, "", None).await;
    let (old, recent) = (&completed[0], &completed[1]);
    let two_leases_ms = i64::try_from(2 * old.lease_seconds * 1000).unwrap();
    for (started, age_ms) in [
        (old, two_leases_ms),
        (&aborted, two_leases_ms),
        (recent, two_leases_ms / 2),
    ] {
        world
            .change(started, |session| {
                session.created_at_ms -= age_ms;
                session.renewed_at_ms -= age_ms;
                if let SessionState::Completed(completed) = &mut session.state {
                    completed.at_ms -= age_ms;
                }
            })
            .await;
    }
    world.run_sealer();
    for started in [old, &aborted] {
        for _ in 0..250 {
            if world
                .sessions
                .get(started.upload_session_id)
                .await
                .unwrap()
                .is_none()
            {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let answer = world.on(started, Method::GET, "", None).await;
        answer.expect_problem("session_not_found");
    }
    assert!(world.read_object(&old.key).await.is_some());
    world.wait_for_state(recent, StateKind::Completed).await;
}
