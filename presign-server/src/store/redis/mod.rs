//! Sessions in a Redis that many replicas share: any of them answers any call.
//!
//! Every change is one script, every script one step of Redis. An answer that is lost on its way leaves the
//! caller with [`Unavailable`](SessionStoreError::Unavailable), as with every store, and the change done or
//! not. A repeated call settles it: `create` finds the session kept under its key, `update` a version that
//! has moved on, so that the session is read again. Where the connection broke, the store repeats the call by
//! itself, and each script knows its own earlier run by a mark.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `{prefix}:session:<id>` | string | the session's row, JSON |
//! | `{prefix}:ids` | hash | `<length of owner>:<owner><idempotency key>` → id |
//! | `{prefix}:index` | sorted set, all scores 0 | `<state>:<id>` |
//! | `{prefix}:bytes` | hash | client → bytes in flight |
//! | `{prefix}:claim:<set>` | hash, expires | member → mark of the call that put it in |
//! | `{prefix}:lease:<name>` | string, expires | holder |

mod address;
mod connection;
mod row;
mod script;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::FromRedisValue;
use upload_protocol::SessionId;
use uuid::Uuid;

use self::connection::{Connection, Request};
use self::row::{FORMAT, RowError};
use self::script::{CLAIM, CREATE, DELETE, Invocation, LEASE, RELEASE, UPDATE};
use super::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
use crate::session::{Session, StateKind};

pub use address::{RedisAddress, RedisAddressError};

/// What keys begin with where nothing else is said.
pub const REDIS_KEY_PREFIX_DEFAULT: &str = "holdfast";

/// Longest prefix of keys, in bytes.
const KEY_PREFIX_LENGTH_BYTES_MAX: usize = 64;

/// Times a create looks again for the session that has its key: it may be deleted just then.
const CREATE_ATTEMPTS_MAX: u32 = 3;

/// How long Redis keeps what `ready` wrote.
const READY_KEPT_SECONDS: u64 = 60;

/// Longest time to live that is asked of Redis: a hundred years.
const TTL_MAX: Duration = Duration::from_hours(24 * 36_525);

/// Keeps sessions in Redis 6 or newer, or in what speaks its protocol.
///
/// A Redis that is down, loading, a replica, out of memory or of connections is
/// [`Unavailable`](SessionStoreError::Unavailable) within two seconds, and used again by itself once it is
/// back. What was answered survives a kill of Redis where that runs with `appendfsync always`.
pub struct RedisSessionStore {
    connection: Connection,
    prefix: String,
}

impl RedisSessionStore {
    /// The store in this Redis, under keys that begin with `{prefix}`: stores of other prefixes in it are
    /// others. Connects at the first call, so that a server may start before its Redis does.
    ///
    /// # Errors
    /// [`SessionStoreError::Unavailable`] when the prefix is not one of [`is_redis_key_prefix`].
    pub fn open(address: RedisAddress, prefix: &str) -> Result<Self, SessionStoreError> {
        if !is_redis_key_prefix(prefix) {
            return Err(SessionStoreError::unavailable(
                "open",
                format!(
                    "key prefix `{prefix}` is none: expected 1 to {KEY_PREFIX_LENGTH_BYTES_MAX} letters, digits, `-`, `_` and `.`"
                ),
            ));
        }
        let connection = Connection::new(address)
            .map_err(|error| SessionStoreError::unavailable("open", error.to_string()))?;
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
        })
    }

    fn key(&self, name: &str) -> String {
        // What stands in braces decides the hash slot: one for all.
        format!("{{{}}}:{name}", self.prefix)
    }

    fn row_key(&self, id: SessionId) -> String {
        self.key(&format!("session:{id}"))
    }

    async fn run<T: FromRedisValue>(
        &self,
        action: &'static str,
        invocation: Invocation,
    ) -> Result<T, SessionStoreError> {
        self.connection.ask(action, &Request::Script(invocation)).await
    }

    async fn command<T: FromRedisValue>(
        &self,
        action: &'static str,
        command: redis::Cmd,
    ) -> Result<T, SessionStoreError> {
        self.connection.ask(action, &Request::Command(command)).await
    }

    async fn row(&self, action: &'static str, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        let mut get = redis::cmd("GET");
        get.arg(self.row_key(id));
        let text: Option<String> = self.command(action, get).await?;
        let read = text.as_deref().map(row::read).transpose();
        let read =
            read.map_err(|error| SessionStoreError::unavailable(action, format!("session {id}: {error}")))?;
        Ok(read.map(|(_, versioned)| versioned))
    }
}

