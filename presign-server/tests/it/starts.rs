//! Starting sessions: once per key, whatever is repeated, lost or raced.

use std::sync::atomic::Ordering;

use crate::support::{MIB, TWO_PARTS, World, content, crc, start_body};
use axum::http::Method;
use presign_server::UploadPolicy;
use serde_json::{Value, json};
use upload_protocol::limits::{OBJECT_SIZE_BYTES_MAX, SIGN_BATCH_PARTS_MAX};
use upload_protocol::{StartResponse, UploadMode};
use upload_storage::ObjectStorage as _;
use uuid::Uuid;

fn key() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test]
async fn start_repeated_answers_the_same_session_and_token() {
    let world = World::start().await;
    let (key, bytes) = (key(), content(TWO_PARTS));
    let first: StartResponse = world
        .start_call(&key, start_body("a.mov", &bytes))
        .await
        .expect(201);
    let second: StartResponse = world
        .start_call(&key, start_body("a.mov", &bytes))
        .await
        .expect(201);
    assert_eq!(first.upload_session_id, second.upload_session_id);
    assert_eq!(first.token, second.token);
    assert_eq!((&first.key, &first.upload_id), (&second.key, &second.upload_id));
    assert_eq!(first.mode, UploadMode::Multipart);
    assert_eq!((first.part_size_bytes, first.part_count), (5 * MIB as u64, 2));
    assert_eq!(first.parts.len(), 2);
    assert_eq!(first.lease_seconds, 604_800);
}

#[tokio::test]
async fn starts_at_once_with_one_key_give_one_session_and_one_multipart_upload() {
    let world = World::start().await;
    let (key, bytes) = (key(), content(TWO_PARTS));
    let starts = (0..12).map(|_| world.start_call(&key, start_body("a.mov", &bytes)));
    let answers = futures::future::join_all(starts).await;
    let started: Vec<StartResponse> = answers.iter().map(|answer| answer.expect(201)).collect();
    assert!(
        started
            .iter()
            .all(|one| one.upload_session_id == started[0].upload_session_id)
    );
    assert!(started.iter().all(|one| one.upload_id == started[0].upload_id));
    let left = world.storage.find_multipart(&started[0].key).await.unwrap();
    assert_eq!(left, vec![started[0].upload_id.clone().unwrap()]);
}

#[tokio::test]
async fn start_whose_answer_from_the_store_was_lost_is_finished_by_the_repeat() {
    let world = World::start().await;
    let (key, bytes) = (key(), content(TWO_PARTS));
    world.storage.lose_create.store(true, Ordering::SeqCst);
    let answer = world.start_call(&key, start_body("a.mov", &bytes)).await;
    answer.expect_problem("store_unavailable");
    let started: StartResponse = world
        .start_call(&key, start_body("a.mov", &bytes))
        .await
        .expect(201);
    let left = world.storage.find_multipart(&started.key).await.unwrap();
    assert_eq!(
        left,
        vec![started.upload_id.clone().unwrap()],
        "the lost upload was not adopted"
    );
    world.put_all(&started, &bytes).await;
    world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect::<Value>(200);
}

#[tokio::test]
async fn key_used_for_another_file_is_refused() {
    let world = World::start().await;
    let key = key();
    world
        .start_call(&key, start_body("a.mov", b"abc"))
        .await
        .expect::<Value>(201);
    for (name, bytes) in [("b.mov", &b"abc"[..]), ("a.mov", b"abcd")] {
        let answer = world.start_call(&key, start_body(name, bytes)).await;
        answer.expect_problem("idempotency_conflict");
    }
}

#[tokio::test]
async fn next_generation_of_a_key_is_another_session() {
    let world = World::start().await;
    let key = key();
    let first: StartResponse = world.start_call(&key, start_body("a", b"abc")).await.expect(201);
    world.on(&first, Method::DELETE, "", None).await;
    world
        .start_call(&key, start_body("a", b"abc"))
        .await
        .expect_problem("session_aborted");
    let second = world
        .start_call(&format!("{key}/1"), start_body("a", b"abc"))
        .await;
    let second: StartResponse = second.expect(201);
    assert_ne!(first.upload_session_id, second.upload_session_id);
    assert_ne!(first.key, second.key);
}

#[tokio::test]
async fn file_of_one_part_with_checksum_goes_by_a_single_put() {
    let world = World::start().await;
    for length in [0, 1, 5 * MIB] {
        let started = world.start_upload("one.bin", &content(length)).await;
        assert_eq!((started.mode, started.part_count), (UploadMode::Single, 1));
        assert_eq!(started.upload_id, None);
        let names: Vec<&str> = started.parts[0]
            .headers
            .iter()
            .map(|header| &*header.name)
            .collect();
        for name in [
            "content-disposition",
            "content-type",
            "if-none-match",
            "x-amz-checksum-crc64nvme",
        ] {
            assert!(names.contains(&name), "{name}");
        }
    }
    let started = world.start_upload("two.bin", &content(5 * MIB + 1)).await;
    assert_eq!((started.mode, started.part_count), (UploadMode::Multipart, 2));
}

#[tokio::test]
async fn plain_client_without_checksums_gets_all_urls_at_once() {
    let world = World::start().await;
    let size = 5 * MIB * 3 + 1;
    let body = json!({"fileName": "a.bin", "sizeBytes": size, "partSizeBytes": 5 * MIB});
    let started: StartResponse = world.start_call(&key(), body).await.expect(201);
    assert_eq!(started.checksum_algorithm, None);
    assert_eq!(started.parts.len(), 4);
    assert!(started.parts.iter().all(|part| part.headers.is_empty()));
    let small = json!({"fileName": "a.bin", "sizeBytes": 0});
    let started: StartResponse = world.start_call(&key(), small).await.expect(201);
    assert_eq!((started.mode, started.parts.len()), (UploadMode::Multipart, 1));
    let large = json!({"fileName": "a.bin", "sizeBytes": 5 * MIB * 2000, "partSizeBytes": 5 * MIB});
    let started: StartResponse = world.start_call(&key(), large).await.expect(201);
    assert_eq!(
        (started.part_count, started.parts.len()),
        (2000, SIGN_BATCH_PARTS_MAX)
    );
}

