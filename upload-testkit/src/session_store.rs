//! What every session store must do, as plain functions over the trait.
//!
//! Call [`suite`] with an empty store, and [`survives_reopening`] where a store outlives its process.

use std::sync::Arc;

use presign_server::session::{Completed, Session, SessionState, StateKind};
use presign_server::store::{Created, SessionStore, SessionStoreError, Versioned};
use upload_protocol::{Crc64Nvme, IdempotencyKey, MultipartUploadId, PartLayout, SessionId, UploadMode};
use uuid::Uuid;

/// Writers at once in the cases about races.
const WRITERS: u32 = 16;

/// The whole suite, on a store without sessions.
///
/// # Panics
/// With what the store did wrong.
pub async fn suite(store: Arc<dyn SessionStore>) {
    store.ready().await.expect("a fresh store is ready");
    created_session_reads_back_whole(&*store).await;
    unknown_session_is_none(&*store).await;
    key_used_before_answers_the_first_session(&*store).await;
    same_key_of_another_owner_is_another_session(&*store).await;
    stale_version_is_refused_and_changes_nothing(&*store).await;
    list_pages_through_one_state(&*store).await;
    deleted_session_frees_its_key(&*store).await;
    concurrent_creates_give_one_session(std::slice::from_ref(&store)).await;
    concurrent_writers_lose_no_update(std::slice::from_ref(&store)).await;
}

/// Two handles of one store, as two processes hold them: neither overwrites the other.
///
/// # Panics
/// With what went wrong between them.
pub async fn shared_by_two(one: Arc<dyn SessionStore>, two: Arc<dyn SessionStore>) {
    let stores = [one, two];
    concurrent_creates_give_one_session(&stores).await;
    concurrent_writers_lose_no_update(&stores).await;
}

/// Everything answered before a store was closed, or its process killed, is there afterwards.
/// `reopen` opens the same store again.
///
/// # Panics
/// With what was lost.
pub async fn survives_reopening(
    store: Arc<dyn SessionStore>,
    reopen: impl AsyncFnOnce() -> Arc<dyn SessionStore>,
) {
    let kept = create(&*store, session("reopen")).await;
    let mut sealed = kept.session.clone();
    sealed.state = SessionState::Sealed { crc: Crc64Nvme(7) };
    let sealed = store.update(kept.version, sealed).await.expect("update");
    drop(store);
    let store = reopen().await;
    assert_eq!(get(&*store, kept.session.id).await, Some(sealed.clone()));
    let page = store.list(StateKind::Sealed, None, 10).await.expect("list");
    assert!(
        page.contains(&sealed),
        "the sealed session is not listed after reopening"
    );
    let mut again = session("reopen");
    again.idempotency_key.clone_from(&sealed.session.idempotency_key);
    assert_eq!(
        store.create(again).await.expect("create"),
        Created::Existing(sealed)
    );
}

/// A session of one owner with a key of its own, two parts of 5 MiB.
pub fn session(owner: &str) -> Session {
    let key = IdempotencyKey {
        client_upload_id: upload_protocol::ClientUploadId::new(Uuid::new_v4()),
        generation: 0,
    };
    Session {
        id: SessionId::new(Uuid::new_v4()),
        owner: owner.to_owned(),
        idempotency_key: key.to_string(),
        token_generation: 0,
        key: "uploads/local/2026-11-22/x/file 😀.bin".to_owned(),
        file_name: "file 😀.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        content_disposition: "attachment; filename=\"file _.bin\"".to_owned(),
        metadata: [("album".to_owned(), "summer".to_owned())].into(),
        mode: UploadMode::Multipart,
        layout: PartLayout::from_parts(10 << 20, 5 << 20).expect("a valid layout"),
        checksum: true,
        multipart_upload_id: Some(MultipartUploadId("2~upload/id+==".to_owned())),
        state: SessionState::Open,
        created_at_ms: 1_795_348_800_000,
        renewed_at_ms: 1_795_348_800_001,
    }
}

async fn create(store: &dyn SessionStore, session: Session) -> Versioned {
    match store.create(session).await.expect("create") {
        Created::New(versioned) => versioned,
        Created::Existing(existing) => panic!("a new key answered an old session: {existing:?}"),
    }
}

async fn get(store: &dyn SessionStore, id: SessionId) -> Option<Versioned> {
    store.get(id).await.expect("get")
}

async fn created_session_reads_back_whole(store: &dyn SessionStore) {
    let states = [
        SessionState::Reserved,
        SessionState::Open,
        SessionState::Sealed {
            crc: Crc64Nvme(u64::MAX),
        },
        SessionState::Completed(Completed {
            size_bytes: 10 << 20,
            crc: None,
            told_crc: Some(Crc64Nvme(7)),
            at_ms: 5,
        }),
        SessionState::Aborting { since_ms: 5 },
        SessionState::Aborted,
    ];
    for state in states {
        let mut session = session("whole");
        session.state = state;
        let created = create(store, session.clone()).await;
        assert_eq!(created, Versioned { version: 1, session });
        assert_eq!(get(store, created.session.id).await, Some(created));
    }
}

