//! A process killed between the store's work and the write that says so: the next one finishes it, with
//! whatever session store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::Method;
use presign_server::session::{Session, StateKind};
use presign_server::store::{
    Claim, Claimed, Created, MemorySessionStore, REDIS_KEY_PREFIX_DEFAULT, RedisSessionStore, SessionStore,
    SessionStoreError, SqliteSessionStore, Versioned,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use upload_protocol::{CompleteResponse, SessionId, StartResponse};
use upload_storage::{ObjectStorage as _, StorageError};
use upload_testkit::redis_server::RedisServer;
use uuid::Uuid;

use crate::support::{TWO_PARTS, World, content, crc, start_body};

/// A session store of one process that is killed at a moment of the test's choice: from then on it does
/// nothing and answers nobody.
#[derive(Debug)]
struct Killed {
    inner: Arc<dyn SessionStore>,
    /// Updates left before the end; negative when it has come.
    updates_left: AtomicI64,
}

impl Killed {
    fn over(inner: Arc<dyn SessionStore>) -> Arc<Self> {
        let updates_left = AtomicI64::new(i64::MAX);
        Arc::new(Self { inner, updates_left })
    }

    /// Writes this many updates more, and dies at the next.
    fn after(&self, updates: i64) {
        self.updates_left.store(updates, Ordering::SeqCst);
    }

    fn is_dead(&self) -> bool {
        self.updates_left.load(Ordering::SeqCst) < 0
    }

    fn alive(&self) -> Result<&dyn SessionStore, SessionStoreError> {
        if self.is_dead() {
            return Err(SessionStoreError::Unavailable {
                action: "test",
                message: "the process was killed".to_owned(),
            });
        }
        Ok(&*self.inner)
    }
}

#[async_trait]
impl SessionStore for Killed {
    async fn create(&self, session: Session, max: Option<u64>) -> Result<Created, SessionStoreError> {
        self.alive()?.create(session, max).await
    }
    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        self.alive()?.get(id).await
    }
    async fn find(&self, owner: &str, key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        self.alive()?.find(owner, key).await
    }
    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        if !self.is_dead() {
            self.updates_left.fetch_sub(1, Ordering::SeqCst);
        }
        self.alive()?.update(expected, session).await
    }
    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        self.alive()?.list(state, after, limit).await
    }
    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        self.alive()?.delete(id).await
    }
    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        self.alive()?.claim(claim).await
    }
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        self.alive()?.lease(name, holder, ttl).await
    }
    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        self.alive()?.release(name, holder).await
    }
    async fn ready(&self) -> Result<(), SessionStoreError> {
        self.alive()?.ready().await
    }
}

/// What outlives a process.
enum Kept {
    /// Nothing does, but its sessions: the same store stands for the next process too.
    Memory(Arc<dyn SessionStore>),
    Sqlite(TempDir),
    Redis(RedisServer),
}

impl Kept {
    fn each() -> [Self; 3] {
        [
            Self::Memory(Arc::new(MemorySessionStore::new())),
            Self::Sqlite(tempfile::tempdir().unwrap()),
            Self::Redis(RedisServer::start()),
        ]
    }

    /// The handle of a new process.
    fn open(&self) -> Arc<dyn SessionStore> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Sqlite(folder) => {
                Arc::new(SqliteSessionStore::open(folder.path().join("sessions.db")).unwrap())
            }
            Self::Redis(server) => {
                let address = server.url().parse().unwrap();
                Arc::new(RedisSessionStore::open(address, REDIS_KEY_PREFIX_DEFAULT).unwrap())
            }
        }
    }
}

/// The process that will be killed, on one of the stores.
struct Case {
    kept: Kept,
    world: World,
    process: Arc<Killed>,
    bytes: Vec<u8>,
    key: String,
}

impl Case {
    async fn each() -> Vec<Self> {
        let mut cases = Vec::new();
        for kept in Kept::each() {
            let process = Killed::over(kept.open());
            cases.push(Self {
                world: World::with_sessions(process.clone()).await,
                kept,
                process,
                bytes: content(TWO_PARTS),
                key: Uuid::new_v4().to_string(),
            });
        }
        cases
    }

    async fn start(&self) -> StartResponse {
        let answer = self
            .world
            .start_call(&self.key, start_body("a.mov", &self.bytes))
            .await;
        answer.expect(201)
    }

    async fn started_and_sent(&self) -> StartResponse {
        let started = self.start().await;
        self.world.put_all(&started, &self.bytes).await;
        started
    }

    /// The process is gone in the middle of a call; another opens the same store.
    fn next_process(&mut self) {
        assert!(self.process.is_dead(), "the call ended before the process did");
        self.world.reopen(self.kept.open());
    }

    async fn only_session(&self) -> Session {
        let mut found = Vec::new();
        for state in StateKind::ALL {
            found.extend(self.world.sessions.list(state, None, 10).await.unwrap());
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).session
    }

    /// Exactly one object, byte for byte, and no multipart upload beside it.
    async fn expect_object(&self, started: &StartResponse) {
        let object = self.world.read_object(&started.key).await.unwrap();
        assert!(
            object.is(self.bytes.len() as u64, Some(crc(&self.bytes))),
            "{object:?}"
        );
        assert_eq!(self.world.all_keys().await, std::slice::from_ref(&started.key));
        assert!(
            self.world
                .storage
                .find_multipart(&started.key)
                .await
                .unwrap()
                .is_empty()
        );
        let session = self.only_session().await;
        assert_eq!(session.id, started.upload_session_id);
        assert_eq!(session.state.kind(), StateKind::Completed);
    }

