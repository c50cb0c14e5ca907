//! The background task that tells of completions until somebody has heard.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use upload_protocol::{ErrorCode, SessionId};
use uuid::Uuid;

use super::Uploads;
use super::announce::AnnouncerTiming;
use crate::error::Result;
use crate::session::{Session, SessionState, StateKind};

/// Completions told at once.
const AT_ONCE_MAX: usize = 8;

/// Completions that wait for their turn here; the rest waits in the session store.
const QUEUE_LENGTH_MAX: usize = 1024;

/// Sessions read from the store in one call, and calls of one search.
const PAGE_LENGTH: usize = 500;
const PAGES_MAX: usize = 20;

/// The lease of whoever searches.
const LEASE: &str = "announcer";

/// Tells the completion hook of what was completed: at once after it, and by searching for what another
/// process left or a receiver did not take. Any number may run on one session store: one searches at a
/// time, and each attempt is made by one of them.
#[derive(Debug)]
pub struct Announcer {
    uploads: Uploads,
    timing: AnnouncerTiming,
    holder: String,
    queue: VecDeque<SessionId>,
    /// Those in the queue and those being told.
    known: HashSet<SessionId>,
    working: JoinSet<SessionId>,
    /// Where the next search goes on.
    cursor: Option<SessionId>,
}

impl Announcer {
    /// An announcer of these sessions' completions.
    pub fn new(uploads: Uploads, timing: AnnouncerTiming) -> Self {
        Self {
            uploads,
            timing,
            holder: Uuid::new_v4().to_string(),
            queue: VecDeque::new(),
            known: HashSet::new(),
            working: JoinSet::new(),
            cursor: None,
        }
    }

    /// Works until `stop`; attempts under way then are finished first. Ends at once where no completion
    /// hook is set.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.uploads.inner.completion_hook.is_none() {
            return;
        }
        let mut completions = self.uploads.inner.announcing.subscribe();
        let mut search = tokio::time::interval(self.timing.search_interval);
        search.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.start_queued();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.working.join_next() => self.on_done(done),
                completed = completions.recv() => match completed {
                    Ok(id) => self.enqueue(id),
                    // The search finds those.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                _ = search.tick() => {
                    if let Err(error) = self.search().await {
                        tracing::warn!(%error, "can't search for completions to tell; trying again later");
                    }
                }
            }
        }
        while let Some(done) = self.working.join_next().await {
            self.on_done(done);
        }
        // One that is not given back ends by itself.
        let _ = self.uploads.inner.sessions.release(LEASE, &self.holder).await;
    }

    fn enqueue(&mut self, id: SessionId) {
        if self.queue.len() < QUEUE_LENGTH_MAX && self.known.insert(id) {
            self.queue.push_back(id);
        }
    }

    fn start_queued(&mut self) {
        while self.working.len() < AT_ONCE_MAX
            && let Some(id) = self.queue.pop_front()
        {
            let (uploads, timing) = (self.uploads.clone(), self.timing);
            self.working.spawn(async move {
                tell(&uploads, &timing, id).await;
                id
            });
        }
    }

    fn on_done(&mut self, done: std::result::Result<SessionId, tokio::task::JoinError>) {
        match done {
            Ok(id) => drop(self.known.remove(&id)),
            Err(error) => {
                tracing::error!(%error, "telling of a completion ended in a panic");
                // Which one is not known: those in the queue are, the search finds the others again.
                self.known = self.queue.iter().copied().collect();
            }
        }
    }

    /// Queues what is due, some pages a time, where no other process searches.
    async fn search(&mut self) -> Result<()> {
        let sessions = &self.uploads.inner.sessions;
        let ttl = self
            .timing
            .search_interval
            .saturating_mul(3)
            .max(Duration::from_secs(1));
        if !sessions.lease(LEASE, &self.holder, ttl).await? {
            return Ok(());
        }
        let now_ms = self.uploads.now_ms();
        for _ in 0..PAGES_MAX {
            if self.queue.len() >= QUEUE_LENGTH_MAX {
                return Ok(());
            }
            let sessions = &self.uploads.inner.sessions;
            let page = sessions
                .list(StateKind::Announcing, self.cursor, PAGE_LENGTH)
                .await?;
            for found in &page {
                if self.queue.len() >= QUEUE_LENGTH_MAX {
                    return Ok(());
                }
                self.cursor = Some(found.session.id);
                if is_due(&found.session, now_ms) {
                    self.enqueue(found.session.id);
                }
            }
            if page.len() < PAGE_LENGTH {
                self.cursor = None;
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn tell(uploads: &Uploads, timing: &AnnouncerTiming, id: SessionId) {
    let Some(hook) = &uploads.inner.completion_hook else {
        return;
    };
    match uploads.announce(hook, timing, id).await {
        Err(error) if error.code != ErrorCode::SessionNotFound => {
            tracing::warn!(%error, session = %id, "can't keep track of a completion to tell; trying again later");
        }
        _ => {}
    }
}

fn is_due(session: &Session, now_ms: i64) -> bool {
    match &session.state {
        SessionState::Completed(completed) => completed
            .announcement
            .as_ref()
            .is_some_and(|announcement| announcement.not_before_ms <= now_ms),
        _ => false,
    }
}
