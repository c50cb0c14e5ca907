//! Finishes by itself what clients left: completes sealed sessions, repeats aborts that the store
//! refused, aborts sessions whose lease has run out, forgets those that ended long ago.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use upload_protocol::{ErrorCode, SessionId};

use super::abort::Abort;
use super::complete::Completion;
use super::janitor::{Janitor, Turn};
use super::{Uploads, Wake};
use crate::error::Result;
use crate::session::{Session, SessionState, StateKind};
use crate::store::Versioned;

/// Sessions worked on at once.
const AT_ONCE_MAX: usize = 8;

/// Sessions read from the store in one call.
const PAGE_LENGTH: usize = 500;

/// Searches that may fail or come late before a janitor's lease ends, and another process takes over.
const JANITOR_LEASE_SEARCHES: u32 = 3;

/// How often what is looked at.
///
/// A session that started sealed is only found by the search, and looked at when it is older than
/// `delay_sending`: by default 30 to 60 s after its start. A client that is still there has completed it
/// by then, and a thousand small files cost the store no look at all. Only the search that a sealer
/// begins with looks at once: what it finds may have been about to be completed by a process that was
/// killed. What is not whole then is looked
/// at again when the rest can be there by the pace just seen, and where nothing came, after twice the
/// wait before: an abandoned session costs less than 200 looks in a lease of seven days.
#[derive(Debug, Clone, Copy)]
pub struct SealerTiming {
    /// First wait before the store is asked about a session that a client has just sealed, and the
    /// shortest there is.
    pub delay_min: Duration,
    /// First wait where parts are only about to be sent: for a session that started sealed, counted from
    /// its start, and when parts of a sealed one are signed.
    pub delay_sending: Duration,
    /// Longest wait, reached by doubling while nothing comes.
    pub delay_max: Duration,
    /// Longest wait while a store does not answer.
    pub delay_failed_max: Duration,
    /// How often the session store is searched for sessions that started sealed, or that another process
    /// left; one process does it for all, and another takes over three of these after it was killed.
    pub search_interval: Duration,
    /// How often it is searched for sessions whose lease has run out, and for those to forget.
    pub lease_interval: Duration,
}

impl Default for SealerTiming {
    /// 1 s, 30 s, 1 h, 1 min, 1 min, 10 min.
    fn default() -> Self {
        Self {
            delay_min: Duration::from_secs(1),
            delay_sending: Duration::from_secs(30),
            delay_max: Duration::from_hours(1),
            delay_failed_max: Duration::from_mins(1),
            search_interval: Duration::from_mins(1),
            lease_interval: Duration::from_mins(10),
        }
    }
}

/// The background task. Any number may run on one session store: they do nothing twice, since every
/// step is a conditional write.
///
/// Each looks after the sessions that clients of its own process seal or abort. Only the janitor, one at a
/// time, searches the store for the others; and each once when it begins, so that a server killed and
/// started again need not wait for the end of the lease it had itself.
#[derive(Debug)]
pub struct Sealer {
    uploads: Uploads,
    timing: SealerTiming,
    watched: HashMap<SessionId, Watch>,
    working: JoinSet<(SessionId, Outcome)>,
    janitor: Janitor,
    /// Whether the session store was searched since this sealer began, or became the janitor.
    searched: bool,
    /// At most one task; it may be dropped at any point.
    forgetting: JoinSet<()>,
}

#[derive(Debug)]
struct Watch {
    delay: Duration,
    /// When it was last known how many parts the store holds, and how many.
    seen: Option<(Instant, usize)>,
    /// Whether a search found it, and no client of this process has asked for it since: it is the
    /// janitor's.
    found: bool,
    /// With work under way: when it was asked for another look meanwhile.
    woken: Option<Instant>,
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
    /// The store lacks parts.
    Waiting { held: usize, lacking: usize },
    /// What the store holds is not what was declared, and no attempt changes that.
    Stuck,
    /// To be done once more, but not before.
    Again { after: Duration },
    /// The store or the session store did not help.
    Failed,
}

impl Watch {
    /// Somebody knows of a reason to look at `at`.
    fn on_wake(&mut self, at: Instant, delay: Duration) {
        self.found = false;
        self.delay = self.delay.min(delay);
        match &mut self.work {
            Work::At(planned) => *planned = at.min(*planned),
            // What the look under way sees may be older than what it was woken for.
            Work::UnderWay => self.woken = Some(self.woken.map_or(at, |woken| woken.min(at))),
        }
    }

