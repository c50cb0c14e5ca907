//! One call at a time that settles a session's end, within this process.
//!
//! Correctness rests on conditional writes; this only keeps a client's complete and the sealer's from
//! doing the same work at once, and a status call from reading "no upload, no object" in the middle of
//! a complete.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};
use upload_protocol::SessionId;

/// A lock a session, kept only while somebody holds or awaits it.
#[derive(Debug, Default)]
pub(super) struct SessionLocks {
    locks: Arc<DashMap<SessionId, Arc<Mutex<()>>>>,
}

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct SessionLock {
    guard: Option<OwnedMutexGuard<()>>,
    id: SessionId,
    locks: Arc<DashMap<SessionId, Arc<Mutex<()>>>>,
}

impl SessionLocks {
    /// Waits for the session's lock.
    pub(super) async fn lock(&self, id: SessionId) -> SessionLock {
        let lock = self.locks.entry(id).or_default().clone();
        // From here on a caller that gives up must leave no empty entry behind, hence the guard first.
        let mut held = SessionLock {
            guard: None,
            id,
            locks: self.locks.clone(),
        };
        held.guard = Some(lock.lock_owned().await);
        held
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.locks
            .remove_if(&self.id, |_, lock| Arc::strong_count(lock) == 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn second_caller_waits_and_nothing_is_kept_afterwards() {
        let locks = SessionLocks::default();
        let id = SessionId::new(Uuid::from_u128(1));
        let first = locks.lock(id).await;
        let second = tokio::time::timeout(Duration::from_millis(20), locks.lock(id)).await;
        assert!(second.is_err());
        let other = locks.lock(SessionId::new(Uuid::from_u128(2))).await;
        drop(first);
        drop(locks.lock(id).await);
        drop(other);
        assert!(locks.locks.is_empty());
    }
}
