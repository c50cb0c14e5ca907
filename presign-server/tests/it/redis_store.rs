//! The Redis store against a real Redis: the suite, and what becomes of it when Redis fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use presign_server::session::StateKind;
use presign_server::store::{
    Claim, Claimed, Created, REDIS_KEY_PREFIX_DEFAULT, RedisSessionStore, SessionStore, SessionStoreError,
    Versioned,
};
use redis::Commands as _;
use upload_protocol::SessionId;
use upload_testkit::answer_loser::AnswerLoser;
use upload_testkit::redis_server::RedisServer;
use upload_testkit::session_store::{session, shared_by_two, suite, survives_reopening};
use uuid::Uuid;

/// Longest that a call may take while Redis is away.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

fn open_at(url: &str) -> Arc<dyn SessionStore> {
    let address = url.parse().unwrap();
    Arc::new(RedisSessionStore::open(address, REDIS_KEY_PREFIX_DEFAULT).unwrap())
}

fn open(server: &RedisServer) -> Arc<dyn SessionStore> {
    open_at(&server.url())
}

fn client(server: &RedisServer) -> redis::Connection {
    redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap()
}

async fn created(store: &dyn SessionStore, owner: &str) -> Versioned {
    match store.create(session(owner), None).await.unwrap() {
        Created::New(versioned) => versioned,
        other => panic!("{other:?}"),
    }
}

/// Refused as unavailable, and soon; answers what was said.
async fn refused<T: std::fmt::Debug>(call: impl Future<Output = Result<T, SessionStoreError>>) -> String {
    let asked = Instant::now();
    let answer = call.await;
    assert!(
        asked.elapsed() < REFUSED_WITHIN,
        "{:?}: {answer:?}",
        asked.elapsed()
    );
    match answer {
        Err(error @ SessionStoreError::Unavailable { .. }) => error.to_string(),
        other => panic!("not refused as unavailable: {other:?}"),
    }
}

/// Every call is refused as unavailable, and soon.
async fn refuses_everything(store: &dyn SessionStore) {
    let (one, ttl) = (session("refused"), Duration::from_mins(1));
    let claim = Claim {
        set: "set",
        member: "member",
        members_max: 1,
        ttl,
    };
    refused(store.ready()).await;
    refused(store.create(one.clone(), None)).await;
    refused(store.update(1, one.clone())).await;
    refused(store.delete(one.id)).await;
    refused(store.claim(claim)).await;
    refused(store.lease("name", "holder", ttl)).await;
}

