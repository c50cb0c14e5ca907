//! Sessions in memory: gone with the process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use upload_protocol::SessionId;

use super::{Created, SessionStore, SessionStoreError, Versioned};
use crate::session::{Session, StateKind};

/// Keeps sessions in this process alone: for tests and demonstrations.
///
/// Lock order, everywhere: the key's entry, then the session's, then the index. No two entries of one
/// map are held at once.
#[derive(Debug, Default)]
pub struct MemorySessionStore {
    sessions: DashMap<SessionId, Versioned>,
    ids_by_key: DashMap<(String, String), SessionId>,
    ids_by_state: Mutex<BTreeSet<(StateKind, SessionId)>>,
}

impl MemorySessionStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn index(&self) -> std::sync::MutexGuard<'_, BTreeSet<(StateKind, SessionId)>> {
        self.ids_by_state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionStore for MemorySessionStore {
    async fn create(&self, session: Session) -> Result<Created, SessionStoreError> {
        let key = (session.owner.clone(), session.idempotency_key.clone());
        match self.ids_by_key.entry(key) {
            Entry::Occupied(taken) => {
                let existing = self.sessions.get(taken.get()).map(|versioned| versioned.clone());
                existing
                    .map(Created::Existing)
                    .ok_or(SessionStoreError::Unavailable {
                        action: "create",
                        message: "the session of this key is being deleted".to_owned(),
                    })
            }
            Entry::Vacant(free) => {
                let versioned = Versioned { version: 1, session };
                let id = versioned.session.id;
                match self.sessions.entry(id) {
                    Entry::Occupied(_) => Err(SessionStoreError::Conflict { id, expected: 0 }),
                    Entry::Vacant(slot) => {
                        self.index().insert((versioned.session.state.kind(), id));
                        drop(slot.insert(versioned.clone()));
                        free.insert(id);
                        Ok(Created::New(versioned))
                    }
                }
            }
        }
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        Ok(self.sessions.get(&id).map(|versioned| versioned.clone()))
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        let id = session.id;
        let conflict = SessionStoreError::Conflict { id, expected };
        let mut current = self.sessions.get_mut(&id).ok_or_else(|| conflict.clone())?;
        if current.version != expected {
            return Err(conflict);
        }
        {
            let mut index = self.index();
            index.remove(&(current.session.state.kind(), id));
            index.insert((session.state.kind(), id));
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
        let ids: Vec<SessionId> = self
            .index()
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
            self.index().remove(&(removed.session.state.kind(), id));
            key.remove();
        }
        Ok(removed.is_some())
    }

    async fn ready(&self) -> Result<(), SessionStoreError> {
        Ok(())
    }
}
