//! Many completes in one call: each as by its own, in the order asked for.

use crate::support::{Answer, TWO_PARTS, World, content, crc};
use axum::http::Method;
use presign_server::session::StateKind;
use serde_json::{Value, json};
use upload_protocol::{CompleteResponse, StartResponse};
use uuid::Uuid;

async fn complete(world: &World, items: &[Value]) -> Answer {
    let path = "/api/upload-sessions/batch/complete";
    let body = json!({"completes": items});
    world.call(Method::POST, path, None, Some(body)).await
}

fn item(started: &StartResponse) -> Value {
    json!({"uploadSessionId": started.upload_session_id, "token": started.token})
}

async fn sent(world: &World, name: &str, bytes: &[u8]) -> StartResponse {
    let started = world.start_upload(name, bytes).await;
    world.put_all(&started, bytes).await;
    started
}

#[tokio::test]
async fn completes_of_one_call_are_answered_in_order_and_the_same_when_repeated() {
    let world = World::start().await;
    let mut started = Vec::new();
    for index in 0..20 {
        let length = if index % 7 == 3 { TWO_PARTS } else { index };
        started.push(sent(&world, &format!("{index}.bin"), &content(length)).await);
    }
    let items: Vec<Value> = started.iter().map(item).collect();
    let first = complete(&world, &items).await.expect::<Value>(200);
    for (result, started) in first["results"].as_array().unwrap().iter().zip(&started) {
        let completed: CompleteResponse = serde_json::from_value(result["completed"].clone()).unwrap();
        assert_eq!(completed.key, started.key);
        let object = world.read_object(&started.key).await.unwrap();
        assert!(object.is(completed.size_bytes, completed.checksum_crc64nvme));
    }
    assert_eq!(complete(&world, &items).await.expect::<Value>(200), first);
    let own = world.on(&started[0], Method::POST, "/complete", None).await;
    assert_eq!(own.expect::<Value>(200), first["results"][0]["completed"]);
}

#[tokio::test]
async fn complete_that_fails_fails_no_other_of_its_call() {
    let world = World::start().await;
    let (good, bytes) = (sent(&world, "good", b"abc").await, content(TWO_PARTS));
    let unsent = world.start_upload("unsent", b"abc").await;
    let stolen = sent(&world, "stolen", b"abc").await;
    let other = sent(&world, "other", &bytes).await;
    let right = sent(&world, "right", &bytes).await;
    let mut wrong_token = item(&stolen);
    wrong_token["token"] = json!(good.token);
    let mut wrong_checksum = item(&other);
    wrong_checksum["checksumCrc64nvme"] = json!(crc(b"other"));
    let mut right_checksum = item(&right);
    right_checksum["checksumCrc64nvme"] = json!(crc(&bytes));
    let mut nobodys = item(&good);
    nobodys["uploadSessionId"] = json!(Uuid::new_v4());
    let items = [
        wrong_token,
        item(&unsent),
        item(&good),
        wrong_checksum,
        nobodys,
        right_checksum,
        item(&good),
    ];
    let results = complete(&world, &items).await.expect::<Value>(200)["results"].clone();
    let code = |index: usize| &results[index]["problem"]["code"];
    assert_eq!(code(0), "token_refused");
    assert_eq!(results[0]["problem"]["status"], 403);
    assert_eq!(code(1), "parts_missing");
    assert_eq!(code(3), "checksum_mismatch");
    assert_eq!(code(4), "session_not_found");
    assert_eq!(results[5]["completed"]["checksumCrc64nvme"], json!(crc(&bytes)));
    assert_eq!(results[2]["completed"]["key"], good.key);
    assert_eq!(results[6], results[2]);
    world.wait_for_state(&stolen, StateKind::Open).await;
    world.wait_for_state(&other, StateKind::Open).await;
}

#[tokio::test]
async fn hundred_completes_fit_one_call_and_none_or_more_are_refused() {
    let world = World::start().await;
    let mut started = Vec::new();
    for index in 0..100 {
        started.push(sent(&world, "a", &content(index)).await);
    }
    let mut items: Vec<Value> = started.iter().map(item).collect();
    for (item, index) in items.iter_mut().zip(0..) {
        item["checksumCrc64nvme"] = json!(crc(&content(index)));
    }
    let answer = complete(&world, &items).await.expect::<Value>(200);
    let sizes: Vec<u64> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["completed"]["sizeBytes"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, (0..100).collect::<Vec<u64>>());
    items.push(items[0].clone());
    complete(&world, &items).await.expect_problem("invalid_request");
    let detail = complete(&world, &[]).await.expect_problem("invalid_request")["detail"].to_string();
    assert!(
        detail.contains("0 completes") && detail.contains("1 to 100"),
        "{detail}"
    );
}

#[tokio::test]
async fn batch_is_no_session_of_the_single_calls() {
    let world = World::start().await;
    let answer = world
        .call(
            Method::POST,
            "/api/upload-sessions/batch/seal",
            Some("t"),
            Some(json!({})),
        )
        .await;
    answer.expect_problem("session_not_found");
    let answer = world
        .call(Method::GET, "/api/upload-sessions/batch/complete", None, None)
        .await;
    answer.expect_problem("method_not_allowed");
}
