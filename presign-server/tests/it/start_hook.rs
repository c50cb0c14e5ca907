//! Asking a product's server before an upload starts.

use crate::completion_webhook::{Receiver, Reply, SECRET};
use crate::support::{World, start_body};
use axum::http::Method;
use serde_json::{Value, json};
use upload_protocol::{HookEvent, StartResponse, UploadStarting};
use uuid::Uuid;

async fn asking(receiver: &Receiver) -> World {
    World::set_up(|uploads| uploads.start_hook(receiver.hook())).await
}

fn says(answer: &Value) -> Reply {
    Reply::Status(200, answer.to_string())
}

fn key() -> String {
    Uuid::new_v4().to_string()
}

/// That no session is kept for a key, nor anything at the store.
async fn expect_nothing(world: &World, key: &str) {
    assert_eq!(world.sessions.find("local", key).await.unwrap(), None);
}

#[tokio::test]
async fn start_is_asked_about_once_with_all_that_is_known() {
    let receiver = Receiver::start().await;
    receiver.always(says(&json!({"allow": true, "later": 1})));
    let world = asking(&receiver).await;
    let key = key();
    let mut body = start_body("../ü 😀.html", b"abc");
    body["contentType"] = json!("text/html");
    body["metadata"] = json!({"album": "summer"});
    let first: StartResponse = world.start_call(&key, body.clone()).await.expect(201);
    let again: StartResponse = world.start_call(&key, body).await.expect(201);
    assert_eq!(again.upload_session_id, first.upload_session_id);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 1, "it was asked about again");
    let event: HookEvent<UploadStarting> = seen[0].event();
    assert_eq!(event.event_type, "upload.starting");
    let expected = UploadStarting {
        client: "local".to_owned(),
        scope: None,
        file_name: "../ü 😀.html".to_owned(),
        size_bytes: 3,
        content_type: "application/octet-stream".to_owned(),
        metadata: [("album".to_owned(), "summer".to_owned())].into(),
        idempotency_key: key,
    };
    assert_eq!(event.data, expected);
    assert_eq!(seen[0].read_as_documented(SECRET), event.id);
}

#[tokio::test]
async fn start_that_the_hook_refuses_is_told_its_reason_and_leaves_nothing() {
    let receiver = Receiver::start().await;
    let world = asking(&receiver).await;
    for (reason, detail) in [
        (json!("no room\r\nleft\u{202e}"), "no roomleft".to_owned()),
        (json!("x".repeat(1000)), "x".repeat(200)),
        (Value::Null, "this upload is not allowed".to_owned()),
        (json!(" \n"), "this upload is not allowed".to_owned()),
    ] {
        receiver.answer([says(&json!({"allow": false, "reason": reason, "key": "../.."}))]);
        let key = key();
        let answer = world.start_call(&key, start_body("a", b"abc")).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.expect_problem("start_refused")["detail"], detail);
        expect_nothing(&world, &key).await;
    }
}

#[tokio::test]
async fn hook_that_says_neither_yes_nor_no_starts_nothing() {
    let receiver = Receiver::start().await;
    let world = asking(&receiver).await;
    let yes = |more: Value| {
        let mut answer = json!({"allow": true});
        answer
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        says(&answer)
    };
    for reply in [
        Reply::Status(500, String::new()),
        Reply::Status(200, String::new()),
        Reply::Status(200, "yes".to_owned()),
        Reply::Status(200, format!("{{\"allow\": true}}{}", " ".repeat(70_000) + "x")),
        Reply::Status(204, String::new()),
        Reply::Status(201, "{\"allow\": true}".to_owned()),
        Reply::Redirect,
        Reply::Never,
        says(&json!({"allow": "yes"})),
        says(&json!({})),
        yes(json!({"key": "../x"})),
        yes(json!({"key": "/etc/passwd"})),
        yes(json!({"key": "a\u{7}/"})),
        yes(json!({"key": ""})),
        yes(json!({"key": "x".repeat(1025)})),
        yes(json!({"metadata": {"A": "1"}})),
        yes(json!({"metadata": {"a": "x".repeat(3000)}})),
    ] {
        let shown = format!("{reply:?}").chars().take(100).collect::<String>();
        receiver.answer([reply]);
        let key = key();
        let answer = world.start_call(&key, start_body("a", b"abc")).await;
        assert_eq!(answer.status, 503, "{shown}");
        answer.expect_problem("hook_unavailable");
        assert_eq!(answer.headers["retry-after"], "2");
        expect_nothing(&world, &key).await;
    }
}

#[tokio::test]
async fn key_and_metadata_that_the_hook_chose_are_those_of_the_object() {
    let receiver = Receiver::start().await;
    let world = asking(&receiver).await;
    for (chosen, folder, name) in [
        ("films/2026/", "uploads/local/films/2026/", "/a.mov"),
        ("films/Ü 😀.mov", "uploads/local/films/", "/Ü 😀.mov"),
        ("b.mov", "uploads/local/", "/b.mov"),
    ] {
        let answer = json!({"allow": true, "key": chosen, "metadata": {"owner": "42", "album": "theirs"}});
        let mut keys = Vec::new();
        for _ in 0..2 {
            receiver.answer([says(&answer)]);
            let mut body = start_body("a.mov", b"abc");
            body["metadata"] = json!({"album": "mine", "kept": "yes"});
            let started: StartResponse = world.start_call(&key(), body).await.expect(201);
            assert!(
                started.key.starts_with(folder) && started.key.ends_with(name),
                "{}",
                started.key
            );
            world.put_all(&started, b"abc").await;
            let answer = world.on(&started, Method::POST, "/complete", None).await;
            assert_eq!(answer.expect::<Value>(200)["key"], started.key);
            let object = world.download(&started.key).await;
            let metadata = object.metadata().unwrap();
            assert_eq!(metadata["owner"], "42");
            assert_eq!((&*metadata["album"], &*metadata["kept"]), ("theirs", "yes"));
            keys.push(started.key);
        }
        assert_ne!(keys[0], keys[1], "two sessions were given one key");
    }
}

#[tokio::test]
async fn each_start_of_a_batch_is_asked_about_and_a_refused_one_fails_no_other() {
    let receiver = Receiver::start().await;
    receiver.always(says(&json!({"allow": true})));
    receiver.answer([says(&json!({"allow": false, "reason": "no"}))]);
    let world = asking(&receiver).await;
    let starts: Vec<Value> = (0..3)
        .map(|_| json!({"idempotencyKey": key(), "start": start_body("a", b"abc")}))
        .collect();
    let body = json!({"starts": starts});
    let answer: Value = world
        .call(Method::POST, "/api/upload-sessions/batch", None, Some(body))
        .await
        .expect(200);
    let results = answer["results"].as_array().unwrap();
    let refused = results
        .iter()
        .filter(|result| result["problem"]["code"] == "start_refused")
        .count();
    let started = results
        .iter()
        .filter(|result| result["session"]["uploadSessionId"].is_string())
        .count();
    assert_eq!((refused, started, receiver.seen().len()), (1, 2, 3), "{answer}");
}