    /// When to look next after a look has ended so; `None` when there is nothing to look for any more.
    fn after(&mut self, timing: &SealerTiming, now: Instant, outcome: Outcome) -> Option<Instant> {
        let woken = self.woken.take();
        let planned = match outcome {
            Outcome::Ended => return woken,
            Outcome::Again { after } => now + after,
            Outcome::Waiting { held, lacking } => {
                let before = self.seen.replace((now, held));
                let pace = before.map(|(at, before)| (now - at, held.saturating_sub(before)));
                self.delay = next_delay(timing, self.delay, lacking, pace);
                now + self.delay
            }
            Outcome::Stuck => {
                self.delay = (self.delay * 2).min(timing.delay_max);
                now + self.delay
            }
            Outcome::Failed => {
                self.delay = (self.delay * 2).min(timing.delay_failed_max);
                now + self.delay
            }
        };
        Some(woken.map_or(planned, |woken| woken.min(planned)))
    }
}

impl Sealer {
    /// A sealer of these sessions.
    pub fn new(uploads: Uploads, timing: SealerTiming) -> Self {
        let lease = timing.search_interval.saturating_mul(JANITOR_LEASE_SEARCHES);
        Self {
            janitor: Janitor::new(uploads.clone(), lease),
            uploads,
            timing,
            watched: HashMap::new(),
            working: JoinSet::new(),
            searched: false,
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
                    Ok((id, wake)) => self.on_wake(id, wake),
                    Err(RecvError::Lagged(_)) => {
                        self.on_wakes_lost();
                        search.reset_immediately();
                    }
                    Err(RecvError::Closed) => break,
                },
                _ = search.tick() => self.search_in_turn().await,
                _ = leases.tick() => self.search_abandoned_in_turn().await,
            }
        }
        while let Some(done) = self.working.join_next().await {
            self.on_done(done);
        }
        self.janitor.release().await;
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

    fn on_wake(&mut self, id: SessionId, wake: Wake) {
        let delay = match wake {
            Wake::Now => self.timing.delay_min,
            Wake::Later => self.timing.delay_sending,
        };
        let at = Instant::now() + delay;
        let watch = self.watched.entry(id).or_insert(Watch {
            delay,
            seen: None,
            found: false,
            woken: None,
            work: Work::At(at),
        });
        watch.on_wake(at, delay);
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
        match watch.after(&self.timing, Instant::now(), outcome) {
            // What a search found is the janitor's from the next look on.
            Some(at) if !watch.found || self.janitor.is_mine() => watch.work = Work::At(at),
            _ => drop(self.watched.remove(&id)),
        }
    }

    /// Some wakes were lost: every session that is watched is looked at as soon as by one of them. Those
    /// that are not are found by the janitor's next search.
    fn on_wakes_lost(&mut self) {
        for id in self.watched.keys().copied().collect::<Vec<_>>() {
            self.on_wake(id, Wake::Later);
        }
    }

    async fn search_in_turn(&mut self) {
        match self.take_turn().await {
            Turn::Begins | Turn::GoesOn => self.search().await,
            Turn::Others if !self.searched => self.search().await,
            Turn::Others | Turn::Unknown => {}
        }
    }

    async fn search_abandoned_in_turn(&mut self) {
        if let Turn::Begins | Turn::GoesOn = self.take_turn().await {
            self.forget_ended();
            self.search_abandoned().await;
        }
    }

    async fn take_turn(&mut self) -> Turn {
        let turn = self.janitor.take().await;
        if turn == Turn::Begins {
            // The janitor before may have been killed in the middle of something.
            self.searched = false;
        }
        turn
    }

    async fn search(&mut self) {
        let (delay, now_ms) = (self.timing.delay_sending, self.uploads.now_ms());
        let age_wanted = if self.searched { delay } else { Duration::ZERO };
        self.searched = true;
        self.watch_each(StateKind::Sealed, delay, |session| {
            let age_ms = u64::try_from(now_ms.saturating_sub(session.created_at_ms)).unwrap_or(0);
            Some(age_wanted.saturating_sub(Duration::from_millis(age_ms)))
        })
        .await;
        let delay = self.timing.delay_min;
        self.watch_each(StateKind::Aborting, delay, |_| Some(Duration::ZERO))
            .await;
    }

    /// What is sealed is not swept: it may be whole at the store, so finishing it comes first.
    async fn search_abandoned(&mut self) {
        let (uploads, delay) = (self.uploads.clone(), self.timing.delay_min);
        for state in [StateKind::Reserved, StateKind::Open] {
            self.watch_each(state, delay, |session| {
                uploads.is_abandoned(session).then_some(Duration::ZERO)
            })
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

    /// Watches those sessions of a state for which `first` says how long to wait before the first look;
    /// `delay` is what the waits after it grow from.
    async fn watch_each(
        &mut self,
        state: StateKind,
        delay: Duration,
        first: impl Fn(&Session) -> Option<Duration>,
    ) {
        let watched = &mut self.watched;
        let found = each_session(&self.uploads, state, |found| {
            if let Some(first) = first(&found.session) {
                watched.entry(found.session.id).or_insert_with(|| Watch {
                    delay,
                    seen: None,
                    found: true,
                    woken: None,
                    work: Work::At(Instant::now() + first),
                });
            }
        });
        if let Err(error) = found.await {
            tracing::warn!(%error, "can't search for {} sessions; trying again later", state.as_str());
        }
    }
}

/// How long to wait when parts are missing: half of what the rest takes at the pace just seen, so that
/// the looks come closer together towards the end; twice as long as before when nothing has come.
/// `pace` is what came in which time.
fn next_delay(
    timing: &SealerTiming,
    delay: Duration,
    lacking: usize,
    pace: Option<(Duration, usize)>,
) -> Duration {
    let next = match pace {
        Some((took, came @ 1..)) => {
            #[expect(clippy::cast_precision_loss, reason = "at most 10,000 parts")]
            let left = lacking as f64 / came as f64;
            took.mul_f64(left / 2.0)
        }
        _ => delay.saturating_mul(2),
    };
    next.clamp(timing.delay_min, timing.delay_max)
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
        Ok(Completion::Missing { held, lacking, .. }) => Outcome::Waiting { held, lacking },
        Err(error) if is_final(error.code) => {
            tracing::warn!(%error, session = %id, "the session can't be finished");
            Outcome::Stuck
        }
        Err(error) => return Err(error),
    };
    Ok(abort_abandoned(uploads, found).await?.unwrap_or(attempt))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_up_to_the_longest_while_nothing_comes() {
        let mut delay = SealerTiming::default().delay_sending;
        let mut looks = 0;
        let mut waited = Duration::ZERO;
        while waited < Duration::from_hours(7 * 24) {
            delay = next_delay(&SealerTiming::default(), delay, 5, Some((delay, 0)));
            waited += delay;
            looks += 1;
        }
        assert_eq!(delay, SealerTiming::default().delay_max);
        assert!(looks < 200, "{looks} looks in a lease");
    }

    #[test]
    fn wake_that_comes_during_a_look_brings_the_next_one_forward_however_it_ends() {
        let timing = SealerTiming::default();
        let now = Instant::now();
        let soon = now + timing.delay_sending;
        let outcomes = [
            Outcome::Ended,
            Outcome::Waiting {
                held: 1,
                lacking: 9_000,
            },
            Outcome::Stuck,
            Outcome::Failed,
        ];
        for outcome in outcomes {
            let mut watch = Watch {
                delay: timing.delay_max,
                seen: Some((now.checked_sub(Duration::from_mins(5)).unwrap(), 0)),
                found: true,
                woken: None,
                work: Work::UnderWay,
            };
            watch.on_wake(soon, timing.delay_sending);
            assert_eq!(watch.after(&timing, now, outcome), Some(soon), "{outcome:?}");
            assert_eq!(watch.woken, None);
            assert!(
                !watch.found,
                "a client asked for it: it is no longer the janitor's alone"
            );
        }
    }

    #[test]
    fn wait_is_half_of_what_the_rest_takes_at_the_pace_seen() {
        let wait = |lacking, took, came| {
            let pace = Some((Duration::from_secs(took), came));
            next_delay(&SealerTiming::default(), Duration::from_mins(10), lacking, pace).as_secs()
        };
        assert_eq!(wait(100, 10, 10), 50);
        assert_eq!(wait(1, 10, 100), 1);
        assert_eq!(wait(10_000, 60, 1), 3600);
    }
}
