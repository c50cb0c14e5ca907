//! API keys, and what a client's uploads may be.

use axum::http::Method;
use presign_server::UploadPolicy;
use presign_server::auth::{NewKey, Role};
use serde_json::{Value, json};
use upload_protocol::StartResponse;
use uuid::Uuid;

use crate::support::identity::{Guarded, new_key};
use crate::support::{content, start_body};

#[tokio::test]
async fn start_without_credentials_is_refused_and_asks_for_them() {
    let guarded = Guarded::start().await;
    let body = start_body("a", b"x");
    let one = guarded
        .start_as(None, &Uuid::new_v4().to_string(), body.clone())
        .await;
    let batch = json!({"starts": [{"idempotencyKey": Uuid::new_v4(), "start": body}]});
    let calls = [
        one,
        guarded
            .ask(Method::POST, "/api/upload-sessions/batch", None, Some(batch))
            .await,
        guarded.ask(Method::GET, "/api/upload-sessions", None, None).await,
        guarded
            .ask(Method::POST, "/api/grants", None, Some(json!({"scope": "7"})))
            .await,
    ];
    for answer in calls {
        let problem = answer.expect_problem("unauthorized");
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(
            problem["detail"].as_str().unwrap().contains("missing"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn key_lets_its_client_start_and_stands_in_the_objects_key() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let started = guarded.started(&key, "a.txt").await;
    assert!(started.key.starts_with("uploads/acme/20"), "{}", started.key);
    let found = guarded
        .world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.session.owner.as_str(), found.session.client.as_str()),
        ("acme", "acme")
    );
}

#[tokio::test]
async fn wrong_unknown_and_altered_keys_are_refused_without_being_repeated() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let id = &key[3..19];
    let long = "a".repeat(9000);
    for wrong in [
        format!("{key}x"),
        key[..key.len() - 1].to_owned(),
        key.replacen("hf_", "HF_", 1),
        format!("hf_{id}_{}", "A".repeat(43)),
        format!("hf_{id}_"),
        format!("hf_0000000000000000_{}", &key[20..]),
        "hf_".to_owned(),
        "x".to_owned(),
        "..".to_owned(),
        long,
    ] {
        let body = start_body("a", b"x");
        let answer = guarded
            .start_as(Some(&wrong), &Uuid::new_v4().to_string(), body)
            .await;
        let problem = answer.expect_problem("unauthorized");
        assert!(
            !problem["detail"].as_str().unwrap().contains(&key[20..]),
            "{problem}"
        );
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn key_past_its_time_is_refused_by_its_id() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        expires_in_days: Some(1),
        ..new_key("acme")
    });
    guarded.started(&key, "a").await;
    let text = std::fs::read_to_string(guarded.file.path()).unwrap();
    let expires = text.lines().find(|line| line.contains("expires:")).unwrap();
    std::fs::write(
        guarded.file.path(),
        text.replace(expires, "    expires: 2020-01-01T00:00:00Z"),
    )
    .unwrap();
    guarded.serve(None);
    let answer = guarded
        .start_as(Some(&key), &Uuid::new_v4().to_string(), start_body("a", b"x"))
        .await;
    let problem = answer.expect_problem("unauthorized");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("expired") && detail.contains(&key[3..19]),
        "{detail}"
    );
}

#[tokio::test]
async fn file_above_the_clients_or_the_servers_limit_is_refused_with_the_limit() {
    let policy = UploadPolicy {
        file_size_bytes_max: 1000,
        ..UploadPolicy::default()
    };
    let mut guarded = Guarded::with(policy, None).await;
    let small = guarded.key(NewKey {
        file_size_bytes_max: Some(100),
        ..new_key("small")
    });
    let large = guarded.key(NewKey {
        file_size_bytes_max: Some(5000),
        ..new_key("large")
    });
    for (key, size, limit) in [
        (&small, 101, Some("100-byte")),
        (&small, 100, None),
        (&large, 1000, None),
        (&large, 1001, Some("1000-byte")),
    ] {
        let body = start_body("a", &content(size));
        let answer = guarded
            .start_as(Some(key), &Uuid::new_v4().to_string(), body)
            .await;
        match limit {
            None => drop(answer.expect::<StartResponse>(201)),
            Some(limit) => {
                let problem = answer.expect_problem("file_too_large");
                assert!(problem["detail"].as_str().unwrap().contains(limit), "{problem}");
            }
        }
    }
}

