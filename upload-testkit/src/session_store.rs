//! What every session store must do, as plain functions over the trait.
//!
//! Call [`suite`] with an empty store, and [`survives_reopening`] where a store outlives its process.

use std::sync::Arc;
use std::time::Duration;

use presign_server::session::{Announcement, Completed, Session, SessionState, StateKind};
use presign_server::store::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
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
    owner_and_key_are_not_run_together(&*store).await;
    session_is_found_by_its_owner_and_key(&*store).await;
    stale_version_is_refused_and_changes_nothing(&*store).await;
    list_pages_through_one_state(&*store).await;
    session_is_listed_in_the_state_it_is_in_and_no_other(&*store).await;
    page_ends_nothing_while_sessions_leave_its_state(&*store).await;
    deleted_session_frees_its_key(&*store).await;
    concurrent_creates_give_one_session(std::slice::from_ref(&store)).await;
    concurrent_writers_lose_no_update(std::slice::from_ref(&store)).await;
    bytes_in_flight_are_those_of_sessions_that_take_parts(&*store).await;
    concurrent_creates_stay_below_the_limit(std::slice::from_ref(&store)).await;
    set_lets_in_each_member_once_until_it_is_full(&*store).await;
    set_vanishes_after_its_time(&*store).await;
    concurrent_claims_let_in_as_many_as_may(std::slice::from_ref(&store)).await;
    lease_has_one_holder_until_it_ends_or_is_given_back(&*store).await;
    concurrent_callers_give_a_lease_to_one(std::slice::from_ref(&store)).await;
    session_deleted_during_a_write_stays_deleted(&*store).await;
    session_aborted_during_a_write_stays_aborted(&*store).await;
    delete_among_writers_leaves_nothing(std::slice::from_ref(&store)).await;
    lease_that_ended_during_work_is_its_new_holders(&*store).await;
}

