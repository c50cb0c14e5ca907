//! Forgetting sessions that ended long ago, so that the session store does not grow for ever.

use upload_protocol::SessionId;

use super::Uploads;
use super::sealer::each_session;
use crate::error::Result;
use crate::session::{Session, SessionState, StateKind};

/// Leases that an ended session is kept for: a client that was away for one still hears how it ended.
const KEPT_LEASES: u32 = 2;

impl Uploads {
    /// Deletes the rows of sessions that ended, and were last asked about, two leases ago. What the
    /// store holds is not touched.
    pub(super) async fn forget_ended(&self) {
        let mut ended = vec![StateKind::Completed, StateKind::Aborted];
        // Where nobody is told any more, what was still to be told is not kept for ever.
        if self.inner.completion_hook.is_none() {
            ended.push(StateKind::Announcing);
        }
        for state in ended {
            match self.forget_each(state).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "{} sessions of long ago forgotten", state.as_str()),
                Err(error) => {
                    tracing::warn!(%error, "can't forget {} sessions; trying again later", state.as_str());
                }
            }
        }
    }

    async fn forget_each(&self, state: StateKind) -> Result<usize> {
        let mut old: Vec<SessionId> = Vec::new();
        let search = each_session(self, state, |found| {
            if self.is_forgettable(&found.session) {
                old.push(found.session.id);
            }
        });
        search.await?;
        for id in &old {
            self.inner.sessions.delete(*id).await?;
        }
        Ok(old.len())
    }

    fn is_forgettable(&self, session: &Session) -> bool {
        let ended_at_ms = match &session.state {
            SessionState::Completed(completed) => completed.at_ms,
            SessionState::Aborted => session.created_at_ms,
            _ => return false,
        };
        let kept = self.inner.policy.lease.saturating_mul(KEPT_LEASES);
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        let last_ms = ended_at_ms.max(session.renewed_at_ms);
        last_ms.saturating_add(kept_ms) < self.now_ms()
    }
}