async fn unknown_session_is_none(store: &dyn SessionStore) {
    let unknown = session("nobody");
    assert_eq!(get(store, unknown.id).await, None);
    let updated = store.update(1, unknown.clone()).await;
    assert!(
        matches!(updated, Err(SessionStoreError::Conflict { .. })),
        "{updated:?}"
    );
    assert_eq!(get(store, unknown.id).await, None, "an update created a session");
    assert!(!store.delete(unknown.id).await.expect("delete"));
}

async fn key_used_before_answers_the_first_session(store: &dyn SessionStore) {
    let first = create(store, session("twice")).await;
    let mut changed = first.session.clone();
    changed.state = SessionState::Aborted;
    let changed = store.update(first.version, changed).await.expect("update");
    let mut second = session("twice");
    second.idempotency_key.clone_from(&first.session.idempotency_key);
    let id = second.id;
    assert_eq!(
        store.create(second).await.expect("create"),
        Created::Existing(changed)
    );
    assert_eq!(get(store, id).await, None, "the second session was kept as well");
}

async fn same_key_of_another_owner_is_another_session(store: &dyn SessionStore) {
    let first = create(store, session("one owner")).await;
    let mut second = session("another owner");
    second.idempotency_key.clone_from(&first.session.idempotency_key);
    create(store, second).await;
}

async fn stale_version_is_refused_and_changes_nothing(store: &dyn SessionStore) {
    let first = create(store, session("stale")).await;
    let mut winner = first.session.clone();
    winner.renewed_at_ms = 1;
    let winner = store.update(first.version, winner).await.expect("update");
    assert_eq!(winner.version, first.version + 1);
    for stale in [0, first.version, winner.version + 1, u64::MAX] {
        let mut loser = first.session.clone();
        loser.renewed_at_ms = 2;
        let refused = store.update(stale, loser).await;
        let expected = SessionStoreError::Conflict {
            id: first.session.id,
            expected: stale,
        };
        assert_eq!(refused, Err(expected));
    }
    assert_eq!(get(store, first.session.id).await, Some(winner));
}

async fn list_pages_through_one_state(store: &dyn SessionStore) {
    let mut expected = Vec::new();
    for _ in 0..7 {
        let found = create(store, session("list")).await;
        let mut aborting = found.session;
        aborting.state = SessionState::Aborting { since_ms: 5 };
        store
            .update(found.version, aborting.clone())
            .await
            .expect("update");
        expected.push(aborting.id);
    }
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(StateKind::Aborting, after, 3).await.expect("list");
        assert!(page.len() <= 3, "a page of {} where 3 were asked for", page.len());
        let Some(last) = page.last() else { break };
        after = Some(last.session.id);
        listed.extend(page.iter().map(|found| found.session.id));
    }
    let sorted = listed.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(sorted, "pages are not in the order of their ids, or repeat one");
    assert!(
        expected.iter().all(|id| listed.contains(id)),
        "a session is missing from the list"
    );
    for id in &listed {
        let found = get(store, *id).await.expect("a listed session");
        assert_eq!(found.session.state, SessionState::Aborting { since_ms: 5 });
    }
}

async fn deleted_session_frees_its_key(store: &dyn SessionStore) {
    let first = create(store, session("delete")).await;
    assert!(store.delete(first.session.id).await.expect("delete"));
    assert!(!store.delete(first.session.id).await.expect("delete"));
    assert_eq!(get(store, first.session.id).await, None);
    let mut second = session("delete");
    second.idempotency_key.clone_from(&first.session.idempotency_key);
    create(store, second).await;
}

async fn concurrent_creates_give_one_session(stores: &[Arc<dyn SessionStore>]) {
    let key = session("race").idempotency_key;
    let racing: Vec<_> = in_turn(stores)
        .map(|store| {
            let (store, mut session) = (store.clone(), session("race"));
            session.idempotency_key.clone_from(&key);
            tokio::spawn(async move { store.create(session).await.expect("create") })
        })
        .collect();
    let mut new = 0;
    let mut ids = Vec::new();
    for one in racing {
        let created = one.await.expect("no panic");
        new += u32::from(matches!(created, Created::New(_)));
        ids.push(created.into_versioned().session.id);
    }
    assert_eq!(new, 1, "{new} of {WRITERS} creates made a session");
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "different sessions for one key"
    );
}

async fn concurrent_writers_lose_no_update(stores: &[Arc<dyn SessionStore>]) {
    let mut start = session("writers");
    start.token_generation = 0;
    let id = create(&*stores[0], start).await.session.id;
    let writers: Vec<_> = in_turn(stores)
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let found = get(&*store, id).await.expect("the session");
                    let mut next = found.session;
                    next.token_generation += 1;
                    match store.update(found.version, next).await {
                        Ok(_) => return,
                        Err(SessionStoreError::Conflict { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let found = get(&*stores[0], id).await.expect("the session");
    assert_eq!(found.session.token_generation, WRITERS, "an update was lost");
    assert_eq!(found.version, u64::from(WRITERS) + 1);
}

/// A store for each writer.
fn in_turn(stores: &[Arc<dyn SessionStore>]) -> impl Iterator<Item = &Arc<dyn SessionStore>> {
    stores.iter().cycle().take(WRITERS as usize)
}