/// Whether a text can stand before the keys of a store in Redis.
pub fn is_redis_key_prefix(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=KEY_PREFIX_LENGTH_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

#[async_trait]
impl SessionStore for RedisSessionStore {
    async fn create(
        &self,
        session: Session,
        client_bytes_in_flight_max: Option<u64>,
    ) -> Result<Created, SessionStoreError> {
        let id = session.id;
        let row = row::write(1, Uuid::new_v4(), &session).map_err(|error| row_error("create", &error))?;
        for _ in 0..CREATE_ATTEMPTS_MAX {
            let max = client_bytes_in_flight_max.map_or(String::new(), |max| max.to_string());
            let invocation = Invocation::new(
                &CREATE,
                vec![
                    self.row_key(id),
                    self.key("ids"),
                    self.key("index"),
                    self.key("bytes"),
                ],
            )
            .arg(&row)
            .arg(id.to_string())
            .arg(ids_field(&session.owner, &session.idempotency_key))
            .arg(index_member(session.state.kind(), id))
            .arg(&session.client)
            .arg(session.layout.size_bytes())
            .arg(session.in_flight_bytes())
            .arg(max);
            let answer: Vec<String> = self.run("create", invocation).await?;
            match (answer.first().map(String::as_str), answer.get(1)) {
                (Some("new"), _) => return Ok(Created::New(Versioned { version: 1, session })),
                (Some("over"), Some(bytes)) => {
                    let in_flight_bytes = bytes.parse().unwrap_or(u64::MAX);
                    return Ok(Created::OverLimit { in_flight_bytes });
                }
                (Some("existing"), Some(text)) => {
                    let existing: SessionId = parsed("create", text)?;
                    match self.row("create", existing).await? {
                        // Nobody else makes this id: an earlier run of this call kept it.
                        Some(found) if existing == id && found.version == 1 => {
                            return Ok(Created::New(found));
                        }
                        Some(found) => return Ok(Created::Existing(found)),
                        // Deleted in between: its key is free again.
                        None => {}
                    }
                }
                _ => return Err(SessionStoreError::Conflict { id, expected: 0 }),
            }
        }
        Err(SessionStoreError::unavailable(
            "create",
            "the session of this key is being deleted".to_owned(),
        ))
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        self.row("get", id).await
    }

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(self.key("ids")).arg(ids_field(owner, idempotency_key));
        let id: Option<String> = self.command("find", get).await?;
        match id {
            // Forgotten between the two looks, it is not there.
            Some(id) => self.row("find", parsed("find", &id)?).await,
            None => Ok(None),
        }
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        let id = session.id;
        let (version, mark) = (expected.saturating_add(1), Uuid::new_v4());
        let row = row::write(version, mark, &session).map_err(|error| row_error("update", &error))?;
        let invocation = Invocation::new(
            &UPDATE,
            vec![self.row_key(id), self.key("index"), self.key("bytes")],
        )
        .arg(row)
        .arg(FORMAT)
        .arg(expected)
        .arg(mark.to_string())
        .arg(id.to_string())
        .arg(session.state.kind().as_str())
        .arg(session.in_flight_bytes());
        let answer: String = self.run("update", invocation).await?;
        match answer.as_str() {
            "done" => Ok(Versioned { version, session }),
            "newer" => Err(newer("update", id)),
            _ => Err(SessionStoreError::Conflict { id, expected }),
        }
    }

    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        let mut first = after.map_or(format!("[{}:", state.as_str()), |id| {
            format!("({}", index_member(state, id))
        });
        loop {
            let mut range = redis::cmd("ZRANGEBYLEX");
            range.arg(self.key("index")).arg(&first);
            // The sign after the colon: everything of this state comes before it.
            range.arg(format!("({};", state.as_str()));
            range.arg("LIMIT").arg(0).arg(limit);
            let members: Vec<String> = self.command("list", range).await?;
            let Some(last) = members.last() else {
                return Ok(Vec::new());
            };
            first = format!("({last}");
            let page = self.rows(state, &members).await?;
            // Nothing of a page may be left by now, or be readable: an empty answer would be the end.
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }

    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        let invocation = Invocation::new(
            &DELETE,
            vec![
                self.row_key(id),
                self.key("ids"),
                self.key("index"),
                self.key("bytes"),
            ],
        )
        .arg(FORMAT)
        .arg(id.to_string());
        let answer: String = self.run("delete", invocation).await?;
        match answer.as_str() {
            "newer" => Err(newer("delete", id)),
            answer => Ok(answer == "done"),
        }
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        let set = self.key(&format!("claim:{}", claim.set));
        let invocation = Invocation::new(&CLAIM, vec![set])
            .arg(claim.member)
            .arg(Uuid::new_v4().as_bytes().as_slice())
            .arg(claim.members_max)
            .arg(ttl_ms(claim.ttl));
        let answer: String = self.run("claim", invocation).await?;
        Ok(match answer.as_str() {
            "new" => Claimed::New,
            "known" => Claimed::Known,
            _ => Claimed::Full,
        })
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        let lease = self.key(&format!("lease:{name}"));
        let invocation = Invocation::new(&LEASE, vec![lease]).arg(holder).arg(ttl_ms(ttl));
        self.run("lease", invocation).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        let lease = self.key(&format!("lease:{name}"));
        let invocation = Invocation::new(&RELEASE, vec![lease]).arg(holder);
        let _: i64 = self.run("release", invocation).await?;
        Ok(())
    }

    /// A replica and a Redis out of memory answer a ping: only a write tells whether sessions can be kept.
    async fn ready(&self) -> Result<(), SessionStoreError> {
        let mut set = redis::cmd("SET");
        set.arg(self.key("ready"))
            .arg(1)
            .arg("EX")
            .arg(READY_KEPT_SECONDS);
        self.command("ready", set).await
    }
}

