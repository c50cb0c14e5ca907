//! A store that keeps no checksums: numbers and sizes are all there is to go by.

use crate::support::{MIB, TWO_PARTS, World, content, crc, split, start_body};
use axum::http::Method;
use serde_json::{Value, json};
use upload_protocol::{SignPartsResponse, StartResponse, UploadMode};
use upload_storage::StoreProfile;
use uuid::Uuid;

fn key() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test]
async fn store_without_checksums_is_told_and_the_parts_named_get_plain_urls() {
    let world = World::over(StoreProfile::Garage).await;
    let bytes = content(3 * 5 * MIB);
    let mut body = start_body("a.mov", &bytes);
    let named = body["parts"].clone();
    body["parts"] = json!([named[2], named[0], {"partNumber": 2}, {"partNumber": 2, "sizeBytes": 1}]);
    let started: StartResponse = world.start_call(&key(), body).await.expect(201);
    assert_eq!(started.checksum_algorithm, None);
    let numbers: Vec<u32> = started
        .parts
        .iter()
        .map(|part| part.part_number.value())
        .collect();
    assert_eq!(numbers, [3, 1]);
    assert!(started.parts.iter().all(|part| part.headers.is_empty()));
    let sign = json!({"parts": [{"partNumber": 2, "checksumCrc64nvme": crc(b"whatever")}]});
    let signed: SignPartsResponse = world
        .on(&started, Method::POST, "/parts", Some(sign))
        .await
        .expect(200);
    assert!(signed.parts[0].headers.is_empty());
    assert_eq!(
        world.put(&signed.parts[0], &bytes[5 * MIB..10 * MIB]).await.0,
        200
    );
}

#[tokio::test]
async fn start_that_asks_for_checksums_and_names_no_part_gets_no_url() {
    let world = World::over(StoreProfile::Ceph).await;
    let mut body = start_body("a.mov", &content(TWO_PARTS));
    body["parts"] = json!([]);
    let started: StartResponse = world.start_call(&key(), body).await.expect(201);
    assert_eq!((started.parts.len(), started.part_count), (0, 2));
    let plain = json!({"fileName": "a", "sizeBytes": TWO_PARTS, "partSizeBytes": 5 * MIB});
    let started: StartResponse = world.start_call(&key(), plain).await.expect(201);
    assert_eq!(started.parts.len(), 2);
}

#[tokio::test]
async fn no_single_put_where_the_store_can_not_refuse_to_overwrite_or_check_it() {
    for profile in [StoreProfile::Garage, StoreProfile::R2] {
        let world = World::over(profile).await;
        for length in [0, 3] {
            let bytes = content(length);
            let started = world.start_upload("small", &bytes).await;
            assert_eq!(started.mode, UploadMode::Multipart, "{profile}");
            world.put_all(&started, &bytes).await;
            let answer = world.on(&started, Method::POST, "/complete", None).await;
            assert_eq!(answer.expect::<Value>(200)["sizeBytes"], length);
        }
    }
}

#[tokio::test]
async fn sealed_session_without_checksums_is_completed_by_the_server_and_vouches_for_none() {
    let world = World::over(StoreProfile::Garage).await;
    world.run_sealer();
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    let answer = world
        .on(&started, Method::POST, "/seal", Some(seal.clone()))
        .await;
    assert_eq!(answer.expect::<Value>(200)["status"], "sealed");
    world.put_all(&started, &bytes).await;
    let status = world.wait_for(&started, "completed").await;
    assert_eq!(status["completed"]["sizeBytes"], bytes.len());
    assert_eq!(status["completed"].get("checksumCrc64nvme"), None);
    let answer = world.on(&started, Method::POST, "/seal", Some(seal)).await;
    assert_eq!(answer.expect::<Value>(200)["status"], "completed");
}

#[tokio::test]
async fn checksum_told_to_a_session_without_checksums_is_held_to() {
    let world = World::over(StoreProfile::Garage).await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    let told = json!({"checksumCrc64nvme": crc(&bytes)});
    let other = json!({"checksumCrc64nvme": crc(b"other")});
    world
        .on(&started, Method::POST, "/seal", Some(told.clone()))
        .await
        .expect::<Value>(200);
    world.put_all(&started, &bytes).await;
    for completed in [false, true] {
        for path in ["/seal", "/complete"] {
            let answer = world.on(&started, Method::POST, path, Some(other.clone())).await;
            answer.expect_problem("checksum_mismatch");
        }
        if !completed {
            let answer = world
                .on(&started, Method::POST, "/complete", Some(told.clone()))
                .await;
            assert_eq!(answer.expect::<Value>(200).get("checksumCrc64nvme"), None);
        }
    }
}

#[tokio::test]
async fn part_of_another_size_is_refused_where_there_are_no_checksums() {
    let world = World::over(StoreProfile::Garage).await;
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("a", &bytes).await;
    let (status, _) = world.put(&started.parts[1], b"four").await;
    assert!(status >= 400, "a part of another size was taken");
    let pieces: Vec<&[u8]> = split(&bytes, started.part_size_bytes).collect();
    assert_eq!(world.put(&started.parts[1], pieces[1]).await.0, 200);
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    answer.expect_problem("parts_missing");
}
