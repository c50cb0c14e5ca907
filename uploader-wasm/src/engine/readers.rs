//! Which page's staging worker does which job, and what becomes of a page's jobs when it goes. Pure.

use std::collections::BTreeMap;

use upload_engine::ActionId;

use crate::messages::PageId;

/// Staging workers that are attached, and their jobs. `J` is a job.
#[derive(Debug)]
pub(super) struct Readers<J> {
    /// By page: whether its worker can write to disk.
    workers: BTreeMap<PageId, bool>,
    jobs: BTreeMap<ActionId, (PageId, J)>,
}

impl<J> Default for Readers<J> {
    fn default() -> Self {
        Self {
            workers: BTreeMap::new(),
            jobs: BTreeMap::new(),
        }
    }
}

impl<J> Readers<J> {
    /// A page's worker is ready. Answers the jobs that an earlier worker of the page had: they must be
    /// given out again.
    pub(super) fn attach(&mut self, page: PageId, can_stage: bool) -> Vec<(ActionId, J)> {
        let orphans = self.detach(page);
        self.workers.insert(page, can_stage);
        orphans
    }

    /// A page or its worker is gone. Answers its jobs: they must be given out again.
    pub(super) fn detach(&mut self, page: PageId) -> Vec<(ActionId, J)> {
        self.workers.remove(&page);
        self.jobs
            .extract_if(.., |_, (worker, _)| *worker == page)
            .map(|(id, (_, job))| (id, job))
            .collect()
    }

    /// The worker with the least to do, of those that can do it. `None` when there is none; the job is
    /// then given back.
    pub(super) fn assign(&mut self, id: ActionId, job: J, must_stage: bool) -> Result<PageId, J> {
        let able = self
            .workers
            .iter()
            .filter(|(_, can_stage)| **can_stage || !must_stage);
        let jobs_of = |page: PageId| self.jobs.values().filter(|(worker, _)| *worker == page).count();
        match able.map(|(page, _)| *page).min_by_key(|page| jobs_of(*page)) {
            Some(page) => {
                self.jobs.insert(id, (page, job));
                Ok(page)
            }
            None => Err(job),
        }
    }

    /// A job ended or isn't needed any more. Answers whose it was; `None` when it was nobody's.
    pub(super) fn remove(&mut self, id: ActionId) -> Option<(PageId, J)> {
        self.jobs.remove(&id)
    }

    /// Some worker can write to disk.
    pub(super) fn can_stage(&self) -> bool {
        self.workers.values().any(|can_stage| *can_stage)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn page(number: u128) -> PageId {
        PageId(Uuid::from_u128(number))
    }

    #[test]
    fn job_without_a_worker_is_given_back() {
        let mut readers = Readers::default();
        assert_eq!(readers.assign(ActionId(1), "job", false), Err("job"));
        assert!(!readers.can_stage());
    }

    #[test]
    fn staging_goes_only_to_workers_that_can_write() {
        let mut readers = Readers::default();
        readers.attach(page(1), false);
        assert_eq!(readers.assign(ActionId(1), (), true), Err(()));
        assert_eq!(readers.assign(ActionId(2), (), false), Ok(page(1)));
        readers.attach(page(2), true);
        assert_eq!(readers.assign(ActionId(3), (), true), Ok(page(2)));
        assert!(readers.can_stage());
    }

    #[test]
    fn jobs_spread_over_workers() {
        let mut readers = Readers::default();
        readers.attach(page(1), true);
        readers.attach(page(2), true);
        let pages: Vec<_> = (0..4)
            .map(|id| readers.assign(ActionId(id), (), false).unwrap())
            .collect();
        assert_eq!(pages.iter().filter(|worker| **worker == page(1)).count(), 2);
    }

    #[test]
    fn jobs_of_a_page_that_went_come_back_once() {
        let mut readers = Readers::default();
        readers.attach(page(1), true);
        for id in 0..3 {
            readers.assign(ActionId(id), id, true).unwrap();
        }
        assert_eq!(readers.remove(ActionId(1)), Some((page(1), 1)));
        assert_eq!(readers.detach(page(1)), [(ActionId(0), 0), (ActionId(2), 2)]);
        assert!(readers.detach(page(1)).is_empty());
        assert_eq!(readers.remove(ActionId(0)), None);
        assert!(!readers.can_stage());
    }
}
