//! Parts through the server: exactly those granted, once, and nothing of others.

use std::convert::Infallible;
use std::time::Duration;

use crate::store_faults::proxied;
use crate::support::{Answer, HOST, MIB, TWO_PARTS, World, content, crc, split, start_body};
use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use futures::{StreamExt as _, stream};
use presign_server::session::StateKind;
use presign_server::{RelayLimits, UploadPolicy};
use serde_json::{Value, json};
use upload_protocol::{CompleteResponse, SignPartsResponse, StartResponse, UploadMode};
use upload_storage::StoreProfile;
use uuid::Uuid;

/// A started upload whose parts can be relayed.
async fn started(world: &World, bytes: &[u8]) -> StartResponse {
    let mut body = start_body("a.mov", bytes);
    body["relay"] = json!(true);
    world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201)
}

/// Where a part may be sent to, as told by the start or, from the second time on, by a sign call.
fn url_of(started: &StartResponse, index: usize) -> String {
    started.parts[index]
        .relay_url
        .as_ref()
        .unwrap()
        .expose()
        .to_owned()
}

async fn fresh_url(world: &World, started: &StartResponse, number: usize, piece: &[u8]) -> String {
    let body = json!({"relay": true, "parts": [{"partNumber": number, "checksumCrc64nvme": crc(piece)}]});
    let signed: SignPartsResponse = world
        .on(started, Method::POST, "/parts", Some(body))
        .await
        .expect(200);
    signed.parts[0].relay_url.as_ref().unwrap().expose().to_owned()
}

