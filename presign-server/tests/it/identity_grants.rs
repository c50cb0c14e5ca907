//! Grants: what a client's backend may give to one user's browser, and what becomes of it.

use axum::http::Method;
use presign_server::auth::{NewKey, Role};
use serde_json::{Value, json};
use upload_protocol::StartResponse;
use uuid::Uuid;

use crate::support::identity::{Guarded, new_key};
use crate::support::{content, start_body};

fn body(size: usize, content_type: &str) -> Value {
    let mut body = start_body("a", &content(size));
    body["contentType"] = json!(content_type);
    body
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test]
async fn grant_lets_one_user_start_within_its_limits() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let asked = json!({
        "scope": "user 7", "keyPrefix": "users/7", "fileSizeBytesMax": 100,
        "contentTypes": ["image/*"], "expiresInSeconds": 60,
    });
    let answer = guarded
        .ask(Method::POST, "/api/grants", Some(&key), Some(asked))
        .await;
    let answer: Value = answer.expect(201);
    assert!(answer["expiresAt"].as_str().unwrap().ends_with('Z'));
    let grant = answer["grant"].as_str().unwrap();
    let started: StartResponse = guarded
        .start_as(Some(grant), &fresh(), body(100, "image/png"))
        .await
        .expect(201);
    assert!(
        started.key.starts_with("uploads/acme/users/7/20"),
        "{}",
        started.key
    );
    let found = guarded
        .world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.owner, "acme/user 7");
    assert_eq!(found.session.client, "acme");
    let large = guarded
        .start_as(Some(grant), &fresh(), body(101, "image/png"))
        .await;
    large.expect_problem("file_too_large");
    let page = guarded
        .start_as(Some(grant), &fresh(), body(1, "text/html"))
        .await;
    page.expect_problem("content_type_refused");
}

#[tokio::test]
async fn grant_can_not_allow_more_than_its_client_may() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        file_size_bytes_max: Some(100),
        content_types: vec!["image/*".parse().unwrap()],
        ..new_key("acme")
    });
    for (asked, named) in [
        (json!({"scope": "a", "fileSizeBytesMax": 101}), "101"),
        (json!({"scope": "a", "contentTypes": ["*/*"]}), "*/*"),
        (
            json!({"scope": "a", "contentTypes": ["image/png", "video/mp4"]}),
            "video/mp4",
        ),
        (json!({"scope": "a", "keyPrefix": "../other"}), "../other"),
        (json!({"scope": "a", "contentTypes": ["image"]}), "image"),
        (json!({"scope": "a", "uploadsMax": 0}), "uploadsMax 0"),
        (json!({"scope": "a", "uploadsMax": 10_001}), "10001"),
        (json!({"scope": "a", "expiresInSeconds": 0}), "expiresInSeconds 0"),
        (json!({"scope": "a", "expiresInSeconds": 86_401}), "86401"),
        (json!({"scope": "a", "role": "operator"}), "role"),
        (json!({"scope": "a", "client": "other"}), "client"),
        (json!({"scope": ""}), "scope"),
        (json!({"scope": "a\nb"}), "scope"),
        (json!({"scope": "x".repeat(257)}), "257"),
        (json!({}), "scope"),
    ] {
        let answer = guarded
            .ask(Method::POST, "/api/grants", Some(&key), Some(asked))
            .await;
        let problem = answer.expect_problem("invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    let grant = guarded.grant(&key, json!({"scope": "a"})).await;
    let large = guarded
        .start_as(Some(&grant), &fresh(), body(101, "image/png"))
        .await;
    large.expect_problem("file_too_large");
    let video = guarded
        .start_as(Some(&grant), &fresh(), body(1, "video/mp4"))
        .await;
    video.expect_problem("content_type_refused");
}

#[tokio::test]
async fn grant_is_given_to_an_api_key_and_not_to_a_grant() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded.grant(&key, json!({"scope": "a"})).await;
    let answer = guarded
        .ask(
            Method::POST,
            "/api/grants",
            Some(&grant),
            Some(json!({"scope": "b"})),
        )
        .await;
    answer.expect_problem("forbidden");
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn grant_of_an_operator_is_no_operator() {
    let mut guarded = Guarded::start().await;
    let ops = guarded.key(NewKey {
        role: Some(Role::Operator),
        ..new_key("ops")
    });
    let acme = guarded.key_of("acme");
    guarded.started(&acme, "a").await;
    let grant = guarded.grant(&ops, json!({"scope": "a"})).await;
    let page: Value = guarded
        .ask(Method::GET, "/api/upload-sessions", Some(&grant), None)
        .await
        .expect(200);
    assert!(page["sessions"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn grant_for_so_many_uploads_is_spent_after_them_on_any_replica_and_repeats_are_free() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded.grant(&key, json!({"scope": "a", "uploadsMax": 2})).await;
    let (first, second, third) = (fresh(), fresh(), fresh());
    let image = || body(1, "image/png");
    guarded
        .start_as(Some(&grant), &first, image())
        .await
        .expect::<Value>(201);
    guarded.serve(None);
    guarded
        .start_as(Some(&grant), &second, image())
        .await
        .expect::<Value>(201);
    guarded
        .start_as(Some(&grant), &first, image())
        .await
        .expect::<Value>(201);
    let spent = guarded.start_as(Some(&grant), &third, image()).await;
    let problem = spent.expect_problem("grant_spent");
    assert_eq!(spent.status, 403);
    assert!(problem["detail"].as_str().unwrap().contains("all 2"), "{problem}");
    let again = guarded.grant(&key, json!({"scope": "a", "uploadsMax": 2})).await;
    guarded
        .start_as(Some(&again), &third, image())
        .await
        .expect::<Value>(201);
}

#[tokio::test]
async fn starts_at_once_under_a_grant_for_three_give_three() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded.grant(&key, json!({"scope": "a", "uploadsMax": 3})).await;
    let starts = (0..12).map(|_| async {
        let answer = guarded
            .start_as(Some(&grant), &fresh(), body(1, "image/png"))
            .await;
        answer.status.as_u16()
    });
    let statuses = futures::future::join_all(starts).await;
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        3,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 403).count(),
        9,
        "{statuses:?}"
    );
}

