//! Sessions in one `SQLite` file: they survive the process, and a kill of it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use upload_protocol::SessionId;

use super::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
use crate::clock::ms_since_epoch;
use crate::session::{Session, StateKind};

/// Calls that wait for the writing thread; more wait in their own tasks.
const QUEUE_LENGTH_MAX: usize = 1024;

/// Calls that share one transaction, and so one fsync.
const BATCH_LENGTH_MAX: usize = 256;

/// How long to wait for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Version of the tables, kept in `user_version`. A file of a newer build is refused, not touched.
const SCHEMA_VERSION: i64 = 2;

/// What takes a file from each version to the next, the first from an empty file.
const MIGRATIONS: [&str; 2] = [
    "CREATE TABLE sessions (
        id BLOB PRIMARY KEY NOT NULL,
        owner TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        state TEXT NOT NULL,
        version INTEGER NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (owner, idempotency_key)
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_state ON sessions (state, id);",
    "ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';
    ALTER TABLE sessions ADD COLUMN in_flight_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE sessions SET client = owner;
    CREATE INDEX sessions_in_flight ON sessions (client, in_flight_bytes) WHERE in_flight_bytes > 0;
    CREATE TABLE claims (
        name TEXT NOT NULL,
        member TEXT NOT NULL,
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (name, member)
    ) WITHOUT ROWID;
    CREATE INDEX claims_by_end ON claims (until_ms);
    CREATE TABLE leases (
        name TEXT PRIMARY KEY NOT NULL,
        holder TEXT NOT NULL,
        until_ms INTEGER NOT NULL
    ) WITHOUT ROWID;",
];

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
    async fn create(
        &self,
        session: Session,
        client_bytes_in_flight_max: Option<u64>,
    ) -> Result<Created, SessionStoreError> {
        let body = write_body("create", &session)?;
        self.call("create", move |transaction| {
            let existing = transaction
                .prepare_cached(
                    "SELECT version, body FROM sessions WHERE owner = ?1 AND idempotency_key = ?2",
                )?
                .query_row(params![session.owner, session.idempotency_key], raw)
                .optional()?;
            if let Some(existing) = existing {
                return Ok(Created::Existing(read(existing)?));
            }
            if let Some(max) = client_bytes_in_flight_max {
                let in_flight_bytes = in_flight_bytes(transaction, &session.client)?;
                if in_flight_bytes.saturating_add(session.layout.size_bytes()) > max {
                    return Ok(Created::OverLimit { in_flight_bytes });
                }
            }
            transaction
                .prepare_cached(
                    "INSERT INTO sessions
                     (id, owner, idempotency_key, state, version, body, client, in_flight_bytes)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7)",
                )?
                .execute(params![
                    session.id.as_uuid().as_bytes().as_slice(),
                    session.owner,
                    session.idempotency_key,
                    session.state.kind().as_str(),
                    body,
                    session.client,
                    in_flight(&session)
                ])?;
            Ok(Created::New(Versioned { version: 1, session }))
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

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        let key = [owner.to_owned(), idempotency_key.to_owned()];
        self.call("find", move |transaction| {
            let row = transaction
                .prepare_cached(
                    "SELECT version, body FROM sessions WHERE owner = ?1 AND idempotency_key = ?2",
                )?
                .query_row(key, raw)
                .optional()?;
            row.map(read).transpose()
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
                        "UPDATE sessions SET version = version + 1, state = ?3, body = ?4, in_flight_bytes = ?5
                         WHERE id = ?1 AND version = ?2",
                    )?
                    .execute(params![
                        session.id.as_uuid().as_bytes().as_slice(),
                        i64::try_from(expected).unwrap_or(i64::MAX),
                        session.state.kind().as_str(),
                        body,
                        in_flight(&session)
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

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        let (set, member) = (claim.set.to_owned(), claim.member.to_owned());
        let (members_max, ttl) = (i64::from(claim.members_max), claim.ttl);
        self.call("claim", move |transaction| {
            let now_ms = now_ms();
            transaction
                .prepare_cached("DELETE FROM claims WHERE until_ms <= ?1")?
                .execute([now_ms])?;
            let (members, until_ms, known): (i64, Option<i64>, bool) = transaction
                .prepare_cached(
                    "SELECT count(*), max(until_ms), coalesce(max(member = ?2), 0) FROM claims WHERE name = ?1",
                )?
                .query_row(params![set, member], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            if known {
                return Ok(Claimed::Known);
            }
            if members >= members_max {
                return Ok(Claimed::Full);
            }
            let until_ms = until_ms.unwrap_or_else(|| end_ms(now_ms, ttl));
            transaction
                .prepare_cached("INSERT INTO claims (name, member, until_ms) VALUES (?1, ?2, ?3)")?
                .execute(params![set, member, until_ms])?;
            Ok(Claimed::New)
        })
        .await
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.call("lease", move |transaction| {
            let now_ms = now_ms();
            let taken = transaction
                .prepare_cached(
                    "INSERT INTO leases (name, holder, until_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
                     WHERE leases.holder = excluded.holder OR leases.until_ms <= ?4",
                )?
                .execute(params![name, holder, end_ms(now_ms, ttl), now_ms])?;
            Ok(taken == 1)
        })
        .await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.call("release", move |transaction| {
            transaction
                .prepare_cached("DELETE FROM leases WHERE name = ?1 AND holder = ?2")?
                .execute([name, holder])?;
            Ok(())
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
    let mut connection = prepared_connection(path).map_err(|error| error.to_string())?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Brings the tables to this build's version, in one transaction: two processes that open an old file
/// at once do it once.
fn migrate(connection: &mut Connection) -> Result<(), String> {
    let words = |error: rusqlite::Error| error.to_string();
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(words)?;
    let version: i64 = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(words)?;
    if version > SCHEMA_VERSION {
        return Err(format!(
            "written by a newer build (tables of version {version}, this build knows {SCHEMA_VERSION}): start that build, or use another data folder"
        ));
    }
    let done = usize::try_from(version).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration).map_err(words)?;
    }
    transaction
        .pragma_update(None, "user_version", SCHEMA_VERSION)
        .map_err(words)?;
    transaction.commit().map_err(words)
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

/// What a session adds to its client's bytes in flight.
fn in_flight(session: &Session) -> i64 {
    i64::try_from(session.in_flight_bytes()).unwrap_or(i64::MAX)
}

fn in_flight_bytes(transaction: &Transaction<'_>, client: &str) -> rusqlite::Result<u64> {
    // A sum of floats can't overflow, where one of integers is an error.
    let bytes: f64 = transaction
        .prepare_cached(
            "SELECT total(in_flight_bytes) FROM sessions WHERE client = ?1 AND in_flight_bytes > 0",
        )?
        .query_row([client], |row| row.get(0))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of sizes, exact up to 2^53 and saturating above"
    )]
    Ok(bytes as u64)
}

fn now_ms() -> i64 {
    ms_since_epoch(SystemTime::now())
}

fn end_ms(now_ms: i64, ttl: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
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