/// A body in pieces, as a connection brings it.
fn pieces(bytes: &[u8]) -> Body {
    let pieces: Vec<Result<Bytes, Infallible>> = bytes
        .chunks(100_000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Body::from_stream(stream::iter(pieces))
}

/// The first byte, and then nothing for ever.
fn stalled(bytes: &[u8]) -> Body {
    let first: Result<Bytes, Infallible> = Ok(Bytes::copy_from_slice(&bytes[..1]));
    Body::from_stream(stream::iter([first]).chain(stream::pending()))
}

async fn post(world: &World, url: &str, body: Body) -> Answer {
    let request = Request::post(url)
        .header("host", HOST)
        .header("content-type", "text/plain;charset=UTF-8");
    world.send(request.body(body).unwrap()).await
}

async fn numbers_held(world: &World, started: &StartResponse) -> Vec<Value> {
    let status: Value = world.on(started, Method::GET, "", None).await.expect(200);
    let parts = status["parts"].as_array().unwrap();
    parts.iter().map(|part| part["partNumber"].clone()).collect()
}

#[tokio::test]
async fn relayed_parts_make_the_object_and_need_no_token() {
    for profile in [StoreProfile::Embedded, StoreProfile::Garage] {
        let world = World::over(profile).await;
        let bytes = content(TWO_PARTS);
        let started = started(&world, &bytes).await;
        for (index, piece) in split(&bytes, started.part_size_bytes).enumerate() {
            let answer: Value = post(&world, &url_of(&started, index), pieces(piece))
                .await
                .expect(200);
            assert_eq!(answer["partNumber"], index + 1);
            assert_eq!(answer["sizeBytes"], piece.len());
            assert!(answer["etag"].as_str().unwrap().starts_with('"'));
        }
        let completed: CompleteResponse = world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect(200);
        assert_eq!(completed.size_bytes, bytes.len() as u64);
        let object = world.download(&started.key).await;
        let stored = object.body.collect().await.unwrap().to_vec();
        assert!(stored == bytes, "other bytes came back from {profile}");
    }
}

#[tokio::test]
async fn small_file_is_relayed_by_one_put_that_overwrites_nothing() {
    let world = World::start().await;
    for length in [0, 1, 300_000] {
        let bytes = content(length);
        let started = started(&world, &bytes).await;
        assert_eq!(started.mode, UploadMode::Single);
        let answer = post(&world, &url_of(&started, 0), pieces(&bytes)).await;
        assert_eq!(answer.expect::<Value>(200)["sizeBytes"], length);
        // The answer may have been lost: with a fresh grant the same bytes are a success.
        let url = fresh_url(&world, &started, 1, &bytes).await;
        post(&world, &url, pieces(&bytes)).await.expect::<Value>(200);
        let completed: CompleteResponse = world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect(200);
        assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
    }
    let bytes = content(1000);
    let started = started(&world, &bytes).await;
    world.write_object(&started.key, b"somebody else's").await;
    let answer = post(&world, &url_of(&started, 0), pieces(&bytes)).await;
    answer.expect_problem("key_taken");
    assert_eq!(world.read_object(&started.key).await.unwrap().size_bytes, 15);
}

#[tokio::test]
async fn relayed_bytes_other_than_those_granted_never_become_a_part() {
    // The second store checks nothing by itself.
    for profile in [StoreProfile::Embedded, StoreProfile::Garage] {
        let world = World::over(profile).await;
        let bytes = content(TWO_PARTS);
        let piece = &bytes[..5 * MIB];
        let started = started(&world, &bytes).await;
        let mut wrong_last = piece.to_vec();
        *wrong_last.last_mut().unwrap() ^= 1;
        let mut wrong_first = piece.to_vec();
        wrong_first[0] ^= 1;
        for (sent, code) in [
            (&wrong_last[..], "checksum_mismatch"),
            (&wrong_first[..], "checksum_mismatch"),
            (&bytes[..5 * MIB - 1], "size_mismatch"),
            (&bytes[..=5 * MIB], "size_mismatch"),
            (&[], "size_mismatch"),
        ] {
            let url = fresh_url(&world, &started, 1, piece).await;
            post(&world, &url, pieces(sent)).await.expect_problem(code);
            // With its length told, it is refused before a byte is read.
            let url = fresh_url(&world, &started, 1, piece).await;
            let length = Request::post(url)
                .header("host", HOST)
                .header("content-length", sent.len());
            let answer = world.send(length.body(pieces(sent)).unwrap()).await;
            answer.expect_problem(code);
            assert_eq!(
                numbers_held(&world, &started).await,
                Vec::<Value>::new(),
                "{code}"
            );
        }
        let url = fresh_url(&world, &started, 1, piece).await;
        post(&world, &url, pieces(piece)).await.expect::<Value>(200);
        assert_eq!(numbers_held(&world, &started).await, [1]);
    }
}

#[tokio::test]
async fn small_file_relayed_with_another_byte_is_no_object() {
    let world = World::start().await;
    let started = started(&world, b"right").await;
    let answer = post(&world, &url_of(&started, 0), pieces(b"wrong")).await;
    answer.expect_problem("checksum_mismatch");
    assert_eq!(world.read_object(&started.key).await, None);
    let nothing = self::started(&world, b"").await;
    let answer = post(&world, &url_of(&nothing, 0), pieces(b"x")).await;
    answer.expect_problem("size_mismatch");
    assert_eq!(world.read_object(&nothing.key).await, None);
}

#[tokio::test]
async fn grant_is_good_for_one_part_of_one_session_once() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let (one, other) = (started(&world, &bytes).await, started(&world, &bytes).await);
    let (url, last) = (url_of(&one, 1), &bytes[5 * MIB..]);
    let refused = async |url: &str| {
        let answer = post(&world, url, pieces(last)).await;
        assert_eq!(answer.status, 403);
        answer.expect_problem("relay_grant_refused")["detail"].to_string()
    };
    let ids = [one.upload_session_id, other.upload_session_id].map(|id| id.to_string());
    let (path, grant) = url.split_once("?grant=").unwrap();
    let mut forged = grant.to_owned();
    forged.replace_range(3..4, if &grant[3..4] == "A" { "B" } else { "A" });
    for wrong in [
        url.replace("/parts/2/", "/parts/1/"),
        url.replace(&ids[0], &ids[1]),
        format!("{path}?grant={forged}"),
        format!("{path}?grant={}", one.token.expose()),
        format!("{path}?grant="),
        path.to_owned(),
    ] {
        refused(&wrong).await;
    }
    post(&world, &url, pieces(last)).await.expect::<Value>(200);
    let detail = refused(&url).await;
    assert!(detail.contains("used before"), "{detail}");
    // Raced, it is used once.
    let url = fresh_url(&world, &one, 2, last).await;
    let calls = (0..8).map(|_| post(&world, &url, pieces(last)));
    let answers = futures::future::join_all(calls).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1, "{answers:?}");
}

