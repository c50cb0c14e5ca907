//! Aborting: said first, then done, until nothing is left.

use std::time::Duration;

use upload_protocol::{ErrorCode, UploadMode};

use super::{Uploads, Wake, to_the_end};
use crate::error::{Result, UploadError};
use crate::session::{Session, SessionState};
use crate::store::Versioned;

/// How long a PUT that began just before its URL expired may take, the clocks' difference included.
pub(super) const LAST_PUT_MAX: Duration = Duration::from_hours(1);

/// How an attempt to abort went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abort {
    /// Nothing is left of the session, and nothing can come.
    Done,
    /// Nothing is left, yet a signed URL may still write the object: to be repeated after this.
    Again {
        /// How long such a URL may be used.
        after: Duration,
    },
    /// The session is not to be aborted.
    Unwanted,
}

impl Uploads {
    /// Aborts a session: no call can continue it from here on, and the store keeps nothing of it.
    /// Repeating it is fine. What a store that is down or a URL that still lives leaves to do is done by
    /// the [`Sealer`](super::Sealer).
    ///
    /// # Errors
    /// `session_completed`: what is complete is not deleted.
    pub async fn abort(&self, found: Versioned) -> Result<()> {
        let uploads = self.clone();
        to_the_end(async move {
            let id = found.session.id;
            let abort = uploads.abort_if(found, |_| true).await;
            if !matches!(abort, Ok(Abort::Done)) {
                uploads.wake(id, Wake::Now);
            }
            abort.map(drop)
        })
        .await
    }

    /// Aborts the session when nobody has renewed its lease.
    pub(super) async fn abort_if_abandoned(&self, found: Versioned) -> Result<Abort> {
        self.abort_if(found, |session| self.is_abandoned(session)).await
    }

    /// Goes on with an abort that was begun, and begins none.
    pub(super) async fn abort_if_begun(&self, found: Versioned) -> Result<Abort> {
        self.abort_if(found, |_| false).await
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
    ) -> Result<Abort> {
        let _lock = self.inner.locks.lock(found.session.id).await;
        let current = self.load(found.session.id).await?;
        let took_parts = current.session.state.kind().takes_parts();
        let marked = self.change(current, |session| match &session.state {
            SessionState::Aborting { .. } | SessionState::Aborted => Ok(None),
            _ if !wanted(session) => Ok(None),
            SessionState::Completed(_) => Err(UploadError::new(
                ErrorCode::SessionCompleted,
                format!("session {} is complete: its object is not deleted", session.id),
            )),
            SessionState::Reserved | SessionState::Open | SessionState::Sealed { .. } => {
                let mut session = session.clone();
                session.state = SessionState::Aborting {
                    since_ms: self.now_ms(),
                };
                Ok(Some(session))
            }
        });
        let marked = marked.await?;
        if took_parts {
            self.publish_end(&marked.session);
        }
        match marked.session.state {
            SessionState::Aborted => Ok(Abort::Done),
            SessionState::Aborting { since_ms } => {
                // Asked before the removal: the last one must come after the last URL.
                let written_for = self.written_for(marked.session.mode, since_ms);
                self.remove_from_store(&marked.session).await?;
                if let Some(after) = written_for {
                    return Ok(Abort::Again { after });
                }
                self.end(marked, SessionState::Aborted).await?;
                Ok(Abort::Done)
            }
            _ => Ok(Abort::Unwanted),
        }
    }

    /// How much longer the object may come into being under a URL signed before the abort; `None` when
    /// it can't. Parts can't: the store refuses them once their multipart upload is gone.
    fn written_for(&self, mode: UploadMode, since_ms: i64) -> Option<Duration> {
        if mode == UploadMode::Multipart {
            return None;
        }
        let whole = self.inner.policy.url_lifetime.saturating_add(LAST_PUT_MAX);
        let whole_ms = i64::try_from(whole.as_millis()).unwrap_or(i64::MAX);
        let left_ms = since_ms.saturating_add(whole_ms).saturating_sub(self.now_ms());
        let left = Duration::from_millis(u64::try_from(left_ms).ok().filter(|left| *left > 0)?);
        Some(left.min(whole))
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
