//! Sessions in one `SQLite` file: they survive the process, and a kill of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use upload_protocol::SessionId;

use super::{Created, SessionStore, SessionStoreError, Versioned};
use crate::session::{Session, StateKind};

/// Calls that wait for the writing thread; more wait in their own tasks.
const QUEUE_LENGTH_MAX: usize = 1024;

/// Calls that share one transaction, and so one fsync.
const BATCH_LENGTH_MAX: usize = 256;

/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Version of the tables, kept in `user_version`. A file of a newer build is refused, not touched.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sessions (
    id BLOB PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    state TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (owner, idempotency_key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_state ON sessions (state, id);
PRAGMA user_version = 1;
";

/// Keeps sessions in one file, write-ahead logged and synced before a call is answered.
///
/// One thread owns the file and does all its work, so that no async thread ever blocks on the disk.
/// Calls that arrive while it syncs share the next transaction: a thousand starts at once cost a few
/// syncs, not a thousand. Other processes may use the same file.
#[derive(Debug)]
pub struct SqliteSessionStore {
    calls: SyncSender<Call>,
    path: PathBuf,
}

/// Does its work in a transaction, and hands back what answers the caller once that is committed. An
/// error instead of a transaction goes straight to the caller.
type Call = Box<dyn FnOnce(Result<&Transaction<'_>, SessionStoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), SessionStoreError>) + Send>;

impl SqliteSessionStore {
    /// Opens the file, making it and its folder when missing.
    ///
    /// # Errors
    /// [`SessionStoreError::Unavailable`] when the file can't be opened, is no database, or was
    /// written by a newer build.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SessionStoreError> {
        let path = path.as_ref().to_path_buf();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| unavailable("open", &format!("{}: {error}", folder.display())))?;
        }
        let connection = open_connection(&path)
            .map_err(|error| unavailable("open", &format!("{}: {error}", path.display())))?;
        let (calls, receiver) = sync_channel(QUEUE_LENGTH_MAX);
        std::thread::Builder::new()
            .name("session-store".to_owned())
            .spawn(move || serve(connection, &receiver))
            .map_err(|error| unavailable("open", &error.to_string()))?;
        Ok(Self { calls, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn call<T, F>(&self, action: &'static str, work: F) -> Result<T, SessionStoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let call: Call = Box::new(move |transaction| {
            let result = transaction
                .and_then(|transaction| work(transaction).map_err(|failure| failure.into_error(action)));
            Box::new(move |committed| {
                // The caller may have given up; then nobody wants the answer.
                let _ = sender.send(committed.and(result));
            })
        });
        let stopped = || unavailable(action, "its thread has stopped");
        if let Err(std::sync::mpsc::TrySendError::Full(call)) = self.calls.try_send(call) {
            let calls = self.calls.clone();
            let sent = tokio::task::spawn_blocking(move || calls.send(call)).await;
            sent.map_err(|_| stopped())?.map_err(|_| stopped())?;
        }
        receiver.await.map_err(|_| stopped())?
    }
}

#[async_trait]
impl SessionStore for SqliteSessionStore {
    async fn create(&self, session: Session) -> Result<Created, SessionStoreError> {
        let body = write_body("create", &session)?;
        self.call("create", move |transaction| {
            let inserted = transaction
                .prepare_cached(
                    "INSERT INTO sessions (id, owner, idempotency_key, state, version, body)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5) ON CONFLICT (owner, idempotency_key) DO NOTHING",
                )?
                .execute(params![
                    session.id.as_uuid().as_bytes().as_slice(),
                    session.owner,
                    session.idempotency_key,
                    session.state.kind().as_str(),
                    body
                ])?;
            if inserted == 1 {
                return Ok(Created::New(Versioned { version: 1, session }));
            }
            let existing = transaction
                .prepare_cached(
                    "SELECT version, body FROM sessions WHERE owner = ?1 AND idempotency_key = ?2",
                )?
                .query_row(params![session.owner, session.idempotency_key], raw)?;
            Ok(Created::Existing(read(existing)?))
        })
        .await
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        self.call("get", move |transaction| {
            transaction
                .prepare_cached("SELECT version, body FROM sessions WHERE id = ?1")?
                .query_row(params![id.as_uuid().as_bytes().as_slice()], raw)
                .optional()?
                .map(read)
                .transpose()
        })
        .await
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        let body = write_body("update", &session)?;
        let id = session.id;
        let updated = self
            .call("update", move |transaction| {
                let rows = transaction
                    .prepare_cached(
                        "UPDATE sessions SET version = version + 1, state = ?3, body = ?4
                         WHERE id = ?1 AND version = ?2",
                    )?
                    .execute(params![
                        session.id.as_uuid().as_bytes().as_slice(),
                        i64::try_from(expected).unwrap_or(i64::MAX),
                        session.state.kind().as_str(),
                        body
                    ])?;
                let version = expected.saturating_add(1);
                Ok((rows == 1).then_some(Versioned { version, session }))
            })
            .await?;
        updated.ok_or(SessionStoreError::Conflict { id, expected })
    }

    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        let after = after.map_or(Vec::new(), |id| id.as_uuid().as_bytes().to_vec());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.call("list", move |transaction| {
            transaction
                .prepare_cached(
                    "SELECT version, body FROM sessions WHERE state = ?1 AND id > ?2
                     ORDER BY id LIMIT ?3",
                )?
                .query_map(params![state.as_str(), after, limit], raw)?
                .map(|row| read(row?))
                .collect()
        })
        .await
    }

    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        self.call("delete", move |transaction| {
            let rows = transaction
                .prepare_cached("DELETE FROM sessions WHERE id = ?1")?
                .execute(params![id.as_uuid().as_bytes().as_slice()])?;
            Ok(rows == 1)
        })
        .await
    }

    async fn ready(&self) -> Result<(), SessionStoreError> {
        self.call("ready", |transaction| {
            transaction.query_row("SELECT 1", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }
}

/// Why one call failed inside its transaction.
enum Failure {
    Sqlite(rusqlite::Error),
    Body(serde_json::Error),
}

impl Failure {
    fn into_error(self, action: &'static str) -> SessionStoreError {
        match self {
            Self::Sqlite(error) => unavailable(action, &error.to_string()),
            Self::Body(error) => unavailable(action, &format!("a row can't be read: {error}")),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn open_connection(path: &Path) -> Result<Connection, String> {
    let connection = prepared_connection(path).map_err(|error| error.to_string())?;
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if version > SCHEMA_VERSION {
        return Err(format!(
            "written by a newer build (tables of version {version}, this build knows {SCHEMA_VERSION}): start that build, or use another data folder"
        ));
    }
    connection
        .execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))
        .map_err(|error| error.to_string())?;
    Ok(connection)
}

fn prepared_connection(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL syncs the log at every commit: what was answered is on disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// The writing thread: ends when the store is dropped and all its calls are answered.
fn serve(mut connection: Connection, calls: &Receiver<Call>) {
    while let Ok(first) = calls.recv() {
        let rest = calls.try_iter().take(BATCH_LENGTH_MAX - 1);
        let batch: Vec<Call> = std::iter::once(first).chain(rest).collect();
        match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => commit(transaction, batch),
            Err(error) => {
                tracing::error!(%error, calls = batch.len(), "session store can't begin");
                for call in batch {
                    call(Err(unavailable("begin", &error.to_string())))(Ok(()));
                }
            }
        }
    }
}

fn commit(transaction: Transaction<'_>, batch: Vec<Call>) {
    let answers: Vec<Answer> = batch.into_iter().map(|call| call(Ok(&transaction))).collect();
    let committed = transaction.commit().map_err(|error| {
        tracing::error!(%error, calls = answers.len(), "session store can't commit");
        unavailable("commit", &error.to_string())
    });
    for answer in answers {
        answer(committed.clone());
    }
}

fn raw(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn read((version, body): (i64, String)) -> Result<Versioned, Failure> {
    Ok(Versioned {
        version: u64::try_from(version).unwrap_or(0),
        session: serde_json::from_str(&body).map_err(Failure::Body)?,
    })
}

fn write_body(action: &'static str, session: &Session) -> Result<String, SessionStoreError> {
    serde_json::to_string(session).map_err(|error| unavailable(action, &error.to_string()))
}

fn unavailable(action: &'static str, message: &str) -> SessionStoreError {
    SessionStoreError::Unavailable {
        action,
        message: message.to_owned(),
    }
}