#[tokio::test]
async fn grant_ends_with_its_life_its_token_and_its_session() {
    let policy = UploadPolicy {
        url_lifetime: Duration::from_secs(1),
        ..UploadPolicy::default()
    };
    let world = World::with_policy(policy).await;
    let bytes = content(TWO_PARTS);
    let last = &bytes[5 * MIB..];
    let refused = async |url: &str| {
        let answer = post(&world, url, pieces(last)).await;
        answer.expect_problem("relay_grant_refused")["detail"].to_string()
    };
    let started = started(&world, &bytes).await;
    let url = url_of(&started, 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(refused(&url).await.contains("expired"));

    let url = fresh_url(&world, &started, 2, last).await;
    world
        .change(&started, |session| session.token_generation += 1)
        .await;
    assert!(refused(&url).await.contains("revoked"));
    world
        .change(&started, |session| session.token_generation -= 1)
        .await;

    let url = fresh_url(&world, &started, 2, last).await;
    world.on(&started, Method::DELETE, "", None).await;
    world.wait_for_state(&started, StateKind::Aborted).await;
    refused(&url).await;

    let started = self::started(&world, &bytes).await;
    world.put_all(&started, &bytes).await;
    let url = fresh_url(&world, &started, 2, last).await;
    world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect::<Value>(200);
    refused(&url).await;
}

#[tokio::test]
async fn relay_beyond_its_places_costs_no_grant_and_says_when_to_come_back() {
    let limits = RelayLimits {
        concurrency_max: 1,
        idle_timeout: Duration::from_millis(700),
    };
    let world = World::set_up(|uploads| uploads.relay(limits)).await;
    let bytes = content(TWO_PARTS);
    let started = started(&world, &bytes).await;
    let last = &bytes[5 * MIB..];
    let (first_url, last_url) = (url_of(&started, 0), url_of(&started, 1));
    let slow = post(&world, &first_url, stalled(&bytes));
    let quick = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        post(&world, &last_url, pieces(last)).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    quick.expect_problem("relay_unavailable");
    assert_eq!(quick.headers["retry-after"], "2");
    // Who sends nothing is cut off, and the place is free again.
    assert_eq!(slow.status, 408);
    slow.expect_problem("timeout");
    post(&world, &last_url, pieces(last)).await.expect::<Value>(200);
    assert_eq!(numbers_held(&world, &started).await, [2]);
}

#[tokio::test]
async fn server_without_relay_gives_no_relay_urls() {
    let limits = RelayLimits {
        concurrency_max: 0,
        ..RelayLimits::default()
    };
    let world = World::set_up(|uploads| uploads.relay(limits)).await;
    let started = started(&world, b"abc").await;
    assert_eq!(started.parts[0].relay_url, None);
    // Nor do those who don't ask, of one that has it.
    let world = World::start().await;
    assert_eq!(world.start_upload("a", b"abc").await.parts[0].relay_url, None);
}

#[tokio::test]
async fn part_may_be_sent_across_origins_without_a_preflight_from_listed_ones_alone() {
    let world = World::start().await;
    let started = started(&world, b"abc").await;
    let url = url_of(&started, 0);
    let send = async |origin: &str, content_type: &str| {
        let request = Request::post(&*url)
            .header("host", HOST)
            .header("origin", origin)
            .header("content-type", content_type);
        world.send(request.body(Body::from("abc")).unwrap()).await
    };
    send("https://evil.example", "text/plain")
        .await
        .expect_problem("origin_refused");
    send("https://app.example.com", "application/json")
        .await
        .expect_problem("invalid_request");
    let answer = send("https://app.example.com", "text/plain").await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    answer.expect::<Value>(200);
}

#[tokio::test]
async fn store_that_fails_half_way_is_told_as_such_and_the_part_can_be_sent_again() {
    for kind in [
        json!({"kind": "reset", "afterBytes": 2_000_000}),
        json!({"kind": "slowDown"}),
    ] {
        let (world, proxy) = proxied().await;
        let bytes = content(TWO_PARTS);
        let piece = &bytes[..5 * MIB];
        let started = started(&world, &bytes).await;
        let patch = json!({"faults": [{"match": {"method": "PUT"}, "fault": kind, "next": 1}]});
        proxy.configure(serde_json::from_value(patch).unwrap()).unwrap();
        let answer = post(&world, &url_of(&started, 0), pieces(piece)).await;
        let detail = answer.expect_problem("store_unavailable")["detail"].to_string();
        assert!(!detail.contains("X-Amz-Signature"), "{detail}");
        assert_eq!(answer.headers["retry-after"], "2");
        assert_eq!(numbers_held(&world, &started).await, Vec::<Value>::new());
        let url = fresh_url(&world, &started, 1, piece).await;
        post(&world, &url, pieces(piece)).await.expect::<Value>(200);
        assert_eq!(numbers_held(&world, &started).await, [1]);
    }
}

#[tokio::test]
async fn relay_to_a_store_that_is_gone_fails_clearly_and_keeps_nothing() {
    let (world, proxy) = proxied().await;
    let started = started(&world, b"abc").await;
    drop(proxy);
    let answer = post(&world, &url_of(&started, 0), pieces(b"abc")).await;
    answer.expect_problem("store_unavailable");
    let found = world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.state.kind(), StateKind::Open);
}
