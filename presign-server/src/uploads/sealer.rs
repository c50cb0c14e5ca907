//! Finishes by itself what clients left: completes sealed sessions, repeats aborts that the store
//! refused, aborts sessions whose lease has run out, forgets those that ended long ago.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use upload_protocol::{ErrorCode, SessionId};

use super::Uploads;
use super::abort::Abort;
use super::complete::Completion;
use crate::error::Result;
use crate::session::{Session, SessionState, StateKind};
use crate::store::Versioned;

/// Sessions worked on at once.
const AT_ONCE_MAX: usize = 8;

/// Sessions read from the store in one call.
const PAGE_LENGTH: usize = 500;

/// How often what is looked at.
#[derive(Debug, Clone, Copy)]
pub struct SealerTiming {
    /// First wait before the store is asked about a sealed session, and after something changed there.
    pub delay_min: Duration,
    /// Longest wait, reached by doubling while nothing changes.
    pub delay_max: Duration,
    /// How often the session store is searched for sessions that another process left.
    pub search_interval: Duration,
    /// How often it is searched for sessions whose lease has run out, and for those to forget.
    pub lease_interval: Duration,
}

impl Default for SealerTiming {
    /// 1 s, 60 s, 60 s, 10 min.
    fn default() -> Self {
        Self {
            delay_min: Duration::from_secs(1),
            delay_max: Duration::from_mins(1),
            search_interval: Duration::from_mins(1),
            lease_interval: Duration::from_mins(10),
        }
    }
}

/// The background task. Any number may run on one session store: they do nothing twice, since every
/// step is a conditional write.
#[derive(Debug)]
pub struct Sealer {
    uploads: Uploads,
    timing: SealerTiming,
    watched: HashMap<SessionId, Watch>,
    working: JoinSet<(SessionId, Outcome)>,
    /// At most one task; it may be dropped at any point.
    forgetting: JoinSet<()>,
}

#[derive(Debug)]
struct Watch {
    delay: Duration,
    held: usize,
    work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    At(Instant),
    UnderWay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing is left to do.
    Ended,
    /// The store lacks parts; it holds this many.
    Waiting { held: usize },
    /// To be done once more, but not before.
    Again { after: Duration },
    /// The store or the session store did not help.
    Failed,
}

impl Sealer {
    /// A sealer of these sessions.
    pub fn new(uploads: Uploads, timing: SealerTiming) -> Self {
        Self {
            uploads,
            timing,
            watched: HashMap::new(),
            working: JoinSet::new(),
            forgetting: JoinSet::new(),
        }
    }

    /// Works until `stop`; what is under way then is finished first.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut waking = self.uploads.inner.waking.subscribe();
        let mut search = tokio::time::interval(self.timing.search_interval);
        let mut leases = tokio::time::interval(self.timing.lease_interval);
        loop {
            let next = self.start_due();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = due => {}
                Some(done) = self.working.join_next() => self.on_done(done),
                woken = waking.recv() => match woken {
                    Ok(id) => self.watch_soon(id),
                    Err(RecvError::Lagged(_)) => search.reset_immediately(),
                    Err(RecvError::Closed) => break,
                },
                _ = search.tick() => self.search().await,
                _ = leases.tick() => {
                    self.forget_ended();
                    self.search_abandoned().await;
                }
            }
        }
        while let Some(done) = self.working.join_next().await {
            self.on_done(done);
        }
    }

    /// Starts what is due; answers when the next thing will be.
    fn start_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        for (id, watch) in &mut self.watched {
            let Work::At(at) = watch.work else { continue };
            if at > now {
                next = Some(next.map_or(at, |next| next.min(at)));
            } else if self.working.len() < AT_ONCE_MAX {
                watch.work = Work::UnderWay;
                let (uploads, id) = (self.uploads.clone(), *id);
                self.working
                    .spawn(async move { (id, finish(&uploads, id).await) });
            }
            // What finds no room is looked at again when something ends.
        }
        next
    }

    fn watch_soon(&mut self, id: SessionId) {
        let at = Instant::now() + self.timing.delay_min;
        let watch = self.watched.entry(id).or_insert(Watch {
            delay: self.timing.delay_min,
            held: 0,
            work: Work::At(at),
        });
        watch.delay = self.timing.delay_min;
        if watch.work != Work::UnderWay {
            watch.work = Work::At(at);
        }
    }

    fn on_done(&mut self, done: std::result::Result<(SessionId, Outcome), tokio::task::JoinError>) {
        let (id, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "finishing a session ended in a panic");
                // Which one is not known: the next search finds it again.
                self.watched.retain(|_, watch| watch.work != Work::UnderWay);
                return;
            }
        };
        let Some(watch) = self.watched.get_mut(&id) else {
            return;
        };
        match outcome {
            Outcome::Ended => {
                self.watched.remove(&id);
                return;
            }
            Outcome::Again { after } => {
                watch.work = Work::At(Instant::now() + after);
                return;
            }
            Outcome::Waiting { held } if held != watch.held => {
                watch.held = held;
                watch.delay = self.timing.delay_min;
            }
            Outcome::Waiting { .. } | Outcome::Failed => {
                watch.delay = (watch.delay * 2).min(self.timing.delay_max);
            }
        }
        watch.work = Work::At(Instant::now() + watch.delay);
    }

    async fn search(&mut self) {
        self.watch_each(StateKind::Sealed, |_| true).await;
        self.watch_each(StateKind::Aborting, |_| true).await;
    }

    /// What is sealed is not swept: it may be whole at the store, so finishing it comes first.
    async fn search_abandoned(&mut self) {
        let uploads = self.uploads.clone();
        for state in [StateKind::Reserved, StateKind::Open] {
            self.watch_each(state, |session| uploads.is_abandoned(session))
                .await;
        }
    }

    fn forget_ended(&mut self) {
        while self.forgetting.try_join_next().is_some() {}
        if self.forgetting.is_empty() {
            let uploads = self.uploads.clone();
            self.forgetting.spawn(async move { uploads.forget_ended().await });
        }
    }

    /// Watches the sessions of a state that are wanted, from now on.
    async fn watch_each(&mut self, state: StateKind, wanted: impl Fn(&Session) -> bool) {
        let delay = self.timing.delay_min;
        let watched = &mut self.watched;
        let found = each_session(&self.uploads, state, |found| {
            if wanted(&found.session) {
                watched.entry(found.session.id).or_insert(Watch {
                    delay,
                    held: 0,
                    work: Work::At(Instant::now()),
                });
            }
        });
        if let Err(error) = found.await {
            tracing::warn!(%error, "can't search for {} sessions; trying again later", state.as_str());
        }
    }
}