#[tokio::test]
async fn parts_of_another_layout_are_passed_over_without_an_error() {
    let world = World::start().await;
    let body = json!({
        "fileName": "a", "sizeBytes": TWO_PARTS, "partSizeBytes": 5 * MIB, "checksumAlgorithm": "CRC64NVME",
        "parts": [
            {"partNumber": 1, "sizeBytes": 8 * MIB, "checksumCrc64nvme": crc(b"")},
            {"partNumber": 2, "sizeBytes": 3, "checksumCrc64nvme": crc(b"")},
            {"partNumber": 3, "sizeBytes": 3, "checksumCrc64nvme": crc(b"")},
            {"partNumber": 2, "sizeBytes": 3},
        ],
    });
    let started: StartResponse = world.start_call(&key(), body).await.expect(201);
    let numbers: Vec<u32> = started
        .parts
        .iter()
        .map(|part| part.part_number.value())
        .collect();
    assert_eq!(numbers, [2]);
}

#[tokio::test]
async fn part_size_of_the_request_wins_over_the_servers() {
    let policy = UploadPolicy {
        part_size_bytes: 16 * MIB as u64,
        ..UploadPolicy::default()
    };
    let world = World::with_policy(policy).await;
    let size = 64 * MIB;
    let plain = json!({"fileName": "a", "sizeBytes": size});
    let started: StartResponse = world.start_call(&key(), plain).await.expect(201);
    assert_eq!(
        (started.part_size_bytes, started.part_count),
        (16 * MIB as u64, 4)
    );
    let wished = json!({"fileName": "a", "sizeBytes": size, "partSizeBytes": 5 * MIB});
    let started: StartResponse = world.start_call(&key(), wished).await.expect(201);
    assert_eq!(started.part_size_bytes, 5 * MIB as u64);
    for wish in [0, 5 * MIB - 1, 6 << 30] {
        let body = json!({"fileName": "a", "sizeBytes": size, "partSizeBytes": wish});
        world
            .start_call(&key(), body)
            .await
            .expect_problem("invalid_request");
    }
}

#[tokio::test]
async fn file_above_the_servers_limit_is_refused_with_both_numbers() {
    let policy = UploadPolicy {
        file_size_bytes_max: 1000,
        ..UploadPolicy::default()
    };
    let world = World::with_policy(policy).await;
    let answer = world
        .start_call(&key(), json!({"fileName": "a", "sizeBytes": 1001}))
        .await;
    let detail = answer.expect_problem("file_too_large")["detail"].to_string();
    assert!(detail.contains("1001") && detail.contains("1000"), "{detail}");
    let world = World::start().await;
    for size in [OBJECT_SIZE_BYTES_MAX + 1, u64::MAX] {
        let answer = world
            .start_call(&key(), json!({"fileName": "a", "sizeBytes": size}))
            .await;
        answer.expect_problem("file_too_large");
    }
}

#[tokio::test]
async fn batch_answers_each_start_by_itself() {
    let world = World::start().await;
    let good = key();
    let body = json!({"starts": [
        {"idempotencyKey": good, "start": start_body("a", b"abc")},
        {"idempotencyKey": "no key", "start": start_body("b", b"abc")},
        {"idempotencyKey": key(), "start": {"fileName": "c", "sizeBytes": OBJECT_SIZE_BYTES_MAX + 1}},
        {"idempotencyKey": good, "start": start_body("a", b"abc")},
    ]});
    let answer = world
        .call(Method::POST, "/api/upload-sessions/batch", None, Some(body))
        .await;
    let results = answer.expect::<Value>(200)["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 4);
    assert_eq!(results[0]["session"]["mode"], "single");
    assert_eq!(results[1]["problem"]["code"], "invalid_request");
    assert_eq!(results[2]["problem"]["code"], "file_too_large");
    assert_eq!(
        results[3]["session"]["uploadSessionId"],
        results[0]["session"]["uploadSessionId"]
    );
    for count in [0, 101] {
        let starts: Vec<Value> = (0..count)
            .map(|_| json!({"idempotencyKey": key(), "start": {"fileName": "a", "sizeBytes": 1}}))
            .collect();
        let body = json!({"starts": starts});
        let answer = world
            .call(Method::POST, "/api/upload-sessions/batch", None, Some(body))
            .await;
        answer.expect_problem("invalid_request");
    }
}

#[tokio::test]
async fn batch_of_plain_starts_shares_the_urls_of_one() {
    let world = World::start().await;
    for (count, urls) in [(1, SIGN_BATCH_PARTS_MAX), (3, 333), (40, 25)] {
        let start = json!({"fileName": "a.bin", "sizeBytes": 5 * MIB * 2000, "partSizeBytes": 5 * MIB});
        let starts: Vec<Value> = (0..count)
            .map(|_| json!({"idempotencyKey": key(), "start": start}))
            .collect();
        let answer = world
            .call(
                Method::POST,
                "/api/upload-sessions/batch",
                None,
                Some(json!({"starts": starts})),
            )
            .await;
        let results = answer.expect::<Value>(200)["results"].clone();
        for result in results.as_array().unwrap() {
            assert_eq!(result["session"]["parts"].as_array().unwrap().len(), urls);
        }
    }
}
