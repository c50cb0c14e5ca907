//! The session stores of one machine against the suite; Redis has a file of its own.

use std::sync::Arc;

use presign_server::session::{Session, SessionState};
use presign_server::store::{Created, MemorySessionStore, SessionStore, SqliteSessionStore};
use upload_protocol::Crc64Nvme;
use upload_testkit::session_store::{session as session_of, shared_by_two, suite, survives_reopening};

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_passes_the_suite() {
    suite(Arc::new(MemorySessionStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_store_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite(Arc::new(
        SqliteSessionStore::open(folder.path().join("sessions.db")).unwrap(),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_store_keeps_everything_over_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/sessions.db");
    let open = || -> Arc<dyn SessionStore> { Arc::new(SqliteSessionStore::open(&path).unwrap()) };
    survives_reopening(open(), async || open()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_sqlite_file_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let open = || -> Arc<dyn SessionStore> { Arc::new(SqliteSessionStore::open(&path).unwrap()) };
    let (one, two) = (open(), open());
    shared_by_two(one.clone(), two.clone()).await;
    survives_reopening(one, async || two).await;
}

#[tokio::test]
async fn file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    std::fs::write(
        &path,
        "this is a text, and a rather long one, not a database at all",
    )
    .unwrap();
    let error = SqliteSessionStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("sessions.db"), "{error}");
}

/// The tables of version 1, as the first build made them, with one session of each of two owners.
fn write_tables_of_version_1(path: &std::path::Path, rows: &[(Session, u64)]) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL;
        CREATE TABLE sessions (
            id BLOB PRIMARY KEY NOT NULL,
            owner TEXT NOT NULL,
            idempotency_key TEXT NOT NULL,
            state TEXT NOT NULL,
            version INTEGER NOT NULL,
            body TEXT NOT NULL,
            UNIQUE (owner, idempotency_key)
        ) WITHOUT ROWID;
        CREATE INDEX sessions_by_state ON sessions (state, id);
        PRAGMA user_version = 1;",
    )
    .unwrap();
    for (session, version) in rows {
        let mut body = serde_json::to_value(session).unwrap();
        // Not known then.
        body.as_object_mut().unwrap().remove("client");
        file.execute(
            "INSERT INTO sessions (id, owner, idempotency_key, state, version, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            rusqlite::params![
                session.id.as_uuid().as_bytes().as_slice(),
                session.owner,
                session.idempotency_key,
                session.state.kind().as_str(),
                i64::try_from(*version).unwrap(),
                body.to_string(),
            ],
        )
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_file_of_the_first_build_is_taken_over_with_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let (open, mut sealed) = (session_of("one"), session_of("two"));
    sealed.state = SessionState::Sealed { crc: Crc64Nvme(7) };
    write_tables_of_version_1(&path, &[(open.clone(), 1), (sealed.clone(), 4)]);
    let store = SqliteSessionStore::open(&path).unwrap();
    for (session, version) in [(&open, 1), (&sealed, 4)] {
        let found = store.get(session.id).await.unwrap().unwrap();
        assert_eq!(found.version, version);
        assert_eq!(
            (&found.session.key, &found.session.state),
            (&session.key, &session.state)
        );
        let listed = store.list(session.state.kind(), None, 10).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&found));
        let mut again = session.clone();
        again.id = session_of("new id").id;
        assert_eq!(store.create(again, None).await.unwrap(), Created::Existing(found));
    }
    let found = store.get(sealed.id).await.unwrap().unwrap();
    store.update(4, found.session).await.unwrap();
    // What came with the later tables works, and a second opening changes nothing.
    drop(store);
    let store: Arc<dyn SessionStore> = Arc::new(SqliteSessionStore::open(&path).unwrap());
    assert_eq!(store.get(sealed.id).await.unwrap().unwrap().version, 5);
    assert!(
        store
            .lease("janitor", "one", std::time::Duration::from_mins(1))
            .await
            .unwrap()
    );
    // The first write counts its bytes for the owner, who was the client then.
    let size_bytes = open.layout.size_bytes();
    let next = store.create(session_of("two"), Some(2 * size_bytes - 1)).await;
    let in_flight_bytes = size_bytes;
    assert_eq!(next, Ok(Created::OverLimit { in_flight_bytes }));
}

#[tokio::test]
async fn sqlite_file_of_a_newer_build_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    drop(SqliteSessionStore::open(&path).unwrap());
    let version = |set: Option<i64>| -> i64 {
        let file = rusqlite::Connection::open(&path).unwrap();
        if let Some(version) = set {
            file.pragma_update(None, "user_version", version).unwrap();
        }
        file.pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    version(Some(1_000));
    let error = SqliteSessionStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("newer build") && error.contains("1000"), "{error}");
    assert_eq!(version(None), 1_000);
}
