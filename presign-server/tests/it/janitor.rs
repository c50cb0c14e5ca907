//! One process at a time searches for what clients left, however many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::Method;
use presign_server::session::{Session, StateKind};
use presign_server::store::{
    Claim, Claimed, Created, MemorySessionStore, REDIS_KEY_PREFIX_DEFAULT, RedisSessionStore, SessionStore,
    SessionStoreError, Versioned,
};
use presign_server::{Sealer, SealerTiming, TokenMaker, Uploads};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use upload_protocol::{SessionId, StartResponse};
use upload_testkit::redis_server::RedisServer;
use uuid::Uuid;

use crate::support::{SEALER_TIMING, TWO_PARTS, World, content, crc, sealed_start_body, start_body};

/// Slow enough that a busy machine does not let the janitor's lease end.
const TIMING: SealerTiming = SealerTiming {
    search_interval: Duration::from_millis(500),
    lease_interval: Duration::from_millis(500),
    ..SEALER_TIMING
};

/// A handle of one process, which counts the searches made through it.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn SessionStore>,
    lists: AtomicUsize,
}

#[async_trait]
impl SessionStore for Counting {
    async fn create(&self, session: Session, max: Option<u64>) -> Result<Created, SessionStoreError> {
        self.inner.create(session, max).await
    }
    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        self.inner.get(id).await
    }
    async fn find(&self, owner: &str, key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        self.inner.find(owner, key).await
    }
    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        self.inner.update(expected, session).await
    }
    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(state, after, limit).await
    }
    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        self.inner.delete(id).await
    }
    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        self.inner.claim(claim).await
    }
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        self.inner.lease(name, holder, ttl).await
    }
    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        self.inner.release(name, holder).await
    }
    async fn ready(&self) -> Result<(), SessionStoreError> {
        self.inner.ready().await
    }
}

/// A replica's sealer at work.
struct Replica {
    store: Arc<Counting>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Replica {
    fn run(world: &World, inner: Arc<dyn SessionStore>, timing: SealerTiming) -> Self {
        let lists = AtomicUsize::new(0);
        let store = Arc::new(Counting { inner, lists });
        let tokens = TokenMaker::new(&[7; 32]).unwrap();
        let uploads = Uploads::builder(world.storage.clone(), store.clone(), tokens).build();
        let stop = CancellationToken::new();
        let task = tokio::spawn(Sealer::new(uploads, timing).run(stop.clone()));
        Self { store, task, stop }
    }

    /// Searches made in the next while, in which a janitor makes several.
    async fn searches(&self) -> usize {
        let before = self.store.lists.load(Ordering::SeqCst);
        tokio::time::sleep(TIMING.search_interval * 4).await;
        self.store.lists.load(Ordering::SeqCst) - before
    }

    async fn wait_until_it_searches(&self) {
        let asked = Instant::now();
        while self.searches().await == 0 {
            assert!(asked.elapsed() < Duration::from_secs(10), "nobody took over");
        }
    }
}

/// Of two, the one that is the janitor comes first.
async fn janitor_first(one: Replica, two: Replica) -> (Replica, Replica) {
    // Each has looked once by itself when it began.
    tokio::time::sleep(TIMING.search_interval).await;
    let (a, b) = tokio::join!(one.searches(), two.searches());
    match (a, b) {
        // Both would search four times over.
        (1.., 0) => (one, two),
        (0, 1..) => (two, one),
        other => panic!("searches of the two: {other:?}"),
    }
}

async fn two_on(world: &World, open: impl Fn() -> Arc<dyn SessionStore>) -> (Replica, Replica) {
    let one = Replica::run(world, open(), TIMING);
    let two = Replica::run(world, open(), TIMING);
    janitor_first(one, two).await
}

/// A session whose client went away before anything could be done for it.
async fn left_by_its_client(world: &World) -> StartResponse {
    let bytes = content(10);
    let body = sealed_start_body("left.bin", &bytes);
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    world.put_all(&started, &bytes).await;
    started
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sealers_on_one_store_one_searches_and_a_killed_one_is_succeeded() {
    let store: Arc<dyn SessionStore> = Arc::new(MemorySessionStore::new());
    let world = World::with_sessions(store.clone()).await;
    let (janitor, other) = two_on(&world, || store.clone()).await;
    // Killed: it gives nothing back.
    janitor.task.abort();
    let started = left_by_its_client(&world).await;
    other.wait_until_it_searches().await;
    world.wait_for_state(&started, StateKind::Completed).await;
    other.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sealers_on_one_redis_one_searches_and_a_killed_one_is_succeeded() {
    let server = RedisServer::start();
    let open = || -> Arc<dyn SessionStore> {
        let address = server.url().parse().unwrap();
        Arc::new(RedisSessionStore::open(address, REDIS_KEY_PREFIX_DEFAULT).unwrap())
    };
    let world = World::with_sessions(open()).await;
    let (janitor, other) = two_on(&world, open).await;
    janitor.task.abort();
    let started = left_by_its_client(&world).await;
    other.wait_until_it_searches().await;
    world.wait_for_state(&started, StateKind::Completed).await;
    other.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn janitor_that_stops_gently_gives_its_lease_back() {
    let store: Arc<dyn SessionStore> = Arc::new(MemorySessionStore::new());
    let world = World::with_sessions(store.clone()).await;
    let replica = Replica::run(&world, store.clone(), SealerTiming::default());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ttl = Duration::from_mins(1);
    assert!(!store.lease("janitor", "next", ttl).await.unwrap());
    replica.stop.cancel();
    replica.task.await.unwrap();
    assert!(store.lease("janitor", "next", ttl).await.unwrap());
}

/// A world in which another process, busy elsewhere, is the janitor.
async fn world_with_a_janitor_elsewhere() -> World {
    let world = World::start().await;
    let ttl = Duration::from_mins(5);
    assert!(world.sessions.lease("janitor", "elsewhere", ttl).await.unwrap());
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn sealer_that_is_not_the_janitor_completes_what_its_own_clients_seal() {
    let world = world_with_a_janitor_elsewhere().await;
    world.run_sealer();
    let bytes = content(TWO_PARTS);
    let started = world.start_upload("own.mov", &bytes).await;
    let seal = json!({"checksumCrc64nvme": crc(&bytes)});
    let sealed = world.on(&started, Method::POST, "/seal", Some(seal)).await;
    sealed.expect::<Value>(200);
    // Longer than the first looks.
    tokio::time::sleep(SEALER_TIMING.delay_max).await;
    world.put_all(&started, &bytes).await;
    world.wait_for_state(&started, StateKind::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_started_again_after_a_kill_does_not_wait_for_the_lease_it_had_itself() {
    let world = world_with_a_janitor_elsewhere().await;
    let started = left_by_its_client(&world).await;
    world.run_sealer();
    world.wait_for_state(&started, StateKind::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_janitor_looks_for_abandoned_sessions() {
    let world = world_with_a_janitor_elsewhere().await;
    world.run_sealer();
    let body = start_body("abandoned.mov", &content(TWO_PARTS));
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    world.change(&started, |session| session.renewed_at_ms = 0).await;
    tokio::time::sleep(SEALER_TIMING.lease_interval * 5).await;
    let found = world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.state.kind(), StateKind::Open);
    world.sessions.release("janitor", "elsewhere").await.unwrap();
    world.wait_for_state(&started, StateKind::Aborted).await;
}
