//! Aborting: said first, then done, until nothing is left.

use upload_protocol::{ErrorCode, UploadMode};

use super::{Uploads, to_the_end};
use crate::error::{Result, UploadError};
use crate::session::{Session, SessionState};
use crate::store::Versioned;

impl Uploads {
    /// Aborts a session: no call can continue it from here on, and the store keeps nothing of it.
    /// Repeating it is fine. A store that is down leaves it to the [`Sealer`](super::Sealer).
    ///
    /// # Errors
    /// `session_completed`: what is complete is not deleted.
    pub async fn abort(&self, found: Versioned) -> Result<()> {
        let uploads = self.clone();
        to_the_end(async move { uploads.abort_if(found, |_| true).await.map(drop) }).await
    }

    /// Aborts the session when nobody has renewed its lease. Whether it did.
    pub(super) async fn abort_if_abandoned(&self, found: Versioned) -> Result<bool> {
        self.abort_if(found, |session| self.is_abandoned(session)).await
    }

    /// Whether the session's lease has run out.
    pub(super) fn is_abandoned(&self, session: &Session) -> bool {
        let lease_ms = i64::try_from(self.inner.policy.lease.as_millis()).unwrap_or(i64::MAX);
        session.renewed_at_ms.saturating_add(lease_ms) < self.now_ms()
    }

    async fn abort_if(
        &self,
        found: Versioned,
        wanted: impl Fn(&Session) -> bool + Send + Sync,
    ) -> Result<bool> {
        let _lock = self.inner.locks.lock(found.session.id).await;
        let current = self.load(found.session.id).await?;
        let marked = self.change(current, |session| match &session.state {
            SessionState::Aborting | SessionState::Aborted => Ok(None),
            _ if !wanted(session) => Ok(None),
            SessionState::Completed(_) => Err(UploadError::new(
                ErrorCode::SessionCompleted,
                format!("session {} is complete: its object is not deleted", session.id),
            )),
            SessionState::Reserved | SessionState::Open | SessionState::Sealed { .. } => {
                let mut session = session.clone();
                session.state = SessionState::Aborting;
                Ok(Some(session))
            }
        });
        let marked = marked.await?;
        match marked.session.state {
            SessionState::Aborted => Ok(true),
            SessionState::Aborting => {
                let done = self.remove_from_store(&marked.session).await;
                if done.is_err() {
                    self.wake(marked.session.id);
                }
                done?;
                self.end(marked, SessionState::Aborted).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes parts and object off the store; repeating it is fine.
    pub(super) async fn remove_from_store(&self, session: &Session) -> Result<()> {
        let storage = &self.inner.storage;
        if session.mode == UploadMode::Multipart {
            let uploads = match &session.multipart_upload_id {
                Some(upload_id) => vec![upload_id.clone()],
                // The start may have been cut off after the store had made one.
                None => storage.find_multipart(&session.key).await?,
            };
            for upload_id in uploads {
                storage.abort(&session.key, &upload_id).await?;
            }
            // A complete whose answer was lost may have made the object.
            if storage.head(&session.key).await?.is_none() {
                return Ok(());
            }
        }
        // The key has a UUID of this session alone in it: nobody else's object can be there.
        storage.delete(&session.key).await?;
        Ok(())
    }
}