/// Visits every session of a state, page by page.
pub(super) async fn each_session(
    uploads: &Uploads,
    state: StateKind,
    mut visit: impl FnMut(Versioned),
) -> Result<()> {
    let mut after = None;
    loop {
        let page = uploads.inner.sessions.list(state, after, PAGE_LENGTH).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.session.id);
        page.into_iter().for_each(&mut visit);
    }
}

async fn finish(uploads: &Uploads, id: SessionId) -> Outcome {
    match try_finish(uploads, id).await {
        Ok(outcome) => outcome,
        Err(error) if matches!(error.code, ErrorCode::SessionNotFound | ErrorCode::SessionAborted) => {
            Outcome::Ended
        }
        Err(error) => {
            tracing::warn!(%error, session = %id, "can't finish the session yet");
            Outcome::Failed
        }
    }
}

async fn try_finish(uploads: &Uploads, id: SessionId) -> Result<Outcome> {
    let found = uploads.load(id).await?;
    match found.session.state {
        SessionState::Reserved | SessionState::Open => {
            let aborted = abort_abandoned(uploads, found).await?;
            Ok(aborted.unwrap_or(Outcome::Ended))
        }
        SessionState::Sealed { .. } => finish_sealed(uploads, found).await,
        SessionState::Aborting { .. } => {
            let aborted = outcome_of(uploads.abort_if_begun(found).await?);
            Ok(aborted.unwrap_or(Outcome::Ended))
        }
        SessionState::Completed(_) | SessionState::Aborted => Ok(Outcome::Ended),
    }
}

/// Completes a sealed session. Only when the store has said that it can't be, a lease that has run out
/// aborts it: the server may have been down while the lease did.
async fn finish_sealed(uploads: &Uploads, found: Versioned) -> Result<Outcome> {
    let id = found.session.id;
    let attempt = match uploads.try_complete(found.clone(), None).await {
        Ok(Completion::Done(_)) => {
            tracing::info!(session = %id, "sealed session completed by the server");
            return Ok(Outcome::Ended);
        }
        Ok(Completion::Missing { held, .. }) => Ok(Outcome::Waiting { held }),
        Err(error) if is_final(error.code) => Err(error),
        Err(error) => return Err(error),
    };
    match abort_abandoned(uploads, found).await? {
        Some(outcome) => Ok(outcome),
        None => attempt,
    }
}

/// Aborts the session if its lease has run out; `None` when it has not.
async fn abort_abandoned(uploads: &Uploads, found: Versioned) -> Result<Option<Outcome>> {
    let id = found.session.id;
    let outcome = outcome_of(uploads.abort_if_abandoned(found).await?);
    if outcome.is_some() {
        tracing::info!(session = %id, "abandoned session aborted: its lease had run out");
    }
    Ok(outcome)
}

fn outcome_of(abort: Abort) -> Option<Outcome> {
    match abort {
        Abort::Done => Some(Outcome::Ended),
        Abort::Again { after } => Some(Outcome::Again { after }),
        Abort::Unwanted => None,
    }
}

/// What the store holds is not what was declared, and no attempt changes that.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::SizeMismatch | ErrorCode::ChecksumMismatch | ErrorCode::KeyTaken
    )
}
