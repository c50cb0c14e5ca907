//! Which of many replicas searches the session store: one at a time, by a lease in the store itself.

use std::time::Duration;

use uuid::Uuid;

use super::Uploads;

/// Name of the lease.
const LEASE_NAME: &str = "janitor";

/// The lease of one process, taken and renewed with every [`take`](Self::take).
#[derive(Debug)]
pub(super) struct Janitor {
    uploads: Uploads,
    /// Random: a process that was killed and started again is another.
    holder: String,
    ttl: Duration,
    known: Option<Turn>,
}

/// Who is the janitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// This process, and before it none that is known, or another.
    Begins,
    /// This process, as before.
    GoesOn,
    /// Another process.
    Others,
    /// The store does not answer.
    Unknown,
}

impl Janitor {
    /// One that has asked for nothing yet. Whoever holds the lease must take it again within `ttl`.
    pub(super) fn new(uploads: Uploads, ttl: Duration) -> Self {
        Self {
            uploads,
            holder: Uuid::new_v4().to_string(),
            ttl,
            known: None,
        }
    }

    /// Takes the lease, or renews it.
    pub(super) async fn take(&mut self) -> Turn {
        let taken = self
            .uploads
            .sessions()
            .lease(LEASE_NAME, &self.holder, self.ttl)
            .await;
        let turn = match taken {
            // A store that was away for a while has not made another one the janitor.
            Ok(true) if self.is_mine() => Turn::GoesOn,
            Ok(true) => Turn::Begins,
            Ok(false) => Turn::Others,
            Err(error) => {
                tracing::warn!(%error, "can't take the janitor's lease; trying again later");
                return Turn::Unknown;
            }
        };
        if turn == Turn::Begins {
            tracing::info!(
                "this process is the janitor now: it searches the session store for what clients left"
            );
        }
        self.known = Some(turn);
        turn
    }

    /// Whether this process was the janitor when the store last said who is.
    pub(super) fn is_mine(&self) -> bool {
        matches!(self.known, Some(Turn::Begins | Turn::GoesOn))
    }

    /// Gives the lease back, so that another takes it at once instead of at its end.
    pub(super) async fn release(&mut self) {
        if self.is_mine()
            && let Err(error) = self.uploads.sessions().release(LEASE_NAME, &self.holder).await
        {
            tracing::warn!(%error, "can't give the janitor's lease back; it ends by itself");
        }
        self.known = None;
    }
}
