//! Budgets of calls over HTTP: whom a call is counted for.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use presign_server::{AccessRules, AppState, RateLimit, RateLimits, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use upload_protocol::StartResponse;

use crate::support::{HOST, World};

/// A server whose clients may make so many calls at once, and one an hour later.
fn limited(world: &World, burst: u32) -> Router {
    let mut state = AppState::new(world.uploads.clone(), AccessRules::default());
    let proxies = vec!["10.0.0.1".parse().unwrap()];
    state.rate_limits = RateLimits::new(RateLimit { per_second: 1, burst }, proxies);
    router(state)
}

struct Sent<'a> {
    peer: &'a str,
    forwarded_for: Option<&'a str>,
    token: Option<&'a str>,
}

const NEAR: Sent<'static> = Sent {
    peer: "192.0.2.1:5000",
    forwarded_for: None,
    token: None,
};

async fn send(
    router: &Router,
    path: &str,
    sent: &Sent<'_>,
    body: Option<Value>,
) -> (u16, Option<String>, Vec<u8>) {
    let mut request = match body {
        Some(_) => Request::post(path).header("content-type", "application/json"),
        None => Request::get(path),
    };
    request = request.header("host", HOST);
    if let Some(told) = sent.forwarded_for {
        request = request.header("x-forwarded-for", told);
    }
    if let Some(token) = sent.token {
        request = request.header("upload-token", token);
    }
    let peer: SocketAddr = sent.peer.parse().unwrap();
    let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
    let request = request
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .extension(ConnectInfo(peer))
        .body(body)
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    (status, retry_after, body.to_bytes().to_vec())
}

fn one_start() -> Value {
    json!({"fileName": "a", "sizeBytes": 1})
}

const SESSIONS: &str = "/api/upload-sessions";

#[tokio::test]
async fn address_that_calls_too_often_is_told_when_to_come_back_and_another_is_answered() {
    let world = World::start().await;
    let router = limited(&world, 3);
    for _ in 0..3 {
        assert_eq!(send(&router, SESSIONS, &NEAR, Some(one_start())).await.0, 201);
    }
    let (status, retry_after, body) = send(&router, SESSIONS, &NEAR, Some(one_start())).await;
    assert_eq!((status, retry_after.as_deref()), (429, Some("1")));
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "rate_limited");
    let other = Sent {
        peer: "192.0.2.2:5000",
        ..NEAR
    };
    assert_eq!(send(&router, SESSIONS, &other, Some(one_start())).await.0, 201);
    // Probes are no client's calls.
    assert_eq!(send(&router, "/health", &NEAR, None).await.0, 200);
}

#[tokio::test]
async fn session_has_a_budget_of_its_own_and_a_made_up_one_does_not() {
    let world = World::start().await;
    let router = limited(&world, 2);
    let (_, _, body) = send(&router, SESSIONS, &NEAR, Some(one_start())).await;
    let started: StartResponse = serde_json::from_slice(&body).unwrap();
    let path = format!("{SESSIONS}/{}", started.upload_session_id);
    let mine = Sent {
        token: Some(started.token.expose()),
        ..NEAR
    };
    for _ in 0..2 {
        assert_eq!(send(&router, &path, &mine, None).await.0, 200);
    }
    assert_eq!(send(&router, &path, &mine, None).await.0, 429);
    // The start was one call of the address; refused calls are its too, whatever they name.
    let forged = Sent {
        token: Some("forged"),
        ..NEAR
    };
    assert_eq!(send(&router, &path, &forged, None).await.0, 403);
    let unknown = format!("{SESSIONS}/{}", uuid::Uuid::new_v4());
    assert_eq!(send(&router, &unknown, &forged, None).await.0, 429);
}

#[tokio::test]
async fn many_in_one_call_cost_as_many() {
    let world = World::start().await;
    let router = limited(&world, 10);
    let starts = |count: usize| {
        let one =
            |_| json!({"idempotencyKey": uuid::Uuid::new_v4(), "start": {"fileName": "a", "sizeBytes": 1}});
        Some(json!({"starts": (0..count).map(one).collect::<Vec<_>>()}))
    };
    let batch = "/api/upload-sessions/batch";
    assert_eq!(send(&router, batch, &NEAR, starts(8)).await.0, 200);
    assert_eq!(send(&router, batch, &NEAR, starts(8)).await.0, 429);
    assert_eq!(send(&router, SESSIONS, &NEAR, Some(one_start())).await.0, 201);
}

#[tokio::test]
async fn completes_of_one_call_are_paid_by_their_sessions_and_forged_ones_by_the_address() {
    let world = World::start().await;
    let router = limited(&world, 4);
    let (_, _, body) = send(&router, SESSIONS, &NEAR, Some(one_start())).await;
    let started: StartResponse = serde_json::from_slice(&body).unwrap();
    let complete = |token: &str| json!({"uploadSessionId": started.upload_session_id, "token": token});
    let codes = async |completes: Vec<Value>| {
        let path = "/api/upload-sessions/batch/complete";
        let body = Some(json!({"completes": completes}));
        let (status, _, body) = send(&router, path, &NEAR, body).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let results = answer["results"].as_array().unwrap().clone();
        let code = |result: &Value| result["problem"]["code"].as_str().unwrap().to_owned();
        results.iter().map(code).collect::<Vec<_>>()
    };
    let mine = complete(started.token.expose());
    let mut answered = codes(vec![mine; 5]).await;
    answered.sort();
    assert_eq!(answered[..4], ["parts_missing"; 4]);
    assert_eq!(answered[4], "rate_limited");
    // The address has paid for the start and for both calls.
    let mut answered = codes(vec![complete("forged"); 3]).await;
    answered.sort();
    assert_eq!(answered, ["rate_limited", "rate_limited", "token_refused"]);
}

#[tokio::test]
async fn forwarded_address_counts_behind_a_trusted_proxy_only() {
    let world = World::start().await;
    let router = limited(&world, 1);
    for (peer, told, status) in [
        ("10.0.0.1:1", "198.51.100.1", 201),
        ("10.0.0.1:1", "198.51.100.1", 429),
        ("10.0.0.1:1", "198.51.100.2", 201),
        ("192.0.2.7:1", "198.51.100.3", 201),
        ("192.0.2.7:1", "198.51.100.4", 429),
    ] {
        let sent = Sent {
            peer,
            forwarded_for: Some(told),
            token: None,
        };
        assert_eq!(
            send(&router, SESSIONS, &sent, Some(one_start())).await.0,
            status,
            "{peer} {told}"
        );
    }
}