#[tokio::test]
async fn start_that_its_limits_refuse_spends_nothing() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let asked = json!({"scope": "a", "uploadsMax": 1, "fileSizeBytesMax": 10});
    let grant = guarded.grant(&key, asked).await;
    let large = guarded
        .start_as(Some(&grant), &fresh(), body(11, "image/png"))
        .await;
    large.expect_problem("file_too_large");
    guarded
        .start_as(Some(&grant), &fresh(), body(10, "image/png"))
        .await
        .expect::<Value>(201);
}

#[tokio::test]
async fn grant_of_a_revoked_key_or_a_removed_client_is_refused_at_once() {
    let mut guarded = Guarded::start().await;
    let (one, two) = (guarded.key_of("acme"), guarded.key_of("acme"));
    let (of_one, of_two) = (
        guarded.grant(&one, json!({"scope": "a"})).await,
        guarded.grant(&two, json!({"scope": "a"})).await,
    );
    guarded.file.revoke_key(&one[3..19]).unwrap();
    guarded.serve(None);
    let refused = guarded.start_as(Some(&of_one), &fresh(), body(1, "")).await;
    refused.expect_problem("unauthorized");
    guarded
        .start_as(Some(&of_two), &fresh(), body(1, ""))
        .await
        .expect::<Value>(201);
    std::fs::write(guarded.file.path(), "clients: []").unwrap();
    guarded.serve(None);
    let refused = guarded.start_as(Some(&of_two), &fresh(), body(1, "")).await;
    refused.expect_problem("unauthorized");
}

#[tokio::test]
async fn limits_taken_back_from_a_client_hold_for_its_grants_too() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded
        .grant(&key, json!({"scope": "a", "contentTypes": ["video/mp4"]}))
        .await;
    let free = guarded.grant(&key, json!({"scope": "a"})).await;
    let text = std::fs::read_to_string(guarded.file.path()).unwrap();
    let narrower = text.replace(
        "role: uploader",
        "role: uploader\n  content_types: ['image/*']\n  file_size_bytes_max: 5",
    );
    assert_ne!(text, narrower);
    std::fs::write(guarded.file.path(), narrower).unwrap();
    guarded.serve(None);
    let nothing_left = guarded
        .start_as(Some(&grant), &fresh(), body(1, "video/mp4"))
        .await;
    nothing_left.expect_problem("unauthorized");
    let video = guarded
        .start_as(Some(&free), &fresh(), body(1, "video/mp4"))
        .await;
    video.expect_problem("content_type_refused");
    let large = guarded
        .start_as(Some(&free), &fresh(), body(6, "image/png"))
        .await;
    large.expect_problem("file_too_large");
}