    /// Neither object nor multipart upload, and the session says so.
    async fn expect_nothing(&self, key: &str) {
        assert_eq!(self.world.all_keys().await, [""; 0]);
        assert!(self.world.storage.find_multipart(key).await.unwrap().is_empty());
        assert_eq!(self.only_session().await.state.kind(), StateKind::Aborted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_killed_after_the_store_made_its_upload_is_finished_by_the_repeated_call() {
    for mut case in Case::each().await {
        case.process.after(0);
        let cut = case
            .world
            .start_call(&case.key, start_body("a.mov", &case.bytes))
            .await;
        cut.expect_problem("session_store_unavailable");
        case.next_process();
        let left = case.only_session().await;
        assert_eq!(
            (left.state.kind(), &left.multipart_upload_id),
            (StateKind::Reserved, &None)
        );
        let made = case.world.storage.find_multipart(&left.key).await.unwrap();
        assert_eq!(made.len(), 1, "the store made no upload");

        let started = case.started_and_sent().await;
        assert_eq!(started.upload_session_id, left.id);
        assert_eq!(started.upload_id.as_ref(), made.first());
        let answer = case.world.on(&started, Method::POST, "/complete", None).await;
        answer.expect::<CompleteResponse>(200);
        case.expect_object(&started).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_killed_and_never_repeated_leaves_nothing_once_its_lease_ended() {
    for mut case in Case::each().await {
        case.process.after(0);
        let cut = case
            .world
            .start_call(&case.key, start_body("a.mov", &case.bytes))
            .await;
        cut.expect_problem("session_store_unavailable");
        case.next_process();
        let mut left = case
            .world
            .sessions
            .list(StateKind::Reserved, None, 10)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(
            case.world
                .storage
                .find_multipart(&left.session.key)
                .await
                .unwrap()
                .len(),
            1
        );
        left.session.renewed_at_ms = 0;
        case.world
            .sessions
            .update(left.version, left.session.clone())
            .await
            .unwrap();
        case.world.run_sealer();
        case.world
            .wait_for_state_of(left.session.id, StateKind::Aborted)
            .await;
        case.expect_nothing(&left.session.key).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_killed_after_the_store_did_it_is_finished_by_the_repeated_call() {
    for mut case in Case::each().await {
        let started = case.started_and_sent().await;
        case.process.after(0);
        let cut = case.world.on(&started, Method::POST, "/complete", None).await;
        cut.expect_problem("session_store_unavailable");
        case.next_process();
        assert_eq!(case.only_session().await.state.kind(), StateKind::Open);
        assert!(
            case.world.read_object(&started.key).await.is_some(),
            "the store did not complete"
        );

        let answer = case.world.on(&started, Method::POST, "/complete", None).await;
        let completed: CompleteResponse = answer.expect(200);
        assert_eq!(completed.checksum_crc64nvme, Some(crc(&case.bytes)));
        case.expect_object(&started).await;
        assert_eq!(case.start().await.upload_session_id, started.upload_session_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_killed_after_the_store_did_it_is_finished_by_the_sealer() {
    for mut case in Case::each().await {
        let started = case.started_and_sent().await;
        let seal = json!({"checksumCrc64nvme": crc(&case.bytes)});
        let sealed = case.world.on(&started, Method::POST, "/seal", Some(seal)).await;
        sealed.expect::<Value>(200);
        case.process.after(0);
        let cut = case.world.on(&started, Method::POST, "/complete", None).await;
        cut.expect_problem("session_store_unavailable");
        case.next_process();
        assert_eq!(case.only_session().await.state.kind(), StateKind::Sealed);
        assert!(
            case.world.read_object(&started.key).await.is_some(),
            "the store did not complete"
        );

        case.world.run_sealer();
        case.world.wait_for_state(&started, StateKind::Completed).await;
        case.expect_object(&started).await;
    }
}

/// An abort is two writes, said and done, with the store's work between.
async fn killed_during_abort(case: &mut Case) -> StartResponse {
    let started = case.started_and_sent().await;
    case.process.after(1);
    let cut = case.world.on(&started, Method::DELETE, "", None).await;
    cut.expect_problem("session_store_unavailable");
    case.next_process();
    assert_eq!(case.only_session().await.state.kind(), StateKind::Aborting);
    let upload_id = started.upload_id.as_ref().unwrap();
    let parts = case.world.storage.list_parts(&started.key, upload_id).await;
    assert!(
        matches!(parts, Err(StorageError::NoSuchUpload)),
        "the store did not abort: {parts:?}"
    );
    started
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_killed_after_the_store_did_it_is_finished_by_the_repeated_call() {
    for mut case in Case::each().await {
        let started = killed_during_abort(&mut case).await;
        let answer = case.world.on(&started, Method::DELETE, "", None).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        case.expect_nothing(&started.key).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_killed_after_the_store_did_it_is_finished_by_the_sealer() {
    for mut case in Case::each().await {
        let started = killed_during_abort(&mut case).await;
        case.world.run_sealer();
        case.world.wait_for_state(&started, StateKind::Aborted).await;
        case.expect_nothing(&started.key).await;
    }
}
