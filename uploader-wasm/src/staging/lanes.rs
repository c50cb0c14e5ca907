//! Which job runs: hashing first, since the next part to be sent waits for it; staging only while there
//! is nothing to hash.

use std::collections::VecDeque;

use futures::channel::oneshot;

/// Parts hashed at a time: while one waits for the disk, the other computes.
const HASHING_MAX: usize = 2;
/// Parts written at a time, for the same reason.
const STAGING_MAX: usize = 2;
/// Small parts written at a time: they share transactions, the more the better. Each is in memory.
const SMALL_STAGING_MAX: usize = 32;

/// The three queues of a staging worker. `J` is a job.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    hash: Lane<J>,
    small: Lane<J>,
    stage: Lane<J>,
    /// Jobs that stand still until there is nothing to hash.
    giving_way: Vec<oneshot::Sender<()>>,
}

/// A queue and how many of its jobs run.
#[derive(Debug)]
struct Lane<J> {
    waiting: VecDeque<J>,
    running: usize,
    running_max: usize,
}

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Hash jobs.
    Front,
    /// Staging jobs of parts that become rows.
    Small,
    /// Other staging jobs.
    Tail,
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        Self {
            hash: Lane::new(HASHING_MAX),
            small: Lane::new(SMALL_STAGING_MAX),
            stage: Lane::new(STAGING_MAX),
            giving_way: Vec::new(),
        }
    }
}

impl<J> Lanes<J> {
    /// Queues a job.
    pub(super) fn push(&mut self, urgency: Urgency, job: J) {
        self.lane(urgency).waiting.push_back(job);
    }

    /// The next job to run now, if there is one. Its end must be told by [`Self::on_end`].
    pub(super) fn poll_next(&mut self) -> Option<(Urgency, J)> {
        if let Some(job) = self.hash.take() {
            return Some((Urgency::Front, job));
        }
        if self.is_hashing() {
            return None;
        }
        let small = self.small.take().map(|job| (Urgency::Small, job));
        small.or_else(|| self.stage.take().map(|job| (Urgency::Tail, job)))
    }

    /// A job that was taken has ended, however.
    pub(super) fn on_end(&mut self, urgency: Urgency) {
        let lane = self.lane(urgency);
        lane.running = lane.running.saturating_sub(1);
        if !self.is_hashing() {
            for waiting in self.giving_way.drain(..) {
                // Its job was cancelled meanwhile.
                waiting.send(()).ok();
            }
        }
    }

    /// Drops waiting jobs that a test picks.
    pub(super) fn drop_waiting(&mut self, mut is_unwanted: impl FnMut(&J) -> bool) {
        self.hash.waiting.retain(|job| !is_unwanted(job));
        self.small.waiting.retain(|job| !is_unwanted(job));
        self.stage.waiting.retain(|job| !is_unwanted(job));
    }

    /// Some waiting job passes a test.
    pub(super) fn has_waiting(&self, is_wanted: impl FnMut(&J) -> bool) -> bool {
        let lanes = [&self.hash, &self.small, &self.stage];
        lanes.into_iter().flat_map(|lane| &lane.waiting).any(is_wanted)
    }

    /// What a staging job must wait for before its next piece; `None` when it may go on.
    pub(super) fn give_way(&mut self) -> Option<oneshot::Receiver<()>> {
        self.is_hashing().then(|| {
            let (sender, receiver) = oneshot::channel();
            self.giving_way.push(sender);
            receiver
        })
    }

    fn is_hashing(&self) -> bool {
        self.hash.running > 0 || !self.hash.waiting.is_empty()
    }

    fn lane(&mut self, urgency: Urgency) -> &mut Lane<J> {
        match urgency {
            Urgency::Front => &mut self.hash,
            Urgency::Small => &mut self.small,
            Urgency::Tail => &mut self.stage,
        }
    }
}

impl<J> Lane<J> {
    fn new(running_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: 0,
            running_max,
        }
    }

    fn take(&mut self) -> Option<J> {
        if self.running >= self.running_max {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.running += 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_job_that_came_last_runs_first() {
        let mut lanes = Lanes::default();
        lanes.push(Urgency::Tail, "stage");
        lanes.push(Urgency::Front, "hash");
        assert_eq!(lanes.poll_next(), Some((Urgency::Front, "hash")));
        assert_eq!(lanes.poll_next(), None);
        lanes.on_end(Urgency::Front);
        assert_eq!(lanes.poll_next(), Some((Urgency::Tail, "stage")));
    }

    #[test]
    fn no_more_jobs_run_than_the_lane_allows() {
        for (urgency, running_max) in [
            (Urgency::Front, HASHING_MAX),
            (Urgency::Small, SMALL_STAGING_MAX),
            (Urgency::Tail, STAGING_MAX),
        ] {
            let mut lanes = Lanes::default();
            for job in 0..=running_max {
                lanes.push(urgency, job);
            }
            let running = std::iter::from_fn(|| lanes.poll_next()).count();
            assert_eq!(running, running_max, "{urgency:?}");
        }
    }

    #[test]
    fn small_part_does_not_wait_for_large_ones() {
        let mut lanes = Lanes::default();
        for job in 0..5 {
            lanes.push(Urgency::Tail, job);
        }
        while lanes.poll_next().is_some() {}
        lanes.push(Urgency::Small, 5);
        assert_eq!(lanes.poll_next(), Some((Urgency::Small, 5)));
    }

    #[test]
    fn running_stage_job_stands_still_until_nothing_is_left_to_hash() {
        let mut lanes = Lanes::default();
        lanes.push(Urgency::Tail, 1);
        lanes.poll_next();
        assert!(lanes.give_way().is_none());
        lanes.push(Urgency::Front, 2);
        let mut wait = lanes.give_way().expect("a hash job waits");
        lanes.poll_next();
        assert_eq!(wait.try_recv(), Ok(None));
        lanes.on_end(Urgency::Front);
        assert_eq!(wait.try_recv(), Ok(Some(())));
    }

    #[test]
    fn job_is_found_while_it_waits_in_any_lane() {
        let mut lanes = Lanes::default();
        lanes.push(Urgency::Front, 1);
        lanes.push(Urgency::Tail, 2);
        lanes.push(Urgency::Small, 3);
        for job in [1, 2, 3] {
            assert!(lanes.has_waiting(|waiting| *waiting == job), "{job}");
        }
        lanes.poll_next();
        assert!(!lanes.has_waiting(|waiting| *waiting == 1));
    }

    #[test]
    fn dropped_hash_jobs_hold_nothing_up() {
        let mut lanes = Lanes::default();
        lanes.push(Urgency::Front, 1);
        lanes.push(Urgency::Tail, 2);
        lanes.drop_waiting(|job| *job == 1);
        assert_eq!(lanes.poll_next(), Some((Urgency::Tail, 2)));
    }
}
