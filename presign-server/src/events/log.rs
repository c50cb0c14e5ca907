//! The facts that one process knows, each once, in the order they became known.

mod run;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use upload_protocol::{LiveMessage, SessionId};

use super::{Audience, EventLimits, News};
use run::{Added, RunLog};

/// Facts of the runs kept, and word for whoever waits for more.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    limits: EventLimits,
    /// Number of the newest fact.
    newest: watch::Sender<u64>,
}

/// How far a subscriber has been told.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    /// When it follows all runs: every fact up to this number was told.
    pub(super) all: Option<u64>,
    /// Of each single run that it follows likewise.
    pub(super) runs: HashMap<SessionId, u64>,
}

#[derive(Debug, Default)]
struct State {
    runs: HashMap<SessionId, RunLog>,
    /// Runs that ended, by when they were last heard of.
    ended: BTreeSet<(Instant, SessionId)>,
    /// Runs that go on, likewise.
    going: BTreeSet<(Instant, SessionId)>,
    /// Runs by the number of their newest fact: those with something new are found without looking at
    /// the others.
    changed: BTreeSet<(u64, SessionId)>,
    /// Number of the newest fact of all.
    sequence: u64,
    facts: usize,
}

impl Log {
    pub(super) fn new(limits: EventLimits) -> Self {
        Self {
            state: Mutex::default(),
            limits,
            newest: watch::Sender::new(0),
        }
    }

    /// Keeps what is new in these news, and answers it.
    pub(super) fn append(&self, news: News) -> Option<News> {
        let now = Instant::now();
        let mut state = self.lock();
        state.forget_old(&self.limits, now);
        let fresh = state.append(news, &self.limits, now);
        state.forget_excess(&self.limits);
        let sequence = state.sequence;
        drop(state);
        self.newest.send_if_modified(|newest| {
            let more = sequence > *newest;
            *newest = sequence.max(*newest);
            more
        });
        fresh
    }

    /// Changes whenever there may be more to read.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Up to `max` messages behind the cursors, in the order they became known; moves the cursors
    /// behind them.
    pub(super) fn read(&self, audience: &Audience, cursors: &mut Cursors, max: usize) -> Vec<LiveMessage> {
        let mut state = self.lock();
        state.forget_old(&self.limits, Instant::now());
        state.read(audience, cursors, max)
    }

    /// Everything known of the runs of which others know less: `known` has the number of facts they
    /// know of each. An ended run they don't know at all is not among them: they have forgotten it.
    pub(super) fn more_than(&self, known: &HashMap<SessionId, usize>) -> Vec<News> {
        let state = self.lock();
        let lacking = state.runs.values().filter(|log| match known.get(&log.run.id) {
            Some(facts) => log.len() > *facts,
            None => !log.has_ended(),
        });
        lacking.map(RunLog::news).collect()
    }

    /// A panic of another call has left at worst a fact untold: the next one goes on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, news: News, limits: &EventLimits, now: Instant) -> Option<News> {
        let News { run, events } = news;
        let known = self.take(run.id);
        let started = known.is_none();
        let mut log = known.unwrap_or_else(|| {
            self.sequence += 1;
            RunLog::new(run.clone(), self.sequence, now)
        });
        let mut fresh = Vec::new();
        for event in events {
            match log.add(self.sequence + 1, &event, limits.errors_max) {
                Added::Not => continue,
                Added::New => {
                    self.sequence += 1;
                    log.heard = now;
                }
                Added::Better => {}
            }
            fresh.push(event);
        }
        self.put(log);
        (started || !fresh.is_empty()).then_some(News { run, events: fresh })
    }

    fn read(&self, audience: &Audience, cursors: &mut Cursors, max: usize) -> Vec<LiveMessage> {
        let may_see = |log: &&RunLog| audience.may_see(log.run.id, &log.run.owner, &log.run.client);
        let behind = |log: &RunLog| cursors.runs.get(&log.run.id).copied().unwrap_or(0);
        let candidates: Vec<(&RunLog, u64)> = if let Some(all) = cursors.all {
            let changed = self.changed.range((all + 1, SessionId::new(uuid::Uuid::nil()))..);
            let logs = changed.filter_map(|(_, id)| self.runs.get(id));
            logs.filter(may_see)
                .map(|log| (log, behind(log).max(all)))
                .collect()
        } else {
            let logs = cursors.runs.keys().filter_map(|id| self.runs.get(id));
            logs.filter(may_see).map(|log| (log, behind(log))).collect()
        };
        // The runs' facts are merged by number, so that one cursor says how far all of them were told.
        let first = |(index, (log, behind)): (usize, &(&RunLog, u64))| {
            let position = log.position_after(*behind);
            log.number_at(position)
                .map(|number| Reverse((number, index, position)))
        };
        let mut next: BinaryHeap<_> = candidates.iter().enumerate().filter_map(first).collect();
        let mut messages = Vec::new();
        while messages.len() < max
            && let Some(Reverse((number, index, position))) = next.pop()
        {
            let Some((log, _)) = candidates.get(index) else {
                break;
            };
            messages.extend(log.message_at(position));
            if let Some(all) = &mut cursors.all {
                *all = number;
            }
            if let Some(cursor) = cursors.runs.get_mut(&log.run.id) {
                *cursor = number;
            }
            if let Some(number) = log.number_at(position + 1) {
                next.push(Reverse((number, index, position + 1)));
            }
        }
        if next.is_empty()
            && let Some(all) = &mut cursors.all
        {
            *all = self.sequence;
        }
        messages
    }

    /// Takes a run out, to change it and [`put`](Self::put) it back, or to forget it.
    fn take(&mut self, id: SessionId) -> Option<RunLog> {
        let log = self.runs.remove(&id)?;
        self.by_age(&log).remove(&(log.heard, id));
        self.changed.remove(&(log.newest(), id));
        self.facts -= log.len();
        Some(log)
    }

    fn put(&mut self, log: RunLog) {
        let id = log.run.id;
        self.by_age(&log).insert((log.heard, id));
        self.changed.insert((log.newest(), id));
        self.facts += log.len();
        self.runs.insert(id, log);
    }

    fn by_age(&mut self, log: &RunLog) -> &mut BTreeSet<(Instant, SessionId)> {
        if log.has_ended() {
            &mut self.ended
        } else {
            &mut self.going
        }
    }

    fn forget_old(&mut self, limits: &EventLimits, now: Instant) {
        let old = |runs: &BTreeSet<(Instant, SessionId)>, kept: Duration| {
            let (heard, id) = runs.first()?;
            (now.saturating_duration_since(*heard) > kept).then_some(*id)
        };
        while let Some(id) = old(&self.ended, limits.kept_ended).or(old(&self.going, limits.kept_silent)) {
            self.take(id);
        }
    }

    fn forget_excess(&mut self, limits: &EventLimits) {
        while self.runs.len() > limits.runs_max || self.facts > limits.events_max {
            let Some((_, id)) = self.ended.first().or(self.going.first()).copied() else {
                return;
            };
            self.take(id);
        }
    }
}