/// Waits until it is ready again, by the same handle.
async fn wait_until_ready(store: &dyn SessionStore) {
    for _ in 0..100 {
        if store.ready().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not ready again: {:?}", store.ready().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_store_passes_the_suite() {
    let server = RedisServer::start();
    suite(open(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_redis_see_each_other() {
    let server = RedisServer::start();
    let (one, two) = (open(&server), open(&server));
    shared_by_two(one.clone(), two.clone()).await;
    survives_reopening(one, async || two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_answered_survives_a_kill_of_redis() {
    let mut server = RedisServer::start();
    let store = open(&server);
    let same = store.clone();
    survives_reopening(store, async || {
        server.kill();
        server.restart();
        same
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_and_leases_survive_a_kill_of_redis() {
    let mut server = RedisServer::start();
    let (one, two) = (open(&server), open(&server));
    let ttl = Duration::from_mins(1);
    let claim = Claim {
        set: "ticket",
        member: "first",
        members_max: 1,
        ttl,
    };
    assert_eq!(one.claim(claim).await.unwrap(), Claimed::New);
    assert!(one.lease("janitor", "one", ttl).await.unwrap());
    server.kill();
    server.restart();
    // The handles' connections broke: neither shows it.
    assert_eq!(two.claim(claim).await.unwrap(), Claimed::Known);
    assert!(!two.lease("janitor", "two", ttl).await.unwrap());
    assert!(one.lease("janitor", "one", ttl).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_down_refuses_soon_and_is_used_again_once_it_is_back() {
    let mut server = RedisServer::start();
    let store = open(&server);
    let kept = created(&*store, "down").await;
    server.kill();
    refuses_everything(&*store).await;
    refused(store.get(kept.session.id)).await;
    refused(store.list(StateKind::Open, None, 10)).await;
    server.restart();
    assert_eq!(store.get(kept.session.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.update(1, kept.session).await.unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_opens_before_its_redis_is_there() {
    let mut server = RedisServer::start();
    server.kill();
    let store = open(&server);
    let error = refused(store.ready()).await;
    assert!(error.contains(&format!("127.0.0.1:{}", server.port())), "{error}");
    server.restart();
    store.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_hangs_refuses_soon_however_many_ask() {
    let server = RedisServer::start();
    let store = open(&server);
    let kept = created(&*store, "hangs").await;
    server.freeze();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (store, id) = (store.clone(), kept.session.id);
            tokio::spawn(async move { refused(store.get(id)).await })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    // The connection is made anew, and that hangs too.
    refused(store.get(kept.session.id)).await;
    server.thaw();
    wait_until_ready(&*store).await;
    assert_eq!(store.get(kept.session.id).await.unwrap(), Some(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_became_a_replica_or_is_full_refuses_writes_until_it_is_well() {
    let server = RedisServer::start();
    let (store, mut operator) = (open(&server), client(&server));
    let kept = created(&*store, "replica").await;
    let ills: [(&[&str], &[&str]); 2] = [
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]),
        (
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
        ),
    ];
    for (ill, well) in ills {
        let mut run = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]).exec(&mut operator).unwrap();
        };
        run(ill);
        refused(store.ready()).await;
        refused(store.create(session("refused"), None)).await;
        refused(store.update(kept.version, kept.session.clone())).await;
        assert_eq!(store.get(kept.session.id).await.unwrap(), Some(kept.clone()));
        run(well);
        store.ready().await.unwrap();
        created(&*store, "well again").await;
    }
    assert_eq!(store.get(kept.session.id).await.unwrap(), Some(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_room_for_a_connection_refuses_until_there_is() {
    let server = RedisServer::start();
    let mut operator = client(&server);
    let mut limit = redis::cmd("CONFIG");
    limit
        .arg(&["SET", "maxclients", "1"])
        .exec(&mut operator)
        .unwrap();
    let store = open(&server);
    refuses_everything(&*store).await;
    drop(operator);
    wait_until_ready(&*store).await;
    created(&*store, "room").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_loading_refuses_until_it_has_loaded() {
    // A long file and a sleep for every key read make loading take seconds.
    let mut server = RedisServer::start();
    let store = open(&server);
    let kept = created(&*store, "loading").await;
    let mut operator = client(&server);
    for _ in 0..40 {
        let mut pipe = redis::pipe();
        for _ in 0..500 {
            pipe.set(format!("{}", Uuid::new_v4()), "x").ignore();
        }
        pipe.exec(&mut operator).unwrap();
    }
    redis::cmd("BGREWRITEAOF").exec(&mut operator).unwrap();
    loop {
        let info: String = redis::cmd("INFO")
            .arg("persistence")
            .query(&mut operator)
            .unwrap();
        if info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(operator);
    server.kill();
    let slow = [
        "--key-load-delay",
        "100",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    server.set_arguments(&slow);
    server.spawn();
    let mut said = String::new();
    for _ in 0..100 {
        said = refused(store.get(kept.session.id)).await;
        if said.to_lowercase().contains("loading") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(said.to_lowercase().contains("loading"), "{said}");
    wait_until_ready(&*store).await;
    assert_eq!(store.get(kept.session.id).await.unwrap(), Some(kept));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_refused_and_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right-password"]);
    let at = |user: &str| open_at(&server.url().replace("redis://", &format!("redis://{user}@")));
    at(":right-password").ready().await.unwrap();
    // One that does not know the command repeats what came with it.
    let other = RedisServer::start_with(&["--rename-command", "AUTH", "LOGIN"]);
    let unknown = open_at(&other.url().replace("redis://", "redis://:wrong-password@"));
    for store in [
        at(":wrong-password"),
        at("app:wrong-password"),
        open(&server),
        unknown,
    ] {
        let error = refused(store.ready()).await;
        let shown = format!("{error} {store:?}");
        assert!(
            !shown.contains("password-") && !shown.contains("-password"),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_a_newer_build_is_refused_and_left_as_it_is() {
    let server = RedisServer::start();
    let (store, mut operator) = (open(&server), client(&server));
    let newer = created(&*store, "newer").await;
    let older = created(&*store, "older").await;
    let key = |id: SessionId| format!("{{holdfast}}:session:{id}");
    let row: String = operator.get(key(newer.session.id)).unwrap();
    let row = row
        .replacen("\"format\":1", "\"format\":2", 1)
        .replacen("\"owner\":", "\"owned_by\":", 1);
    let _: () = operator.set(key(newer.session.id), &row).unwrap();
    let said = [
        refused(store.get(newer.session.id)).await,
        refused(store.update(newer.version, newer.session.clone())).await,
        refused(store.delete(newer.session.id)).await,
        {
            let mut again = session("newer");
            again.idempotency_key.clone_from(&newer.session.idempotency_key);
            refused(store.create(again, None)).await
        },
    ];
    assert!(said.iter().all(|said| said.contains("newer build")), "{said:?}");
    let kept: String = operator.get(key(newer.session.id)).unwrap();
    assert_eq!(kept, row);
    // It does not hide the others.
    for limit in [1, 10] {
        let listed = store.list(StateKind::Open, None, limit).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&older));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_are_in_one_hash_slot_and_nothing_is_left_of_what_is_forgotten() {
    let server = RedisServer::start();
    let (store, mut operator) = (open(&server), client(&server));
    let one = created(&*store, "forgotten").await;
    let claim = Claim {
        set: "set",
        member: "member",
        members_max: 1,
        ttl: Duration::from_mins(1),
    };
    store.claim(claim).await.unwrap();
    store
        .lease("janitor", "one", Duration::from_mins(1))
        .await
        .unwrap();
    store.ready().await.unwrap();
    let mut keys: Vec<String> = operator.keys("*").unwrap();
    keys.sort();
    assert_eq!(keys.len(), 7, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("{holdfast}:")), "{keys:?}");
    assert!(store.delete(one.session.id).await.unwrap());
    keys = operator.keys("*").unwrap();
    keys.sort();
    let left = [
        "{holdfast}:claim:set",
        "{holdfast}:lease:janitor",
        "{holdfast}:ready",
    ];
    assert_eq!(keys, left);
    for key in left {
        let ttl: i64 = operator.ttl(key).unwrap();
        assert!((1..=60).contains(&ttl), "{key} is kept for {ttl} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_two_prefixes_in_one_redis_are_two() {
    let server = RedisServer::start();
    let open = |prefix: &str| RedisSessionStore::open(server.url().parse().unwrap(), prefix).unwrap();
    let (one, two) = (open("one"), open("two"));
    let kept = created(&one, "prefix").await;
    assert_eq!(two.get(kept.session.id).await.unwrap(), None);
    let mut same = session("prefix");
    same.idempotency_key.clone_from(&kept.session.idempotency_key);
    assert!(matches!(two.create(same, None).await.unwrap(), Created::New(_)));
    for wrong in ["", "a{b}", "a b", &"x".repeat(65)] {
        let error = RedisSessionStore::open(server.url().parse().unwrap(), wrong).unwrap_err();
        assert!(error.to_string().contains("key prefix"), "{error}");
    }
}

/// What broke its connection may have come before or after the work: repeated, each says what it did.
#[tokio::test(flavor = "multi_thread")]
async fn call_whose_answer_was_lost_is_repeated_and_does_nothing_twice() {
    let server = RedisServer::start();
    let gate = AnswerLoser::in_front_of(server.port());
    let store = open_at(&format!("redis://{}", gate.address()));
    let ttl = Duration::from_mins(1);
    let claim = |member| Claim {
        set: "set",
        member,
        members_max: 2,
        ttl,
    };
    store.ready().await.unwrap();
    // Scripts are known to Redis from here on: the next answer lost is that of the work itself.
    let first = created(&*store, "lost").await;
    let second = store.update(first.version, first.session.clone()).await.unwrap();
    assert_eq!(store.claim(claim("one")).await.unwrap(), Claimed::New);

    gate.lose_next_answer();
    let kept = created(&*store, "lost").await;
    assert_eq!(kept.version, 1);
    gate.lose_next_answer();
    let updated = store
        .update(second.version, second.session.clone())
        .await
        .unwrap();
    assert_eq!(updated.version, second.version + 1);
    gate.lose_next_answer();
    assert_eq!(store.claim(claim("two")).await.unwrap(), Claimed::New);
    assert_eq!(store.claim(claim("two")).await.unwrap(), Claimed::Known);
    assert_eq!(gate.answers_lost(), 3);
    let stored = store.get(updated.session.id).await.unwrap().unwrap();
    assert_eq!(stored.version, updated.version);
    assert_eq!(store.list(StateKind::Open, None, 10).await.unwrap().len(), 2);
}