#[tokio::test]
async fn bytes_in_flight_are_the_clients_and_come_free_when_an_upload_ends() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        bytes_in_flight_max: Some(25),
        ..new_key("acme")
    });
    let second = guarded.key_of("acme");
    let other = guarded.key_of("other");
    let ten = || start_body("a", &content(10));
    let first: StartResponse = guarded
        .start_as(Some(&key), &Uuid::new_v4().to_string(), ten())
        .await
        .expect(201);
    guarded
        .start_as(Some(&second), &Uuid::new_v4().to_string(), ten())
        .await
        .expect::<Value>(201);
    let third = Uuid::new_v4().to_string();
    let refused = guarded.start_as(Some(&key), &third, ten()).await;
    let problem = refused.expect_problem("quota_exceeded");
    assert!(
        problem["detail"].as_str().unwrap().contains("25-byte"),
        "{problem}"
    );
    guarded
        .start_as(Some(&other), &Uuid::new_v4().to_string(), ten())
        .await
        .expect::<Value>(201);
    guarded.world.put_all(&first, &content(10)).await;
    let completed = guarded.world.on(&first, Method::POST, "/complete", None).await;
    assert_eq!(completed.status, 200);
    guarded
        .start_as(Some(&key), &third, ten())
        .await
        .expect::<Value>(201);
}

#[tokio::test]
async fn content_type_outside_the_list_is_refused_naming_the_list() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        content_types: vec!["video/*".parse().unwrap(), "image/png".parse().unwrap()],
        ..new_key("acme")
    });
    for (named, taken) in [
        ("video/mp4", true),
        ("Video/MP4; codecs=\"avc1\"", true),
        ("image/png", true),
        ("image/svg+xml", false),
        ("text/html", false),
        ("application/octet-stream", false),
        ("", false),
    ] {
        let mut body = start_body("a", b"x");
        body["contentType"] = json!(named);
        let answer = guarded
            .start_as(Some(&key), &Uuid::new_v4().to_string(), body)
            .await;
        if taken {
            answer.expect::<StartResponse>(201);
        } else {
            let problem = answer.expect_problem("content_type_refused");
            assert_eq!(answer.status, 415);
            assert!(
                problem["detail"].as_str().unwrap().contains("video/*, image/png"),
                "{problem}"
            );
        }
    }
}

#[tokio::test]
async fn page_on_the_list_is_still_stored_as_bytes() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        content_types: vec!["text/*".parse().unwrap()],
        ..new_key("acme")
    });
    let mut body = start_body("a.html", b"<script>");
    body["contentType"] = json!("text/html");
    let started: StartResponse = guarded
        .start_as(Some(&key), &Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    let found = guarded
        .world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.content_type, "application/octet-stream");
}

#[tokio::test]
async fn prefix_of_a_client_stands_below_the_servers() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        key_prefix: Some("teams/video_1".to_owned()),
        ..new_key("acme")
    });
    let started = guarded.started(&key, "../../a.txt").await;
    let pieces: Vec<&str> = started.key.split('/').collect();
    assert_eq!(pieces[..3], ["uploads", "teams", "video_1"]);
    assert_eq!((pieces.len(), pieces[5]), (6, "_.._a.txt"));
}

#[tokio::test]
async fn session_goes_on_with_its_token_alone() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let bytes = content(1000);
    let body = start_body("a", &bytes);
    let started: StartResponse = guarded
        .start_as(Some(&key), &Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    guarded.world.put_all(&started, &bytes).await;
    guarded
        .world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect::<Value>(200);
}

#[tokio::test]
async fn running_server_takes_up_the_file_and_keeps_the_old_one_while_it_is_broken() {
    let guarded = Guarded::start().await;
    let key = guarded.file.create_key(new_key("acme")).unwrap();
    let start = async |name: &str| {
        let body = start_body(name, b"x");
        guarded
            .start_as(Some(&key.expose()), &Uuid::new_v4().to_string(), body)
            .await
            .status
            .as_u16()
    };
    let becomes = async |status: u16| {
        for _ in 0..100 {
            if start("a").await == status {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        false
    };
    assert!(becomes(201).await);
    let good = std::fs::read_to_string(guarded.file.path()).unwrap();
    std::fs::write(guarded.file.path(), "clients: [{name: acme, colour: red}]").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(start("a").await, 201);
    std::fs::remove_file(guarded.file.path()).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(start("a").await, 201);
    std::fs::write(guarded.file.path(), good).unwrap();
    guarded.file.revoke_key(key.id()).unwrap();
    assert!(becomes(401).await);
}

#[tokio::test]
async fn operator_key_may_start_too() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        role: Some(Role::Operator),
        ..new_key("ops")
    });
    guarded.started(&key, "a").await;
}
