//! A store whose answers to a complete are wrong, lost or cut: nothing is believed, nothing is lost.

use crate::support::{TWO_PARTS, World, content, crc};
use axum::http::Method;
use presign_server::UploadPolicy;
use presign_server::session::StateKind;
use serde_json::{Value, json};
use upload_protocol::StartResponse;
use upload_storage::StoreProfile;
use upload_testkit::proxy::{Proxy, ProxyOptions};

/// Attempts that the store's client makes of one call.
const ATTEMPTS: u32 = 3;

/// A world whose store is reached through a proxy.
pub(crate) async fn proxied() -> (World, Proxy) {
    let mut proxy = None;
    let world = World::build(UploadPolicy::default(), StoreProfile::Embedded, async |target| {
        let any = "127.0.0.1:0".parse().unwrap();
        let options = ProxyOptions {
            listen: any,
            targets: vec![target],
            control: any,
        };
        proxy.insert(Proxy::start(&options).await.unwrap()).listen_addr()
    })
    .await;
    (world, proxy.unwrap())
}

/// The next POSTs end so: those of a started session are its completes.
fn fail_next(proxy: &Proxy, kind: &str, times: u32) {
    let patch = json!({"faults": [{"match": {"method": "POST"}, "fault": {"kind": kind}, "next": times}]});
    proxy.configure(serde_json::from_value(patch).unwrap()).unwrap();
}

fn faults_seen(proxy: &Proxy) -> usize {
    let log = proxy.log();
    log.iter().filter(|entry| entry.fault.is_some()).count()
}

async fn sent(world: &World, bytes: &[u8]) -> StartResponse {
    let started = world.start_upload("a", bytes).await;
    world.put_all(&started, bytes).await;
    started
}

#[tokio::test]
async fn complete_answered_200_with_an_error_inside_is_no_success_and_can_be_repeated() {
    let (world, proxy) = proxied().await;
    let bytes = content(TWO_PARTS);
    let started = sent(&world, &bytes).await;
    fail_next(&proxy, "errorIn200", ATTEMPTS);
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    let detail = answer.expect_problem("store_unavailable")["detail"].to_string();
    assert!(detail.contains("InternalError"), "{detail}");
    assert_eq!(faults_seen(&proxy), ATTEMPTS as usize);
    assert_eq!(world.read_object(&started.key).await, None);
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "open");
    assert_eq!(status["parts"].as_array().unwrap().len(), 2);
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    assert_eq!(
        answer.expect::<Value>(200)["checksumCrc64nvme"],
        json!(crc(&bytes))
    );
}

#[tokio::test]
async fn sealed_session_whose_complete_is_answered_200_with_an_error_is_completed_later() {
    let (world, proxy) = proxied().await;
    let bytes = content(TWO_PARTS);
    let started = sent(&world, &bytes).await;
    fail_next(&proxy, "errorIn200", ATTEMPTS);
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    let answer = world.on(&started, Method::POST, "/seal", Some(seal)).await;
    answer.expect::<Value>(200);
    world.run_sealer();
    world.wait_for_state(&started, StateKind::Completed).await;
    assert_eq!(faults_seen(&proxy), ATTEMPTS as usize);
    let object = world.read_object(&started.key).await.unwrap();
    assert!(object.is(bytes.len() as u64, Some(crc(&bytes))));
}

#[tokio::test]
async fn complete_whose_answer_is_lost_or_cut_on_the_way_is_settled_within_the_call() {
    for kind in ["loseAnswer", "truncateAnswer"] {
        let (world, proxy) = proxied().await;
        let bytes = content(TWO_PARTS);
        let started = sent(&world, &bytes).await;
        fail_next(&proxy, kind, ATTEMPTS);
        let answer = world.on(&started, Method::POST, "/complete", None).await;
        let completed: Value = answer.expect(200);
        assert_eq!(completed["checksumCrc64nvme"], json!(crc(&bytes)), "{kind}");
        assert!(faults_seen(&proxy) > 0, "{kind} did not strike");
    }
}
