//! Both session stores against the one suite.

use std::sync::Arc;

use presign_server::store::{MemorySessionStore, SessionStore, SqliteSessionStore};
use upload_testkit::session_store::{shared_by_two, suite, survives_reopening};

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