impl RedisSessionStore {
    /// The sessions of these members of the index that are still in the state. One that a newer build has
    /// written is left out, as this one can do nothing for it: that build does.
    async fn rows(&self, state: StateKind, members: &[String]) -> Result<Vec<Versioned>, SessionStoreError> {
        let mut get = redis::cmd("MGET");
        for member in members {
            let id = member.split_once(':').map_or("", |(_, id)| id);
            get.arg(self.row_key(parsed("list", id)?));
        }
        let texts: Vec<Option<String>> = self.command("list", get).await?;
        let mut page = Vec::with_capacity(texts.len());
        for text in texts.into_iter().flatten() {
            match row::read(&text) {
                Ok((kept_as, versioned)) if kept_as == state.as_str() => page.push(versioned),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a session is left out of a list"),
            }
        }
        Ok(page)
    }
}

impl fmt::Debug for RedisSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessionStore")
            .field("connection", &self.connection)
            .field("prefix", &self.prefix)
            .finish()
    }
}

/// Owner and key as one text that no other owner and key make. The scripts make it too.
fn ids_field(owner: &str, idempotency_key: &str) -> String {
    format!("{}:{owner}{idempotency_key}", owner.len())
}

fn index_member(state: StateKind, id: SessionId) -> String {
    format!("{}:{id}", state.as_str())
}

fn ttl_ms(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(TTL_MAX).as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}

fn parsed(action: &'static str, text: &str) -> Result<SessionId, SessionStoreError> {
    let id = text.parse::<Uuid>().map(SessionId::new);
    id.map_err(|_| SessionStoreError::unavailable(action, format!("`{text}` in Redis is no session's id")))
}

fn newer(action: &'static str, id: SessionId) -> SessionStoreError {
    SessionStoreError::unavailable(
        action,
        format!("session {id} was written by a newer build: start that build"),
    )
}

fn row_error(action: &'static str, error: &RowError) -> SessionStoreError {
    SessionStoreError::unavailable(action, error.to_string())
}
