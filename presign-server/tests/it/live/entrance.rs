//! Who is let in to watch, and what they see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use presign_server::events::MemoryEventBus;
use presign_server::{Clock, LiveLimits, TokenMaker, Uploads};
use serde_json::{Value, json};
use upload_testkit::redis_server::RedisServer;

use super::{Replica, TestKeys, uploads_over};
use crate::event_buses::redis_bus;
use crate::support::{TWO_PARTS, World, content};

const OPERATOR: [(&str, &str); 1] = [("authorization", "Bearer operator-key")];

async fn guarded(uploads: Uploads) -> Replica {
    Replica::build(uploads, Arc::new(TestKeys), LiveLimits::default()).await
}

async fn one_guarded() -> (World, Replica) {
    let world = World::start().await;
    let replica = guarded(uploads_over(&world, Arc::new(MemoryEventBus::default()))).await;
    (world, replica)
}

/// A clock that a test moves.
#[derive(Debug, Default)]
struct Later(AtomicU64);

impl Clock for Later {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_lets_one_viewer_in_at_whichever_replica() {
    let (world, redis) = (World::start().await, RedisServer::start());
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(guarded(uploads_over(&world, redis_bus(&redis))).await);
    }
    for _ in 0..5 {
        let ticket = replicas[0].ticket(&OPERATOR, json!({})).await;
        let query = format!("?ticket={ticket}");
        let attempts = (0..6).map(|index| replicas[index % 2].try_watch(&query, &[]));
        let results = futures::future::join_all(attempts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for refused in results.into_iter().filter_map(Result::err) {
            assert_eq!(refused, (403, "ticket_refused".to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_that_is_forged_or_expired_is_refused() {
    let world = World::start().await;
    let clock = Arc::new(Later::default());
    let tokens = TokenMaker::new(&[7; 32]).unwrap();
    let uploads = Uploads::builder(world.storage.clone(), world.sessions.clone(), tokens)
        .clock(clock.clone())
        .build();
    let replica = guarded(uploads).await;
    let other = TokenMaker::new(&[8; 32]).unwrap();
    let other = guarded(Uploads::builder(world.storage.clone(), world.sessions.clone(), other).build()).await;
    let ticket = replica.ticket(&OPERATOR, json!({})).await;
    let (text, mac) = ticket.split_once('.').unwrap();
    let foreign = other.ticket(&OPERATOR, json!({})).await;
    let forged = foreign.split_once('.').unwrap().0;
    let refused = Err((403, "ticket_refused".to_owned()));
    for ticket in [
        format!("{forged}.{mac}"),
        format!("{text}x.{mac}"),
        text.to_owned(),
        foreign.clone(),
        String::new(),
    ] {
        let result = replica.try_watch(&format!("?ticket={ticket}"), &[]).await;
        assert_eq!(result.map(|_| ()), refused, "{ticket}");
    }
    clock.0.store(31, Ordering::SeqCst);
    let result = replica.try_watch(&format!("?ticket={ticket}"), &[]).await;
    assert_eq!(result.map(|_| ()), refused);
    // It was not used by being refused.
    clock.0.store(29, Ordering::SeqCst);
    assert!(replica.try_watch(&format!("?ticket={ticket}"), &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn login_is_no_ticket_and_a_ticket_no_login() {
    let (_world, replica) = one_guarded().await;
    let cookie = cookie_of(&login(&replica, "operator-key", &[]).await);
    let (_, login) = cookie.split_once('=').unwrap();
    let result = replica.try_watch(&format!("?ticket={login}"), &[]).await;
    assert_eq!(result.map(|_| ()), Err((403, "ticket_refused".to_owned())));
    let ticket = replica.ticket(&OPERATOR, json!({})).await;
    let cookie = format!("holdfast_monitor={ticket}");
    let headers = [("cookie", &*cookie), ("origin", "https://app.example.com")];
    let answer = replica.post("/api/tickets", &headers, None).await;
    assert_eq!(answer.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_is_theirs_and_operators_everything() {
    let (_world, replica) = one_guarded().await;
    let bytes = content(TWO_PARTS);
    let acme = replica.start_upload("acme-key", &bytes).await;
    let anna = replica.start_upload("acme-anna", &bytes).await;
    let other = replica.start_upload("other-key", &bytes).await;
    let ids = |all: &[&upload_protocol::StartResponse]| {
        all.iter()
            .map(|one| one.upload_session_id.to_string())
            .collect::<Vec<_>>()
    };
    for (key, seen) in [
        ("operator-key", ids(&[&acme, &anna, &other])),
        ("acme-key", ids(&[&acme, &anna])),
        ("acme-anna", ids(&[&anna])),
        ("other-key", ids(&[&other])),
    ] {
        let bearer = format!("Bearer {key}");
        let ticket = replica.ticket(&[("authorization", &bearer)], json!({})).await;
        let by_ticket = replica.watch(&format!("?ticket={ticket}")).await;
        let by_key = replica
            .try_watch("", &[("authorization", &bearer)])
            .await
            .unwrap();
        for mut viewer in [by_ticket, by_key] {
            let mut told = Vec::new();
            for _ in &seen {
                told.push(viewer.next().await["RunID"].as_str().unwrap().to_owned());
            }
            assert_eq!(told, seen, "{key}");
            viewer.expect_silence().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_token_lets_see_its_one_run_whatever_is_asked_for() {
    let (_world, replica) = one_guarded().await;
    let bytes = content(TWO_PARTS);
    let mine = replica.start_upload("acme-key", &bytes).await;
    let other = replica.start_upload("acme-key", &bytes).await;
    let token = [("upload-token", mine.token.expose())];
    let (mine_id, other_id) = (mine.upload_session_id, other.upload_session_id);
    let ticket = replica
        .ticket(&token, json!({ "uploadSessionId": mine_id }))
        .await;
    let by_ticket = replica.watch(&format!("?ticket={ticket}")).await;
    let by_token = replica
        .try_watch(&format!("?run={mine_id}"), &token)
        .await
        .unwrap();
    for mut viewer in [by_ticket, by_token] {
        viewer.say(r#"{"subscribe": "*"}"#).await;
        viewer.say(&json!({ "subscribe": other_id }).to_string()).await;
        assert_eq!(viewer.next().await["RunID"], json!(mine_id));
        viewer.expect_silence().await;
    }
    // A ticket of one run, another one in the URL.
    let ticket = replica
        .ticket(&token, json!({ "uploadSessionId": mine_id }))
        .await;
    let mut viewer = replica.watch(&format!("?ticket={ticket}&run={other_id}")).await;
    viewer.expect_silence().await;
    // Another session's token, and none named.
    for (body, code) in [
        (json!({ "uploadSessionId": other_id }), "token_refused"),
        (json!({}), "invalid_request"),
    ] {
        let answer = replica.post("/api/tickets", &token, Some(body)).await;
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
    }
    let result = replica.try_watch(&format!("?run={other_id}"), &token).await;
    assert_eq!(result.map(|_| ()), Err((403, "token_refused".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_may_be_narrowed_to_a_run_of_ones_own() {
    let (_world, replica) = one_guarded().await;
    let bytes = content(TWO_PARTS);
    let mine = replica.start_upload("acme-key", &bytes).await.upload_session_id;
    replica.start_upload("acme-key", &bytes).await;
    let other = replica.start_upload("other-key", &bytes).await.upload_session_id;
    let acme = [("authorization", "Bearer acme-key")];
    let ticket = replica.ticket(&acme, json!({ "uploadSessionId": mine })).await;
    let mut viewer = replica.watch(&format!("?ticket={ticket}")).await;
    assert_eq!(viewer.next().await["RunID"], json!(mine));
    viewer.expect_silence().await;
    let answer = replica
        .post("/api/tickets", &acme, Some(json!({ "uploadSessionId": other })))
        .await;
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "session_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn stranger_sees_nothing() {
    let (_world, replica) = one_guarded().await;
    let refused = Err((401, "unauthorized".to_owned()));
    assert_eq!(replica.try_watch("", &[]).await.map(|_| ()), refused);
    let wrong = [("authorization", "Bearer wrong")];
    assert_eq!(replica.try_watch("", &wrong).await.map(|_| ()), refused);
    for headers in [&[][..], &wrong, &[("cookie", "holdfast_monitor=x.y")]] {
        assert_eq!(replica.post("/api/tickets", headers, None).await.status(), 401);
    }
    let answer = replica
        .post("/api/login", &[], Some(json!({"key": "wrong"})))
        .await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().get("set-cookie").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_another_origin_is_refused_and_a_listed_one_is_not() {
    let (_world, replica) = one_guarded().await;
    let own = format!("http://{}", replica.address);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let ticket = replica.ticket(&OPERATOR, json!({})).await;
        let query = format!("?ticket={ticket}");
        let result = replica.try_watch(&query, &[("origin", origin)]).await;
        assert_eq!(
            result.map(|_| ()),
            Err((403, "origin_refused".to_owned())),
            "{origin}"
        );
        let answer = replica
            .post(
                "/api/login",
                &[("origin", origin)],
                Some(json!({"key": "operator-key"})),
            )
            .await;
        assert_eq!(answer.status(), 403, "{origin}");
    }
    for origin in [&*own, "https://app.example.com"] {
        let ticket = replica.ticket(&OPERATOR, json!({})).await;
        let query = format!("?ticket={ticket}");
        assert!(
            replica.try_watch(&query, &[("origin", origin)]).await.is_ok(),
            "{origin}"
        );
    }
    let result = replica.try_watch("", &[("host", "evil.example")]).await;
    assert_eq!(result.map(|_| ()), Err((421, "host_refused".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_sets_a_cookie_that_only_the_monitors_calls_take() {
    let (_world, replica) = one_guarded().await;
    let own = format!("http://{}", replica.address);
    let answer = login(&replica, "operator-key", &[("origin", &own)]).await;
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for flag in [
        "holdfast_monitor=",
        "Path=/;",
        "Max-Age=43200;",
        "HttpOnly",
        "SameSite=Strict",
    ] {
        assert!(set.contains(flag), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("operator-key"), "{set}");
    let cookie = cookie_of(&answer);
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({"operator": true, "expiresInSeconds": 43200})
    );
    let by_cookie = [("cookie", &*cookie), ("origin", &*own)];
    replica.start_upload("acme-key", &content(TWO_PARTS)).await;
    let ticket = replica.ticket(&by_cookie, json!({})).await;
    let mut viewer = replica.watch(&format!("?ticket={ticket}")).await;
    assert_eq!(viewer.next_words(1).await, "session_start");
    // No upload starts by it, and the WebSocket itself doesn't take it.
    let headers = [
        ("cookie", &*cookie),
        ("origin", &*own),
        ("idempotency-key", "5f3b2c1d-0e9f-4a8b-8c7d-6e5f4a3b2c1d"),
    ];
    let body = crate::support::start_body("a", b"abc");
    let answer = replica.post("/api/upload-sessions", &headers, Some(body)).await;
    assert_eq!(answer.status(), 401);
    let result = replica
        .try_watch("", &[("cookie", &cookie), ("origin", &own)])
        .await;
    assert_eq!(result.map(|_| ()), Err((401, "unauthorized".to_owned())));
    // A call that a browser made names its page.
    let answer = replica.post("/api/tickets", &[("cookie", &cookie)], None).await;
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "origin_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookie_is_secure_over_https_and_gone_after_logout() {
    let (_world, replica) = one_guarded().await;
    let https = format!("https://{}", replica.address);
    for headers in [[("origin", &*https)], [("x-forwarded-proto", "https")]] {
        let answer = login(&replica, "acme-key", &headers).await;
        let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            set.starts_with("__Host-holdfast_monitor=") && set.contains("; Secure"),
            "{set}"
        );
        let cookie = cookie_of(&answer);
        replica
            .ticket(&[("cookie", &cookie), ("origin", &https)], json!({}))
            .await;
    }
    let answer = replica.post("/api/logout", &[], None).await;
    assert_eq!(answer.status(), 204);
    let cleared: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cleared.len(), 2);
    assert!(
        cleared
            .iter()
            .all(|set| set.to_str().unwrap().contains("Max-Age=0"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn login_ends_by_itself() {
    let world = World::start().await;
    let clock = Arc::new(Later::default());
    let tokens = TokenMaker::new(&[7; 32]).unwrap();
    let uploads = Uploads::builder(world.storage.clone(), world.sessions.clone(), tokens);
    let replica = guarded(uploads.clock(clock.clone()).build()).await;
    let cookie = cookie_of(&login(&replica, "operator-key", &[]).await);
    let headers = [("cookie", &*cookie), ("origin", "https://app.example.com")];
    clock.0.store(12 * 3600 - 5, Ordering::SeqCst);
    assert_eq!(replica.post("/api/tickets", &headers, None).await.status(), 200);
    clock.0.store(12 * 3600 + 5, Ordering::SeqCst);
    assert_eq!(replica.post("/api/tickets", &headers, None).await.status(), 401);
}

async fn login(replica: &Replica, key: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let answer = replica
        .post("/api/login", headers, Some(json!({ "key": key })))
        .await;
    assert_eq!(answer.status(), 200);
    answer
}

/// What the browser sends back.
fn cookie_of(answer: &reqwest::Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}
