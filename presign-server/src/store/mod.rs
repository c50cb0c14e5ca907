//! Where sessions are kept, behind one trait.
//!
//! A store knows nothing of S3 nor of HTTP. Its rules are those of the suite in
//! `upload_testkit::session_store`, which every store passes.

mod memory;
mod observed;
mod redis;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use upload_protocol::SessionId;

use crate::session::{Session, StateKind};

pub use memory::MemorySessionStore;
pub(crate) use observed::ObservedSessionStore;
pub use redis::{
    REDIS_KEY_PREFIX_DEFAULT, RedisAddress, RedisAddressError, RedisSessionStore, is_redis_key_prefix,
};
pub use sqlite::SqliteSessionStore;

/// Keeps sessions by id, each with a version that counts its updates.
///
/// Contract: what a call answered is there for every later call, of any process on the same store; a
/// durable store keeps it when the process is killed right after the answer.
#[async_trait]
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// Keeps a new session, unless its owner has used its idempotency key before: then the session
    /// kept then is answered, whatever has become of it. Of many such calls at once exactly one
    /// creates.
    ///
    /// With `client_bytes_in_flight_max` it is kept only if all the client's sessions, this one included,
    /// have no more [bytes in flight](Session::in_flight_bytes) together; calls at once don't exceed it
    /// either.
    async fn create(
        &self,
        session: Session,
        client_bytes_in_flight_max: Option<u64>,
    ) -> Result<Created, SessionStoreError>;

    /// The session with this id.
    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError>;

    /// The session that this owner has started with this idempotency key.
    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Versioned>, SessionStoreError>;

    /// Replaces a session, provided its version is still `expected`. Id, owner and idempotency key
    /// never change.
    ///
    /// # Errors
    /// [`SessionStoreError::Conflict`] when somebody else has updated or deleted it: get it again.
    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError>;

    /// Up to `limit` sessions of one state, in the order of their ids, after the one named. An update
    /// between two pages hides no session that stays in the state.
    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError>;

    /// Forgets a session; its idempotency key is free again. Whether there was one.
    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError>;

    /// Puts a member into a named set that holds `members_max` at most and vanishes `ttl` after its
    /// first member came. Of many calls at once no more than that many are let in.
    ///
    /// Counts what may be used so often and no oftener: a ticket once, a grant for so many uploads.
    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError>;

    /// Takes a named lease for `holder`, or renews the one it has: `true` when it holds it for `ttl`
    /// from now. At any time one holder has it at most; that of a holder that died ends by itself.
    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError>;

    /// Gives a lease back, where `holder` has it.
    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError>;

    /// Whether the store answers, and would take a write. A store that can't be in a state where it only
    /// reads need not say more than that it looks something up.
    async fn ready(&self) -> Result<(), SessionStoreError> {
        self.get(SessionId::new(uuid::Uuid::nil())).await.map(drop)
    }
}

/// A session and the version it was read at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// 1 when created, one more with each update.
    pub version: u64,
    /// The session.
    pub session: Session,
}

/// What [`SessionStore::create`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is kept, at version 1.
    New(Versioned),
    /// The owner's earlier session with the same key.
    Existing(Versioned),
    /// It is not kept: the client would have too many bytes in flight.
    OverLimit {
        /// Bytes of the client's sessions that take parts, without this one.
        in_flight_bytes: u64,
    },
}

/// See [`SessionStore::claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Name of the set.
    pub set: &'a str,
    /// What to put into it.
    pub member: &'a str,
    /// Most members it may have, at least 1.
    pub members_max: u32,
    /// How long the set is kept after its first member came.
    pub ttl: Duration,
}

/// What [`SessionStore::claim`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The member is in the set now, and was not before.
    New,
    /// It was in the set already.
    Known,
    /// It is not: the set has all the members it may have.
    Full,
}

/// Why a session store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionStoreError {
    /// Somebody else changed or deleted the session first. Retry: after reading it again.
    #[error("session {id} is no longer at version {expected}")]
    Conflict {
        /// The session.
        id: SessionId,
        /// The version the caller had.
        expected: u64,
    },
    /// The store did not do it. Retry: after a back-off.
    #[error("session store, {action}: {message}")]
    Unavailable {
        /// What was asked.
        action: &'static str,
        /// What happened.
        message: String,
    },
}

impl SessionStoreError {
    /// The store did not do it, and why. Callers are shown the message: nothing secret may be in it.
    pub fn unavailable(action: &'static str, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self::Unavailable { action, message }
    }
}
