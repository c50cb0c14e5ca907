//! One subscriber: what it follows, and how far it has been told.

use std::sync::Arc;

use tokio::sync::watch;
use upload_protocol::{LiveMessage, RunSelection, SessionId};

use super::Audience;
use super::log::{Cursors, Log};

/// Most single runs that one subscriber follows at once.
const RUNS_MAX: usize = 100;

/// Follows runs. Holds a position for each and no message, so a subscriber that doesn't read costs
/// nothing.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    newest: watch::Receiver<u64>,
    audience: Audience,
    cursors: Cursors,
}

/// A subscriber follows as many single runs as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{RUNS_MAX} runs are followed already, the most there can be: follow `*`")]
pub struct TooManyRuns;

impl Subscription {
    pub(super) fn new(log: Arc<Log>, audience: Audience) -> Self {
        Self {
            newest: log.watch(),
            log,
            audience,
            cursors: Cursors::default(),
        }
    }

    /// Follows all runs or one more, from the first fact that is kept. What was told already is not told
    /// again. A run that nobody knows yet, or that this subscriber may not see, is silent.
    ///
    /// # Errors
    /// [`TooManyRuns`] above 100 single ones.
    pub fn add(&mut self, runs: RunSelection) -> Result<(), TooManyRuns> {
        match runs {
            RunSelection::All(_) => {
                self.cursors.all.get_or_insert(0);
            }
            RunSelection::Run(id) if self.cursors.runs.contains_key(&id) => {}
            RunSelection::Run(_) if self.cursors.runs.len() >= RUNS_MAX => return Err(TooManyRuns),
            RunSelection::Run(id) => {
                self.cursors.runs.insert(id, self.cursors.all.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Follows all runs, or this one, no longer. Single ones that were added beside all go on.
    pub fn remove(&mut self, runs: RunSelection) {
        match runs {
            RunSelection::All(_) => self.cursors.all = None,
            RunSelection::Run(id) => drop(self.cursors.runs.remove(&id)),
        }
    }

    /// The next 1 to `max` messages; waits until there is one. Of one run they come in order, its start
    /// first. May be dropped at any point: nothing is lost by it.
    pub async fn next(&mut self, max: usize) -> Vec<LiveMessage> {
        loop {
            self.newest.borrow_and_update();
            let messages = self.log.read(&self.audience, &mut self.cursors, max);
            if !messages.is_empty() {
                return messages;
            }
            if self.newest.changed().await.is_err() {
                // The log lives as long as this does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What is kept of one run, as a subscriber that comes now is told it.
    pub fn history(&self, id: SessionId) -> Vec<LiveMessage> {
        let mut cursors = Cursors::default();
        cursors.runs.insert(id, 0);
        self.log.read(&self.audience, &mut cursors, usize::MAX)
    }
}
