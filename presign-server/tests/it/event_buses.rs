//! Both event buses against the one suite, and what Redis' own has to survive.

use std::sync::Arc;
use std::time::Duration;

use presign_server::events::{Audience, EventBus, EventLimits, MemoryEventBus, RedisEventBus};
use presign_server::store::REDIS_KEY_PREFIX_DEFAULT;
use upload_protocol::RunSelection;
use upload_testkit::event_bus::{
    ALL, done, error, expect_silence, follow, new_run, news, part, short, suite, take,
};
use upload_testkit::redis_server::RedisServer;

fn connect(server: &RedisServer, limits: EventLimits) -> Arc<dyn EventBus> {
    let address = server.url().parse().unwrap();
    Arc::new(RedisEventBus::connect(&address, REDIS_KEY_PREFIX_DEFAULT, limits).unwrap())
}

pub(crate) fn redis_bus(server: &RedisServer) -> Arc<dyn EventBus> {
    connect(server, EventLimits::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bus_passes_the_suite() {
    let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::default());
    suite(&bus, &bus).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_bus_of_two_processes_passes_the_suite() {
    let server = RedisServer::start();
    suite(&redis_bus(&server), &redis_bus(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn process_that_starts_later_knows_what_went_before() {
    let server = RedisServer::start();
    let (id, ended) = (new_run(), new_run());
    let one = redis_bus(&server);
    one.publish(news(id, "a", vec![part(2), part(1), error("lost")]));
    one.publish(news(ended, "a", vec![part(1), done(ended)]));
    let two = redis_bus(&server);
    let mut second = follow(&two, Audience::All, &[RunSelection::Run(ended)]);
    take(&mut second, 3).await;
    drop(one);
    let late = redis_bus(&server);
    let mut follower = follow(&late, Audience::All, &[RunSelection::Run(id)]);
    assert_eq!(short(&take(&mut follower, 4).await), "start lost 1 2");
    let mut follower = follow(&late, Audience::All, &[RunSelection::Run(ended)]);
    assert_eq!(short(&take(&mut follower, 3).await), "start 1 done");
    expect_silence(&mut follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_news_of_a_process_that_ends_reach_the_others() {
    let server = RedisServer::start();
    let runs: Vec<_> = (0..3).map(|_| new_run()).collect();
    let ending = redis_bus(&server);
    for id in &runs {
        let mut events: Vec<_> = (1..=2000).map(part).collect();
        events.push(done(*id));
        ending.publish(news(*id, "a", events));
    }
    let flushed = tokio::time::timeout(Duration::from_secs(10), ending.flush());
    flushed.await.expect("all of it is at Redis");
    drop(ending);
    let late = redis_bus(&server);
    let selections: Vec<_> = runs.into_iter().map(RunSelection::Run).collect();
    let mut follower = follow(&late, Audience::All, &selections);
    take(&mut follower, 3 * 2002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_go_on_after_redis_was_killed_and_miss_nothing() {
    let mut server = RedisServer::start();
    let (one, two) = (redis_bus(&server), redis_bus(&server));
    let id = new_run();
    let mut here = follow(&one, Audience::All, &[RunSelection::Run(id)]);
    let mut there = follow(&two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![part(1)]));
    assert_eq!(short(&take(&mut there, 2).await), "start 1");
    server.kill();
    one.publish(news(id, "a", vec![part(2)]));
    // Its own followers are told at once, the others once Redis is back.
    assert_eq!(short(&take(&mut here, 3).await), "start 1 2");
    expect_silence(&mut there).await;
    server.restart();
    assert_eq!(short(&take(&mut there, 1).await), "2");
    one.publish(news(id, "a", vec![part(3), done(id)]));
    assert_eq!(short(&take(&mut there, 2).await), "3 done");
    expect_silence(&mut there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_lost_everything_learns_it_again() {
    let mut server = RedisServer::start_with(&["--appendonly", "no"]);
    let (one, two) = (redis_bus(&server), redis_bus(&server));
    let id = new_run();
    let mut there = follow(&two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![part(1), part(2)]));
    assert_eq!(short(&take(&mut there, 3).await), "start 1 2");
    server.kill();
    server.restart();
    one.publish(news(id, "a", vec![part(3)]));
    assert_eq!(short(&take(&mut there, 1).await), "3");
    let late = redis_bus(&server);
    let mut follower = follow(&late, Audience::All, &[RunSelection::Run(id)]);
    let mut told: Vec<String> = short(&take(&mut follower, 4).await)
        .split(' ')
        .map(str::to_owned)
        .collect();
    told[1..].sort();
    assert_eq!(told, ["start", "1", "2", "3"]);
    expect_silence(&mut there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_find_no_room_while_redis_is_away_arrive_once_it_is_back() {
    let mut server = RedisServer::start();
    let (one, two) = (redis_bus(&server), redis_bus(&server));
    let first = new_run();
    let mut there = follow(&two, Audience::All, &[RunSelection::Run(first)]);
    one.publish(news(first, "a", vec![]));
    take(&mut there, 1).await;
    server.kill();
    // Ten runs of 10,000 parts are more than the queue has room for.
    let runs: Vec<_> = (0..10).map(|_| new_run()).collect();
    let started = std::time::Instant::now();
    for id in &runs {
        one.publish(news(*id, "a", (1..=10_000).map(part).collect()));
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "publishing waited {:?}",
        started.elapsed()
    );
    server.restart();
    one.publish(news(first, "a", vec![done(first)]));
    assert_eq!(short(&take(&mut there, 1).await), "done");
    let runs: Vec<_> = runs.into_iter().map(RunSelection::Run).collect();
    let mut all = follow(&two, Audience::All, &runs);
    take(&mut all, 100_010).await;
    expect_silence(&mut all).await;
}

#[tokio::test]
async fn bus_forgets_runs_that_ended_first_and_then_the_longest_silent() {
    let limits = EventLimits {
        runs_max: 3,
        ..EventLimits::default()
    };
    let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::new(limits));
    let ids: Vec<_> = (0..5).map(|_| new_run()).collect();
    let known = || {
        let reader = follow(&bus, Audience::All, &[]);
        ids.iter()
            .map(|id| !reader.history(*id).is_empty())
            .collect::<Vec<_>>()
    };
    bus.publish(news(ids[0], "a", vec![part(1)]));
    bus.publish(news(ids[1], "a", vec![done(ids[1])]));
    bus.publish(news(ids[2], "a", vec![]));
    assert_eq!(known(), [true, true, true, false, false]);
    bus.publish(news(ids[3], "a", vec![]));
    assert_eq!(known(), [true, false, true, true, false]);
    bus.publish(news(ids[0], "a", vec![part(2)]));
    bus.publish(news(ids[4], "a", vec![]));
    assert_eq!(known(), [true, false, false, true, true]);
}

#[tokio::test]
async fn bus_forgets_each_run_after_its_time() {
    let (short, long) = (Duration::from_millis(50), Duration::from_hours(1));
    for (kept_ended, kept_silent, left) in [(short, long, [true, false]), (long, short, [false, true])] {
        let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::new(EventLimits {
            kept_ended,
            kept_silent,
            ..EventLimits::default()
        }));
        let (going, ended) = (new_run(), new_run());
        bus.publish(news(going, "a", vec![part(1)]));
        bus.publish(news(ended, "a", vec![done(ended)]));
        tokio::time::sleep(short * 3).await;
        let reader = follow(&bus, Audience::All, &[]);
        assert_eq!([going, ended].map(|id| !reader.history(id).is_empty()), left);
    }
}

#[tokio::test]
async fn bus_keeps_no_more_events_and_errors_than_its_limits() {
    let limits = EventLimits {
        events_max: 1000,
        errors_max: 5,
        ..EventLimits::default()
    };
    let bus: Arc<dyn EventBus> = Arc::new(MemoryEventBus::new(limits));
    let noisy = new_run();
    bus.publish(news(
        noisy,
        "a",
        (0..50).map(|n| error(&format!("e{n}"))).collect(),
    ));
    assert_eq!(follow(&bus, Audience::All, &[]).history(noisy).len(), 6);
    let mut all = follow(&bus, Audience::All, &[ALL]);
    for _ in 0..20 {
        bus.publish(news(new_run(), "a", (1..=200).map(part).collect()));
    }
    let mut kept = 0;
    while let Ok(messages) = tokio::time::timeout(Duration::from_millis(50), all.next(100)).await {
        kept += messages.len();
    }
    assert!((800..=1000).contains(&kept), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_newest_runs_only() {
    let server = RedisServer::start();
    let limits = EventLimits {
        runs_max: 3,
        errors_max: 5,
        ..EventLimits::default()
    };
    let one = connect(&server, limits);
    let ids: Vec<_> = (0..5).map(|_| new_run()).collect();
    one.publish(news(
        ids[0],
        "a",
        (0..50).map(|n| error(&format!("e{n}"))).collect(),
    ));
    let two = redis_bus(&server);
    for id in &ids[1..] {
        one.publish(news(*id, "a", vec![done(*id)]));
        let mut there = follow(&two, Audience::All, &[RunSelection::Run(*id)]);
        take(&mut there, 2).await;
        // Redis knows which came first by the millisecond.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    // What goes on is read last.
    let late = redis_bus(&server);
    let mut last = follow(&late, Audience::All, &[RunSelection::Run(ids[0])]);
    take(&mut last, 6).await;
    let kept: Vec<usize> = ids.iter().map(|id| last.history(*id).len()).collect();
    assert_eq!(kept, [6, 0, 0, 2, 2]);
}
