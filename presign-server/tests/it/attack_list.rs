//! Attacks made of the API's own document: every call, with every credential that must not open it.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use upload_protocol::StartResponse;
use uuid::Uuid;

use crate::support::identity::Guarded;
use crate::support::{Answer, HOST, TWO_PARTS, World, content, crc, start_body};

/// One call of the document.
#[derive(Debug)]
struct Call {
    id: String,
    method: Method,
    path: String,
    takes_body: bool,
}

/// Calls that anybody may make, whatever they carry; the last one opens nothing by itself.
const PUBLIC: [&str; 6] = ["health", "ready", "openapi", "keys", "logout", "login"];

/// Calls that credentials of one's own open: another client's are no attack on them.
const OF_ANY_CLIENT: [&str; 5] = ["start", "start_batch", "list", "grant", "ticket"];

async fn calls(world: &World) -> Vec<Call> {
    let document: Value = world
        .call(Method::GET, "/openapi.json", None, None)
        .await
        .expect(200);
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            calls.push(Call {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                takes_body: operation.get("requestBody").is_some(),
            });
        }
    }
    assert!(calls.len() >= 20, "{} calls in the document", calls.len());
    calls
}

impl Call {
    fn path_on(&self, session: &StartResponse) -> String {
        let path = self.path.replace("{id}", &session.upload_session_id.to_string());
        path.replace("{number}", "1")
    }

    fn is_on_session(&self) -> bool {
        self.path.contains("{id}")
    }
}

/// A body that each call finds something in.
fn body_for(victim: &StartResponse, token: &str) -> Value {
    let id = victim.upload_session_id;
    json!({
        "fileName": "a", "sizeBytes": 3, "scope": "victim", "key": "hf_forged_key",
        "parts": [{"partNumber": 1, "sizeBytes": 5 << 20, "checksumCrc64nvme": crc(b"")}],
        "checksumCrc64nvme": crc(b""), "uploadSessionId": id,
        "completes": [{"uploadSessionId": id, "token": token}],
        "starts": [{"idempotencyKey": "5f3b2c1d-0e9f-4a8b-8c7d-6e5f4a3b2c1d", "start": {"fileName": "a", "sizeBytes": 3}}],
    })
}

fn unsigned_jwt() -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(json!({"alg": "none", "typ": "JWT"}));
    let claims = part(json!({
        "sub": "victim", "exp": 4_102_444_800_u64,
        "holdfast": {"client": "victim", "role": "operator"},
    }));
    format!("{header}.{claims}.")
}

async fn send(
    world: &World,
    call: &Call,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Answer {
    let mut request = Request::builder().method(call.method.clone()).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", HOST);
    }
    if call.takes_body {
        let kind = if call.id == "relay" {
            "text/plain"
        } else {
            "application/json"
        };
        request = request.header("content-type", kind);
    }
    request = request.header("idempotency-key", "5f3b2c1d-0e9f-4a8b-8c7d-6e5f4a3b2c1d");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.filter(|_| call.takes_body).map_or(Body::empty(), Body::from);
    world.send(request.body(body).unwrap()).await
}

