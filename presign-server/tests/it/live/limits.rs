//! What a viewer may do, and what becomes of one that does not keep up.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt as _;
use presign_server::auth::OpenAuthorizer;
use presign_server::events::{EventBus, MemoryEventBus};
use presign_server::{LiveLimits, Uploads};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use upload_testkit::event_bus::{new_run, news, part};

use super::{Replica, uploads_over};
use crate::support::World;

async fn limited(change: impl FnOnce(&mut LiveLimits)) -> (World, Replica, Arc<dyn EventBus>) {
    let world = World::start().await;
    let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::default());
    let mut limits = LiveLimits::default();
    change(&mut limits);
    let uploads: Uploads = uploads_over(&world, bus.clone());
    let replica = Replica::build(uploads, Arc::new(OpenAuthorizer), limits).await;
    (world, replica, bus)
}

/// Waits until so many viewers are connected.
async fn wait_for_connections(replica: &Replica, count: usize) {
    for _ in 0..500 {
        if replica.live.connections() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!(
        "{} viewers are connected, not {count}",
        replica.live.connections()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn viewer_that_does_not_read_is_dropped_and_the_others_miss_nothing() {
    const RUNS: usize = 40;
    let (_world, replica, bus) = limited(|limits| limits.send_timeout = Duration::from_millis(500)).await;
    let slow = replica.watch("").await;
    let mut quick = replica.watch("").await;
    let reader = tokio::spawn(async move {
        for _ in 0..RUNS * 10_001 {
            quick.next().await;
        }
    });
    // 40 MB of messages: more than the sockets' buffers hold.
    for _ in 0..RUNS {
        bus.publish(news(new_run(), "a", (1..=10_000).map(part).collect()));
    }
    wait_for_connections(&replica, 1).await;
    reader.await.unwrap();
    wait_for_connections(&replica, 0).await;
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewer_that_answers_no_ping_is_let_go() {
    let (_world, replica, _bus) = limited(|limits| {
        limits.ping_interval = Duration::from_millis(100);
        limits.silence_max = Duration::from_millis(400);
    })
    .await;
    let mut alive = replica.watch("").await;
    let silent = replica.watch("").await;
    let reading = tokio::spawn(async move {
        tokio::time::timeout(Duration::from_secs(2), alive.next())
            .await
            .unwrap_err();
        alive
    });
    wait_for_connections(&replica, 1).await;
    let _alive = reading.await.unwrap();
    assert_eq!(replica.live.connections(), 1);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_may_not_say_closes_its_connection_with_a_reason() {
    let (_world, replica, _bus) = limited(|_| {}).await;
    for text in [
        r#"{"subscribe": "everything"}"#,
        "{}",
        "hello",
        r#"{"subscribe": {"a": 1}}"#,
    ] {
        let mut viewer = replica.watch("").await;
        viewer.say(text).await;
        let (code, reason) = viewer.closed().await;
        assert_eq!(code, 1007, "{text}");
        assert!(reason.contains("subscribe"), "{reason}");
    }
    let mut viewer = replica.watch("").await;
    viewer.socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(viewer.closed().await.0, 1003);
    let mut viewer = replica.watch("").await;
    for _ in 0..101 {
        let run = uuid::Uuid::new_v4();
        viewer.say(&json!({ "subscribe": run }).to_string()).await;
    }
    assert_eq!(viewer.closed().await.0, 1008);
    let mut viewer = replica.watch("").await;
    for _ in 0..1001 {
        // It may be closed before the last one.
        if viewer
            .socket
            .send(Message::text(r#"{"subscribe": "*"}"#))
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(viewer.closed().await.0, 1008);
    let mut viewer = replica.watch("").await;
    viewer.say(&"x".repeat(10_000)).await;
    wait_for_connections(&replica, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_viewers_than_there_may_be_are_refused_until_one_goes() {
    let (_world, replica, _bus) = limited(|limits| {
        limits.connections_max = 3;
        limits.connections_per_viewer_max = 2;
    })
    .await;
    let refused = Err((429, "too_many_viewers".to_owned()));
    let first = replica.watch("").await;
    let _second = replica.watch("").await;
    assert_eq!(replica.try_watch("", &[]).await.map(|_| ()), refused);
    let started = replica.start_upload("anybody", b"abc").await;
    let token = [("upload-token", started.token.expose())];
    let run = format!("?run={}", started.upload_session_id);
    let _third = replica.try_watch(&run, &token).await.unwrap();
    // No place at all is left; a ticket is not used up by finding that out.
    let ticket = replica
        .ticket(&token, json!({"uploadSessionId": started.upload_session_id}))
        .await;
    let query = format!("?ticket={ticket}");
    assert_eq!(replica.try_watch(&query, &[]).await.map(|_| ()), refused);
    drop(first);
    wait_for_connections(&replica, 2).await;
    assert!(replica.try_watch(&query, &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_stops_says_goodbye_to_its_viewers() {
    let (_world, replica, _bus) = limited(|_| {}).await;
    let mut viewers = vec![replica.watch("").await, replica.watch("").await];
    wait_for_connections(&replica, 2).await;
    replica.live.close();
    for viewer in &mut viewers {
        let (code, reason) = viewer.closed().await;
        assert_eq!(code, 1001);
        assert!(reason.contains("connect again"), "{reason}");
    }
    let closed = tokio::time::timeout(Duration::from_secs(5), replica.live.closed());
    closed.await.expect("all gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_connection_is_ended() {
    let (_world, replica, _bus) =
        limited(|limits| limits.connection_age_max = Duration::from_millis(200)).await;
    assert_eq!(replica.watch("").await.closed().await.0, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_asks_for_no_websocket_or_names_no_run_is_told_so() {
    let (_world, replica, _bus) = limited(|_| {}).await;
    let answer = replica
        .http
        .get(format!("http://{}/ws", replica.address))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "invalid_request");
    let result = replica.try_watch("?run=nonsense", &[]).await;
    assert_eq!(result.map(|_| ()), Err((400, "invalid_request".to_owned())));
}