#[tokio::test]
async fn altered_or_foreign_grant_is_refused() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded.grant(&key, json!({"scope": "a"})).await;
    let pieces: Vec<&str> = grant.split('.').collect();
    let claims = json!({"jti": Uuid::new_v4(), "exp": 4_000_000_000_u64, "sub": "a", "client": "acme", "keyId": &key[3..19]});
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.typ = Some("holdfast-grant+jwt".to_owned());
    let by = |secret: &[u8]| {
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(secret)).unwrap()
    };
    let forged = by(&[7; 32]);
    let forged_pieces: Vec<&str> = forged.split('.').collect();
    for bad in [
        forged.clone(),
        by(b""),
        by(key.as_bytes()),
        format!("{}.{}.{}", pieces[0], forged_pieces[1], pieces[2]),
        format!("{}.{}.", pieces[0], pieces[1]),
        format!("{}.{}", pieces[0], pieces[1]),
        format!("{grant}x"),
    ] {
        let answer = guarded.start_as(Some(&bad), &fresh(), body(1, "")).await;
        let problem = answer.expect_problem("unauthorized");
        assert!(
            !problem["detail"].as_str().unwrap().contains(pieces[2]),
            "{problem}"
        );
    }
    guarded
        .start_as(Some(&grant), &fresh(), body(1, ""))
        .await
        .expect::<Value>(201);
}

#[tokio::test]
async fn grant_ends_with_the_key_it_was_asked_for_with() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let text = std::fs::read_to_string(guarded.file.path()).unwrap();
    let created = text
        .lines()
        .find(|line| line.contains("created:"))
        .unwrap()
        .to_owned();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(600);
    let limited = text.replace(&created, &format!("{created}\n    expires: {soon}"));
    std::fs::write(guarded.file.path(), limited).unwrap();
    guarded.serve(None);
    let asked = json!({"scope": "a", "expiresInSeconds": 86_400});
    let answer: Value = guarded
        .ask(Method::POST, "/api/grants", Some(&key), Some(asked))
        .await
        .expect(201);
    let ends: jiff::Timestamp = answer["expiresAt"].as_str().unwrap().parse().unwrap();
    assert!(ends <= soon, "{ends} is after {soon}");
}

#[tokio::test]
async fn start_of_before_costs_another_grant_nothing() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let one = json!({"scope": "user 7", "uploadsMax": 1});
    let (first, second) = (
        guarded.grant(&key, one.clone()).await,
        guarded.grant(&key, one).await,
    );
    let upload = fresh();
    for grant in [&first, &second] {
        let answer = guarded.start_as(Some(grant), &upload, body(1, "image/png")).await;
        answer.expect::<StartResponse>(201);
    }
    let own = guarded
        .start_as(Some(&second), &fresh(), body(1, "image/png"))
        .await;
    own.expect::<StartResponse>(201);
}

#[tokio::test]
async fn login_is_by_api_key_and_ends_with_it() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    let grant = guarded.grant(&key, json!({"scope": "user 7"})).await;
    let log_in = async |guarded: &Guarded, key: &str| {
        let body = Some(json!({"key": key}));
        guarded.ask(Method::POST, "/api/login", None, body).await
    };
    log_in(&guarded, &grant).await.expect_problem("forbidden");
    let answer = log_in(&guarded, &key).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = [("cookie", &*cookie), ("origin", "http://127.0.0.1:4000")];
    let ask = async |guarded: &Guarded| {
        guarded
            .ask_with(Method::POST, "/api/tickets", None, &page, Some(json!({})))
            .await
    };
    ask(&guarded).await.expect::<Value>(200);
    let key_id = key.split('_').nth(1).unwrap();
    guarded.file.revoke_key(key_id).unwrap();
    guarded.serve(None);
    ask(&guarded).await.expect_problem("unauthorized");
}

#[tokio::test]
async fn secret_that_stands_where_it_does_not_belong_is_not_repeated() {
    let guarded = Guarded::start().await;
    for body in [json!("hf_key_secret"), json!({"completes": ["hf_key_secret"]})] {
        for path in ["/api/login", "/api/upload-sessions/batch/complete"] {
            let answer = guarded.ask(Method::POST, path, None, Some(body.clone())).await;
            answer.expect_problem("invalid_request");
            assert!(
                !String::from_utf8_lossy(&answer.body).contains("hf_key"),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn single_put_that_was_aborted_counts_as_long_as_its_url_may_be_used() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key(NewKey {
        bytes_in_flight_max: Some(150),
        ..new_key("acme")
    });
    let answer = guarded
        .start_as(Some(&key), &fresh(), body(100, "image/png"))
        .await;
    let started: StartResponse = answer.expect(201);
    assert_eq!(
        guarded.world.on(&started, Method::DELETE, "", None).await.status,
        204
    );
    let again = guarded
        .start_as(Some(&key), &fresh(), body(100, "image/png"))
        .await;
    again.expect_problem("quota_exceeded");
}