/// Two handles of one store, as two processes hold them: neither overwrites the other.
///
/// # Panics
/// With what went wrong between them.
pub async fn shared_by_two(one: Arc<dyn SessionStore>, two: Arc<dyn SessionStore>) {
    let stores = [one, two];
    concurrent_creates_give_one_session(&stores).await;
    concurrent_writers_lose_no_update(&stores).await;
    concurrent_creates_stay_below_the_limit(&stores).await;
    concurrent_claims_let_in_as_many_as_may(&stores).await;
    concurrent_callers_give_a_lease_to_one(&stores).await;
    delete_among_writers_leaves_nothing(&stores).await;
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
        store.create(again, None).await.expect("create"),
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
        client: owner.to_owned(),
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
    match store.create(session, None).await.expect("create") {
        Created::New(versioned) => versioned,
        other => panic!("a new key did not make a session: {other:?}"),
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
            announcement: Some(Announcement {
                attempts: 3,
                not_before_ms: 6,
            }),
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

async fn session_is_found_by_its_owner_and_key(store: &dyn SessionStore) {
    let created = create(store, session("found")).await;
    let (owner, key) = (&created.session.owner, &created.session.idempotency_key);
    let find = async |owner: &str, key: &str| store.find(owner, key).await.expect("find");
    assert_eq!(find("nobody", key).await, None);
    assert_eq!(find(owner, "no key").await, None);
    // Owner and key are apart: neither runs into the other.
    assert_eq!(find(&format!("{owner}{key}"), "").await, None);
    assert_eq!(find(owner, key).await, Some(created.clone()));
    assert!(store.delete(created.session.id).await.expect("delete"));
    assert_eq!(find(owner, key).await, None);
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
        store.create(second, None).await.expect("create"),
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

async fn owner_and_key_are_not_run_together(store: &dyn SessionStore) {
    let pairs = [
        ("a", "b:1:c"),
        ("a:b", "1:c"),
        ("a:b:1", "c"),
        ("", "1:a"),
        ("1:a", ""),
        ("1", ":a"),
    ];
    let mut ids = Vec::new();
    for (owner, key) in pairs {
        let mut session = session(owner);
        key.clone_into(&mut session.idempotency_key);
        ids.push(create(store, session).await.session.id);
    }
    for (id, (owner, key)) in ids.iter().zip(pairs) {
        assert!(store.delete(*id).await.expect("delete"));
        let mut session = session(owner);
        key.clone_into(&mut session.idempotency_key);
        create(store, session).await;
    }
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

async fn session_is_listed_in_the_state_it_is_in_and_no_other(store: &dyn SessionStore) {
    let done = |announcement| {
        SessionState::Completed(Completed {
            size_bytes: 10 << 20,
            crc: None,
            told_crc: None,
            at_ms: 5,
            announcement,
        })
    };
    let news = Announcement {
        attempts: 0,
        not_before_ms: 6,
    };
    let states = [
        SessionState::Reserved,
        SessionState::Open,
        SessionState::Sealed { crc: Crc64Nvme(7) },
        done(Some(news)),
        done(None),
        SessionState::Aborting { since_ms: 5 },
        SessionState::Aborted,
    ];
    let mut first = session("states");
    first.state = states[0].clone();
    let mut found = create(store, first).await;
    for state in states {
        let mut next = found.session.clone();
        next.state = state;
        found = store.update(found.version, next).await.expect("update");
        for kind in StateKind::ALL {
            let listed = list_all(store, kind).await;
            let same: Vec<_> = listed
                .iter()
                .filter(|listed| listed.session.id == found.session.id)
                .collect();
            if kind == found.session.state.kind() {
                assert_eq!(same, [&found], "listed as {}", kind.as_str());
            } else {
                assert!(same.is_empty(), "still listed as {}", kind.as_str());
            }
        }
    }
    assert!(store.delete(found.session.id).await.expect("delete"));
    let listed = list_all(store, found.session.state.kind()).await;
    assert!(listed.iter().all(|listed| listed.session.id != found.session.id));
}

async fn page_ends_nothing_while_sessions_leave_its_state(store: &dyn SessionStore) {
    let mut staying = Vec::new();
    for _ in 0..8 {
        let mut one = session("leaving");
        one.state = SessionState::Aborted;
        staying.push(create(store, one).await);
    }
    staying.sort_by_key(|found| found.session.id);
    let page = store.list(StateKind::Aborted, None, 1).await.expect("list");
    let first = page.first().expect("a session").clone();
    // The one that the next page begins after goes away, and so does every second one after it.
    let mut seen = vec![first.session.id];
    store.delete(first.session.id).await.expect("delete");
    for leaving in staying.iter().step_by(2) {
        store.delete(leaving.session.id).await.expect("delete");
    }
    let mut after = Some(first.session.id);
    loop {
        let page = store.list(StateKind::Aborted, after, 1).await.expect("list");
        let Some(last) = page.last() else { break };
        after = Some(last.session.id);
        seen.push(last.session.id);
    }
    for stays in staying.iter().skip(1).step_by(2) {
        assert!(
            seen.contains(&stays.session.id),
            "a session that stayed was skipped"
        );
    }
}

async fn list_all(store: &dyn SessionStore, state: StateKind) -> Vec<Versioned> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(state, after, 100).await.expect("list");
        let Some(last) = page.last() else { return all };
        after = Some(last.session.id);
        all.extend(page);
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
            tokio::spawn(async move { store.create(session, None).await.expect("create") })
        })
        .collect();
    let mut new = 0;
    let mut ids = Vec::new();
    for one in racing {
        let created = one.await.expect("no panic");
        let (is_new, found) = match created {
            Created::New(found) => (true, found),
            Created::Existing(found) => (false, found),
            Created::OverLimit { .. } => panic!("no limit was asked for"),
        };
        new += u32::from(is_new);
        ids.push(found.session.id);
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

async fn bytes_in_flight_are_those_of_sessions_that_take_parts(store: &dyn SessionStore) {
    let client = "in flight";
    let size_bytes = session(client).layout.size_bytes();
    let first = create(store, session(client)).await;
    create(store, session(client)).await;
    let third = async |max: u64| store.create(session(client), Some(max)).await.expect("create");
    let over = Created::OverLimit {
        in_flight_bytes: 2 * size_bytes,
    };
    assert_eq!(third(3 * size_bytes - 1).await, over);
    let mut again = session(client);
    again.idempotency_key.clone_from(&first.session.idempotency_key);
    let existing = store.create(again, Some(0)).await.expect("create");
    assert_eq!(
        existing,
        Created::Existing(first.clone()),
        "a repeated create counts nothing"
    );
    let other = store.create(session("another client"), Some(size_bytes)).await;
    assert!(
        matches!(other, Ok(Created::New(_))),
        "another client's bytes are counted: {other:?}"
    );
    let mut ended = first.session;
    ended.state = SessionState::Aborting { since_ms: 5 };
    let ended = store.update(first.version, ended).await.expect("update");
    assert!(matches!(third(2 * size_bytes).await, Created::New(_)));
    assert_eq!(third(2 * size_bytes).await, over);
    store.delete(ended.session.id).await.expect("delete");
    assert_eq!(
        third(2 * size_bytes).await,
        over,
        "deleting what had ended freed bytes"
    );
}

async fn concurrent_creates_stay_below_the_limit(stores: &[Arc<dyn SessionStore>]) {
    let client = format!("limited {}", Uuid::new_v4());
    let max = 3 * session(&client).layout.size_bytes();
    let racing: Vec<_> = in_turn(stores)
        .map(|store| {
            let (store, session) = (store.clone(), session(&client));
            tokio::spawn(async move { store.create(session, Some(max)).await.expect("create") })
        })
        .collect();
    let mut new = 0;
    for one in racing {
        new += u32::from(matches!(one.await.expect("no panic"), Created::New(_)));
    }
    assert_eq!(new, 3, "{new} sessions where 3 fit");
}

async fn claim(store: &dyn SessionStore, set: &str, member: &str, members_max: u32) -> Claimed {
    let ttl = Duration::from_mins(1);
    let claim = Claim {
        set,
        member,
        members_max,
        ttl,
    };
    store.claim(claim).await.expect("claim")
}

async fn set_lets_in_each_member_once_until_it_is_full(store: &dyn SessionStore) {
    let set = format!("set {}", Uuid::new_v4());
    assert_eq!(claim(store, &set, "one", 2).await, Claimed::New);
    assert_eq!(claim(store, &set, "one", 2).await, Claimed::Known);
    assert_eq!(claim(store, &set, "two", 2).await, Claimed::New);
    assert_eq!(claim(store, &set, "three", 2).await, Claimed::Full);
    assert_eq!(
        claim(store, &set, "two", 2).await,
        Claimed::Known,
        "a full set forgot a member"
    );
    assert_eq!(
        claim(store, &format!("{set}:other"), "three", 2).await,
        Claimed::New
    );
}

async fn set_vanishes_after_its_time(store: &dyn SessionStore) {
    let set = format!("short {}", Uuid::new_v4());
    let short = Claim {
        set: &set,
        member: "one",
        members_max: 1,
        ttl: Duration::from_millis(300),
    };
    assert_eq!(store.claim(short).await.expect("claim"), Claimed::New);
    assert_eq!(claim(store, &set, "two", 1).await, Claimed::Full);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(claim(store, &set, "two", 1).await, Claimed::New);
}

async fn concurrent_claims_let_in_as_many_as_may(stores: &[Arc<dyn SessionStore>]) {
    let set = format!("race {}", Uuid::new_v4());
    let racing: Vec<_> = in_turn(stores)
        .enumerate()
        .map(|(index, store)| {
            let (store, set) = (store.clone(), set.clone());
            tokio::spawn(async move { claim(&*store, &set, &index.to_string(), 3).await })
        })
        .collect();
    let mut new = 0;
    for one in racing {
        new += u32::from(one.await.expect("no panic") == Claimed::New);
    }
    assert_eq!(new, 3, "{new} of {WRITERS} were let in where 3 may");
}

async fn lease_has_one_holder_until_it_ends_or_is_given_back(store: &dyn SessionStore) {
    let name = format!("lease {}", Uuid::new_v4());
    let long = Duration::from_mins(1);
    let take = async |holder, ttl| store.lease(&name, holder, ttl).await.expect("lease");
    assert!(take("a", long).await);
    assert!(!take("b", long).await, "two hold one lease");
    assert!(take("a", long).await, "its holder can't renew it");
    store.release(&name, "b").await.expect("release");
    assert!(
        !take("b", long).await,
        "a lease was given back by one who had it not"
    );
    store.release(&name, "a").await.expect("release");
    assert!(take("b", Duration::from_millis(300)).await);
    assert!(!take("a", long).await);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(take("a", long).await, "the lease of one who is gone does not end");
    assert!(!take("b", long).await, "one who was too late still holds it");
}

async fn concurrent_callers_give_a_lease_to_one(stores: &[Arc<dyn SessionStore>]) {
    let name = format!("race {}", Uuid::new_v4());
    let racing: Vec<_> = in_turn(stores)
        .enumerate()
        .map(|(index, store)| {
            let (store, name) = (store.clone(), name.clone());
            let holder = index.to_string();
            let ttl = Duration::from_mins(1);
            tokio::spawn(async move { store.lease(&name, &holder, ttl).await.expect("lease") })
        })
        .collect();
    let mut holders = 0;
    for one in racing {
        holders += u32::from(one.await.expect("no panic"));
    }
    assert_eq!(holders, 1, "{holders} hold one lease");
}

async fn session_deleted_during_a_write_stays_deleted(store: &dyn SessionStore) {
    let found = create(store, session("expiry")).await;
    assert!(store.delete(found.session.id).await.expect("delete"));
    let written = store.update(found.version, found.session.clone()).await;
    assert!(
        matches!(written, Err(SessionStoreError::Conflict { .. })),
        "{written:?}"
    );
    assert_eq!(
        get(store, found.session.id).await,
        None,
        "a write brought it back"
    );
    let listed = store.list(StateKind::Open, None, 1000).await.expect("list");
    assert!(listed.iter().all(|listed| listed.session.id != found.session.id));
}

async fn session_aborted_during_a_write_stays_aborted(store: &dyn SessionStore) {
    let client = "expiry of a lease";
    let read = create(store, session(client)).await;
    // Its lease ended: another process aborts it between this one's read and write.
    let mut aborting = read.session.clone();
    aborting.state = SessionState::Aborting { since_ms: 5 };
    let aborting = store.update(read.version, aborting).await.expect("update");
    let mut renewed = read.session.clone();
    renewed.renewed_at_ms += 1;
    let written = store.update(read.version, renewed).await;
    assert!(
        matches!(written, Err(SessionStoreError::Conflict { .. })),
        "{written:?}"
    );
    assert_eq!(get(store, read.session.id).await, Some(aborting));
    let open = list_all(store, StateKind::Open).await;
    assert!(open.iter().all(|listed| listed.session.id != read.session.id));
    let size_bytes = read.session.layout.size_bytes();
    let next = store.create(session(client), Some(size_bytes)).await;
    assert!(
        matches!(next, Ok(Created::New(_))),
        "its bytes are counted still: {next:?}"
    );
}

async fn delete_among_writers_leaves_nothing(stores: &[Arc<dyn SessionStore>]) {
    let client = format!("deleted {}", Uuid::new_v4());
    let first = create(&*stores[0], session(&client)).await.session;
    let id = first.id;
    let writers: Vec<_> = in_turn(stores)
        .map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                while let Some(found) = get(&*store, id).await {
                    let mut next = found.session;
                    next.token_generation += 1;
                    next.state = match next.state {
                        SessionState::Open => SessionState::Sealed { crc: Crc64Nvme(7) },
                        _ => SessionState::Open,
                    };
                    match store.update(found.version, next).await {
                        Ok(_) | Err(SessionStoreError::Conflict { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let last = stores.last().expect("a store");
    assert!(last.delete(id).await.expect("delete"));
    for writer in writers {
        writer.await.expect("no panic");
    }
    for kind in StateKind::ALL {
        let listed = list_all(&**last, kind).await;
        assert!(
            listed.iter().all(|listed| listed.session.id != id),
            "listed as {}",
            kind.as_str()
        );
    }
    let mut again = session(&client);
    again.idempotency_key.clone_from(&first.idempotency_key);
    let size_bytes = again.layout.size_bytes();
    let created = last.create(again, Some(size_bytes)).await;
    assert!(matches!(created, Ok(Created::New(_))), "{created:?}");
}

async fn lease_that_ended_during_work_is_its_new_holders(store: &dyn SessionStore) {
    let name = format!("ended {}", Uuid::new_v4());
    let long = Duration::from_mins(1);
    let take = async |holder, ttl| store.lease(&name, holder, ttl).await.expect("lease");
    assert!(take("slow", Duration::from_millis(100)).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(take("next", long).await);
    store.release(&name, "slow").await.expect("release");
    assert!(
        !take("slow", long).await,
        "one who was too late gave away another's lease"
    );
    assert!(take("next", long).await, "its holder lost it");
}

/// A store for each writer.
fn in_turn(stores: &[Arc<dyn SessionStore>]) -> impl Iterator<Item = &Arc<dyn SessionStore>> {
    stores.iter().cycle().take(WRITERS as usize)
}
