//! Two processes over one store and one Redis: nothing depends on which of them is asked.

use upload_testkit::redis_server::RedisServer;

use super::{Replica, uploads_over};
use crate::event_buses::redis_bus;
use crate::support::{TWO_PARTS, World, content, crc};

async fn replica(world: &World, redis: &RedisServer) -> Replica {
    Replica::start(uploads_over(world, redis_bus(redis))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_at_one_replica_is_seen_at_the_other() {
    let (world, redis) = (World::start().await, RedisServer::start());
    let (one, two) = (replica(&world, &redis).await, replica(&world, &redis).await);
    let mut viewer = two.watch("").await;
    let bytes = content(TWO_PARTS);
    let started = one.start_upload("anybody", &bytes).await;
    assert_eq!(viewer.next_words(1).await, "session_start");
    one.progress(&started, &[2]).await;
    assert_eq!(viewer.next_words(1).await, "2");
    world.put_all(&started, &bytes).await;
    // Any replica answers any call.
    two.complete(&started).await;
    assert_eq!(viewer.next_words(2).await, "1 done:true");
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_viewer_at_a_replica_that_starts_later_sees_everything_once() {
    let (world, redis) = (World::start().await, RedisServer::start());
    let one = replica(&world, &redis).await;
    let bytes = content(TWO_PARTS);
    let started = one.start_upload("anybody", &bytes).await;
    one.progress(&started, &[1]).await;
    // Something must have reached Redis before the other begins; the rest comes live.
    let other = replica(&world, &redis).await;
    let mut early = other.watch_run(&started).await;
    assert_eq!(early.next_words(2).await, "session_start 1");
    let two = replica(&world, &redis).await;
    let mut viewer = two.watch_run(&started).await;
    one.progress(&started, &[1, 2]).await;
    assert_eq!(viewer.next_words(3).await, "session_start 1 2");
    world.put_all(&started, &bytes).await;
    one.complete(&started).await;
    assert_eq!(viewer.next_words(1).await, "done:true");
    viewer.expect_silence().await;
    let mut late = two.watch_run(&started).await;
    assert_eq!(late.next_words(4).await, "session_start 1 2 done:true");
    late.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_go_on_after_redis_was_killed_and_came_back() {
    let (world, mut redis) = (World::start().await, RedisServer::start());
    let (one, two) = (replica(&world, &redis).await, replica(&world, &redis).await);
    let started = one.start_upload("anybody", &content(TWO_PARTS)).await;
    let mut viewer = two.watch_run(&started).await;
    one.progress(&started, &[1]).await;
    assert_eq!(viewer.next_words(2).await, "session_start 1");
    redis.kill();
    one.progress(&started, &[2]).await;
    viewer.expect_silence().await;
    redis.restart();
    assert_eq!(viewer.next_words(1).await, "2");
    let url = format!(
        "http://{}/api/upload-sessions/{}",
        one.address, started.upload_session_id
    );
    let abort = one
        .http
        .delete(url)
        .header("upload-token", started.token.expose());
    assert_eq!(abort.send().await.unwrap().status(), 204);
    assert_eq!(viewer.next_words(1).await, "done:false");
    viewer.expect_silence().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_completes_as_quickly_while_the_bus_is_down() {
    let (world, mut redis) = (World::start().await, RedisServer::start());
    let one = replica(&world, &redis).await;
    let bytes = content(TWO_PARTS);
    // Once dead, and once taking connections without answering them.
    for frozen in [false, true] {
        if frozen {
            redis.restart();
            redis.freeze();
        } else {
            redis.kill();
        }
        let started_at = std::time::Instant::now();
        let started = one.start_upload("anybody", &bytes).await;
        let mut viewer = one.watch_run(&started).await;
        one.progress(&started, &[1, 2]).await;
        world.put_all(&started, &bytes).await;
        one.complete(&started).await;
        assert!(started_at.elapsed().as_secs() < 5, "{:?}", started_at.elapsed());
        let object = world.read_object(&started.key).await.unwrap();
        assert!(object.is(bytes.len() as u64, Some(crc(&bytes))));
        // Viewers at the same replica miss nothing.
        assert_eq!(viewer.next_words(4).await, "session_start 1 2 done:true");
    }
    redis.thaw();
    let two = replica(&world, &redis).await;
    let mut viewer = two.watch("").await;
    let told = viewer.next_words(8).await;
    assert_eq!(told.matches("session_start").count(), 2, "{told}");
    assert_eq!(told.matches("done:true").count(), 2, "{told}");
}