#[tokio::test]
async fn no_call_is_opened_by_credentials_that_are_none_or_somebody_elses() {
    let mut guarded = Guarded::start().await;
    let victim_key = guarded.key_of("victim");
    let mallory_key = guarded.key_of("mallory");
    let bytes = content(TWO_PARTS);
    let start = async |key: &str| -> StartResponse {
        let id = Uuid::new_v4().to_string();
        let started = guarded.start_as(Some(key), &id, start_body("a", &bytes)).await;
        started.expect(201)
    };
    let (victim, mallorys) = (start(&victim_key).await, start(&mallory_key).await);
    let flipped = |text: &str| {
        let last = if text.ends_with('A') { 'B' } else { 'A' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    let (token, other) = (victim.token.expose(), mallorys.token.expose());
    let (forged_token, forged_key, jwt) = (flipped(token), flipped(&victim_key), unsigned_jwt());
    let tokens = [
        None,
        Some(other),
        Some(&*forged_token),
        Some(""),
        Some(&token[..42]),
    ];
    let bearers = [
        None,
        Some(&*mallory_key),
        Some(&*forged_key),
        Some(&*jwt),
        Some(token),
        Some("hf_"),
    ];

    let mut attacks = 0;
    for call in calls(&guarded.world).await {
        if PUBLIC.contains(&call.id.as_str()) {
            continue;
        }
        let path = call.path_on(&victim);
        for token in tokens {
            let body = body_for(&victim, token.unwrap_or_default()).to_string();
            for bearer in bearers {
                let own = bearer == Some(&*mallory_key) && !call.is_on_session();
                if own && (OF_ANY_CLIENT.contains(&call.id.as_str()) || call.id == "watch") {
                    continue;
                }
                let authorization = bearer.map(|bearer| format!("Bearer {bearer}"));
                let mut headers = Vec::new();
                headers.extend(token.map(|token| ("upload-token", token)));
                headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
                let answer = send(&guarded.world, &call, &path, &headers, Some(body.clone())).await;
                attacks += 1;
                let shown = format!("{} {path} {token:?} {bearer:?}: {answer:?}", call.method);
                if call.id == "complete_batch" {
                    // Each of many is answered by itself.
                    assert_eq!(answer.json()["results"][0]["problem"]["status"], 403, "{shown}");
                    continue;
                }
                let refused = matches!(answer.status.as_u16(), 400 | 401 | 403 | 404);
                assert!(refused, "{shown}");
                assert!(answer.json()["code"].is_string(), "{shown}");
                let echoed = String::from_utf8_lossy(&answer.body);
                assert!(!echoed.contains(&victim_key) && !echoed.contains(&jwt), "{shown}");
            }
        }
    }
    assert!(attacks > 300, "{attacks} attacks");

    // After all that the victim's session is what it was.
    guarded.world.put_all(&victim, &bytes).await;
    let completed = guarded.world.on(&victim, Method::POST, "/complete", None).await;
    assert_eq!(
        completed.expect::<Value>(200)["checksumCrc64nvme"],
        json!(crc(&bytes))
    );
}

#[tokio::test]
async fn every_call_refuses_a_foreign_host_and_a_foreign_origin_and_reads_no_endless_body() {
    let world = World::start().await;
    let victim = world.start_upload("a", &content(TWO_PARTS)).await;
    let token = victim.token.expose().to_owned();
    let endless = "x".repeat(10_000_000);
    for call in calls(&world).await {
        let path = call.path_on(&victim);
        let body = || Some(body_for(&victim, &token).to_string());
        let with_token = ("upload-token", &*token);
        if !["health", "ready"].contains(&call.id.as_str()) {
            let host = [("host", "rebound.example"), with_token];
            send(&world, &call, &path, &host, body())
                .await
                .expect_problem("host_refused");
        }
        if path.starts_with("/api/") || path == "/ws" {
            let origin = [("origin", "https://evil.example"), with_token];
            send(&world, &call, &path, &origin, body())
                .await
                .expect_problem("origin_refused");
        }
        if call.takes_body && call.id != "relay" {
            let answer = send(&world, &call, &path, &[with_token], Some(endless.clone())).await;
            answer.expect_problem("request_too_large");
        }
    }
    world
        .on(&victim, Method::GET, "", None)
        .await
        .expect::<Value>(200);
}

#[tokio::test]
async fn replayed_complete_answers_the_same_and_stores_nothing_again() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let started: StartResponse = world
        .start_call("5f3b2c1d-0e9f-4a8b-8c7d-6e5f4a3b2c1d", start_body("a", &bytes))
        .await
        .expect(201);
    world.put_all(&started, &bytes).await;
    let first: Value = world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect(200);
    for _ in 0..3 {
        let again: Value = world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect(200);
        assert_eq!(again, first);
    }
    // The parts' URLs are dead with their upload.
    let (status, _) = world.put(&started.parts[0], &bytes[..5 << 20]).await;
    assert!((400..500).contains(&status), "{status}");
}
