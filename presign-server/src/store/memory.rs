//! Sessions in memory: gone with the process.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use upload_protocol::SessionId;

use super::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
use crate::session::{Session, StateKind};

/// Keeps sessions in this process alone: for tests and demonstrations.
///
/// Lock order, everywhere: the key's entry, then the session's, then the index. No two entries of one
/// map are held at once.
#[derive(Debug, Default)]
pub struct MemorySessionStore {
    sessions: DashMap<SessionId, Versioned>,
    ids_by_key: DashMap<(String, String), SessionId>,
    index: Mutex<Index>,
    claims: Mutex<HashMap<String, ClaimSet>>,
    leases: Mutex<HashMap<String, Lease>>,
}

/// What is known of all sessions together.
#[derive(Debug, Default)]
struct Index {
    ids_by_state: BTreeSet<(StateKind, SessionId)>,
    in_flight_bytes_by_client: HashMap<String, u64>,
}

#[derive(Debug)]
struct ClaimSet {
    members: HashSet<String>,
    until: Instant,
}

#[derive(Debug)]
struct Lease {
    holder: String,
    until: Instant,
}

impl MemorySessionStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Index {
    fn in_flight_bytes(&self, client: &str) -> u64 {
        self.in_flight_bytes_by_client.get(client).copied().unwrap_or(0)
    }

    fn add(&mut self, session: &Session) {
        let kind = session.state.kind();
        self.ids_by_state.insert((kind, session.id));
        let size_bytes = session.in_flight_bytes();
        if size_bytes > 0 {
            let bytes = self
                .in_flight_bytes_by_client
                .entry(session.client.clone())
                .or_default();
            *bytes = bytes.saturating_add(size_bytes);
        }
    }

    fn remove(&mut self, session: &Session) {
        let kind = session.state.kind();
        self.ids_by_state.remove(&(kind, session.id));
        let size_bytes = session.in_flight_bytes();
        if size_bytes > 0 {
            let left = self.in_flight_bytes(&session.client).saturating_sub(size_bytes);
            if left == 0 {
                self.in_flight_bytes_by_client.remove(&session.client);
            } else {
                self.in_flight_bytes_by_client
                    .insert(session.client.clone(), left);
            }
        }
    }
}

#[async_trait]
impl SessionStore for MemorySessionStore {
    async fn create(
        &self,
        session: Session,
        client_bytes_in_flight_max: Option<u64>,
    ) -> Result<Created, SessionStoreError> {
        let key = (session.owner.clone(), session.idempotency_key.clone());
        let free = match self.ids_by_key.entry(key) {
            Entry::Vacant(free) => free,
            Entry::Occupied(taken) => {
                let existing = self.sessions.get(taken.get()).map(|versioned| versioned.clone());
                return existing
                    .map(Created::Existing)
                    .ok_or(SessionStoreError::Unavailable {
                        action: "create",
                        message: "the session of this key is being deleted".to_owned(),
                    });
            }
        };
        let versioned = Versioned { version: 1, session };
        let id = versioned.session.id;
        let Entry::Vacant(slot) = self.sessions.entry(id) else {
            return Err(SessionStoreError::Conflict { id, expected: 0 });
        };
        {
            let mut index = lock(&self.index);
            let in_flight_bytes = index.in_flight_bytes(&versioned.session.client);
            let with_this = in_flight_bytes.saturating_add(versioned.session.layout.size_bytes());
            if client_bytes_in_flight_max.is_some_and(|max| with_this > max) {
                return Ok(Created::OverLimit { in_flight_bytes });
            }
            index.add(&versioned.session);
        }
        drop(slot.insert(versioned.clone()));
        free.insert(id);
        Ok(Created::New(versioned))
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        Ok(self.sessions.get(&id).map(|versioned| versioned.clone()))
    }

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        let key = (owner.to_owned(), idempotency_key.to_owned());
        let id = self.ids_by_key.get(&key).map(|id| *id);
        Ok(id.and_then(|id| self.sessions.get(&id).map(|versioned| versioned.clone())))
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        let id = session.id;
        let conflict = SessionStoreError::Conflict { id, expected };
        let mut current = self.sessions.get_mut(&id).ok_or_else(|| conflict.clone())?;
        if current.version != expected {
            return Err(conflict);
        }
        {
            let mut index = lock(&self.index);
            index.remove(&current.session);
            index.add(&session);
        }
        *current = Versioned {
            version: expected + 1,
            session,
        };
        Ok(current.clone())
    }

    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        let first = (state, after.unwrap_or(SessionId::new(uuid::Uuid::nil())));
        let last = (state, SessionId::new(uuid::Uuid::max()));
        let ids: Vec<SessionId> = lock(&self.index)
            .ids_by_state
            .range(first..=last)
            .map(|(_, id)| *id)
            .filter(|id| Some(*id) != after)
            .take(limit)
            .collect();
        let sessions = ids
            .iter()
            .filter_map(|id| self.sessions.get(id).map(|found| found.clone()));
        Ok(sessions
            .filter(|found| found.session.state.kind() == state)
            .collect())
    }

    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        let Some(found) = self.get(id).await? else {
            return Ok(false);
        };
        let key = (found.session.owner, found.session.idempotency_key);
        let Entry::Occupied(key) = self.ids_by_key.entry(key) else {
            return Ok(false);
        };
        let removed = self.sessions.remove(&id);
        if let Some((_, removed)) = &removed {
            lock(&self.index).remove(&removed.session);
            key.remove();
        }
        Ok(removed.is_some())
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        let now = Instant::now();
        let mut claims = lock(&self.claims);
        claims.retain(|_, set| set.until > now);
        let set = claims.entry(claim.set.to_owned()).or_insert_with(|| ClaimSet {
            members: HashSet::new(),
            until: now + claim.ttl,
        });
        if set.members.contains(claim.member) {
            return Ok(Claimed::Known);
        }
        if set.members.len() >= usize::try_from(claim.members_max).unwrap_or(usize::MAX) {
            return Ok(Claimed::Full);
        }
        set.members.insert(claim.member.to_owned());
        Ok(Claimed::New)
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        let now = Instant::now();
        let mut leases = lock(&self.leases);
        leases.retain(|_, lease| lease.until > now);
        let lease = leases.entry(name.to_owned()).or_insert_with(|| Lease {
            holder: holder.to_owned(),
            until: now,
        });
        if lease.holder != holder {
            return Ok(false);
        }
        lease.until = now + ttl;
        Ok(true)
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        lock(&self.leases).retain(|held, lease| held != name || lease.holder != holder);
        Ok(())
    }

    async fn ready(&self) -> Result<(), SessionStoreError> {
        Ok(())
    }
}

/// A panic of another call left nothing half-done behind: the next one goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
