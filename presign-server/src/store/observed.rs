//! A session store, with every call counted and timed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use upload_protocol::SessionId;

use super::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
use crate::metrics::Metrics;
use crate::session::{Session, StateKind};

/// Passes every call on and counts it.
#[derive(Debug)]
pub(crate) struct ObservedSessionStore {
    inner: Arc<dyn SessionStore>,
    metrics: Metrics,
}

impl ObservedSessionStore {
    pub(crate) fn new(inner: Arc<dyn SessionStore>, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    async fn observe<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, SessionStoreError>>,
    ) -> Result<T, SessionStoreError> {
        let since = Instant::now();
        let result = call.await;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(SessionStoreError::Conflict { .. }) => "conflict",
            Err(SessionStoreError::Unavailable { .. }) => "unavailable",
        };
        self.metrics
            .session_store_called(action, outcome, since.elapsed());
        result
    }
}

#[async_trait]
impl SessionStore for ObservedSessionStore {
    async fn create(
        &self,
        session: Session,
        client_bytes_in_flight_max: Option<u64>,
    ) -> Result<Created, SessionStoreError> {
        self.observe("create", self.inner.create(session, client_bytes_in_flight_max))
            .await
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>, SessionStoreError> {
        self.observe("get", self.inner.get(id)).await
    }

    async fn find(&self, owner: &str, idempotency_key: &str) -> Result<Option<Versioned>, SessionStoreError> {
        self.observe("find", self.inner.find(owner, idempotency_key))
            .await
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned, SessionStoreError> {
        self.observe("update", self.inner.update(expected, session)).await
    }

    async fn list(
        &self,
        state: StateKind,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, SessionStoreError> {
        self.observe("list", self.inner.list(state, after, limit)).await
    }

    async fn delete(&self, id: SessionId) -> Result<bool, SessionStoreError> {
        self.observe("delete", self.inner.delete(id)).await
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, SessionStoreError> {
        self.observe("claim", self.inner.claim(claim)).await
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, SessionStoreError> {
        self.observe("lease", self.inner.lease(name, holder, ttl)).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), SessionStoreError> {
        self.observe("release", self.inner.release(name, holder)).await
    }

    async fn ready(&self) -> Result<(), SessionStoreError> {
        self.observe("ready", self.inner.ready()).await
    }
}
