//! Writes that wait to share a transaction. Pure.
//!
//! While one transaction is being committed, whatever comes gathers for the next: a single write never
//! waits, and a thousand cost a handful of commits. No timer, which a hidden page's browser would slow.

use std::collections::VecDeque;

use futures::channel::oneshot;

use super::fault::StorageFault;

/// Most writes in one transaction.
const GROUP_WRITES_MAX: usize = 512;

/// Most bytes in one transaction. Bounds what has to be written again after a failure, and what waits in
/// memory.
const GROUP_SIZE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How a write ended.
type Written = Result<(), StorageFault>;

/// The writes of one table, in the order they came. `C` is a change.
#[derive(Debug)]
pub(super) struct WriteQueue<C> {
    waiting: VecDeque<Write<C>>,
    /// A group is being committed.
    is_busy: bool,
}

#[derive(Debug)]
struct Write<C> {
    change: C,
    size_bytes: u64,
    done: oneshot::Sender<Written>,
}

/// The writes of one transaction.
#[derive(Debug)]
pub(super) struct Group<C> {
    /// What to change, in this order.
    pub(super) changes: Vec<C>,
    waiters: Vec<oneshot::Sender<Written>>,
}

impl<C> Default for WriteQueue<C> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            is_busy: false,
        }
    }
}

impl<C> WriteQueue<C> {
    /// Queues a change of about `size_bytes`. The receiver hears how its transaction ended; dropped
    /// before that transaction began, the change is not made.
    pub(super) fn push(&mut self, change: C, size_bytes: u64) -> oneshot::Receiver<Written> {
        let (done, written) = oneshot::channel();
        self.waiting.push_back(Write {
            change,
            size_bytes,
            done,
        });
        written
    }

    /// The next group, whose end must be told by [`Self::end`]. `None` while one is being committed, or
    /// when nothing waits.
    pub(super) fn begin(&mut self) -> Option<Group<C>> {
        if self.is_busy {
            return None;
        }
        let mut group = Group {
            changes: Vec::new(),
            waiters: Vec::new(),
        };
        let mut size_bytes = 0;
        while let Some(next) = self.waiting.front() {
            let is_full = group.changes.len() >= GROUP_WRITES_MAX
                || size_bytes + next.size_bytes > GROUP_SIZE_BYTES_MAX && size_bytes > 0;
            if is_full {
                break;
            }
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            if !next.done.is_canceled() {
                size_bytes += next.size_bytes;
                group.changes.push(next.change);
                group.waiters.push(next.done);
            }
        }
        self.is_busy = !group.changes.is_empty();
        self.is_busy.then_some(group)
    }

    /// A group has been written, or not: tells everyone who waits for it how his own change ended.
    pub(super) fn end(&mut self, group: Group<C>, written: Vec<Written>) {
        self.is_busy = false;
        for (waiter, written) in group.waiters.into_iter().zip(written) {
            // Whoever waited may not want to know any more.
            waiter.send(written).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_that_came_together_share_a_transaction_in_their_order() {
        let mut queue = WriteQueue::default();
        let _waits: Vec<_> = [3, 1, 2, 1].map(|change| queue.push(change, 1)).into();
        assert_eq!(queue.begin().unwrap().changes, [3, 1, 2, 1]);
        assert!(queue.begin().is_none());
    }

    #[test]
    fn writes_that_come_during_a_commit_gather_for_the_next() {
        let mut queue = WriteQueue::default();
        let _first = queue.push(1, 1);
        let group = queue.begin().unwrap();
        let _rest: Vec<_> = (2..100).map(|change| queue.push(change, 1)).collect();
        assert!(queue.begin().is_none());
        queue.end(group, vec![Ok(())]);
        assert_eq!(queue.begin().unwrap().changes, (2..100).collect::<Vec<_>>());
    }

    #[test]
    fn every_waiter_hears_of_his_own_change() {
        let mut queue = WriteQueue::default();
        let waits = [1, 2].map(|change| queue.push(change, 1));
        let group = queue.begin().unwrap();
        let results = vec![Err(StorageFault::QuotaExceeded), Ok(())];
        queue.end(group, results.clone());
        for (mut written, result) in waits.into_iter().zip(results) {
            assert_eq!(written.try_recv(), Ok(Some(result)));
        }
        let _next = queue.push(3, 1);
        assert_eq!(queue.begin().unwrap().changes, [3]);
    }

    #[test]
    fn write_nobody_waits_for_is_not_made() {
        let mut queue = WriteQueue::default();
        drop(queue.push(1, 1));
        assert!(queue.begin().is_none());
        drop(queue.push(2, 1));
        let _kept = queue.push(3, 1);
        assert_eq!(queue.begin().unwrap().changes, [3]);
    }

    #[test]
    fn group_is_bounded_by_its_bytes_and_takes_at_least_one_write() {
        let mut queue = WriteQueue::default();
        let _waits =
            [GROUP_SIZE_BYTES_MAX + 1, GROUP_SIZE_BYTES_MAX, 0, 1].map(|size| queue.push(size, size));
        for expected in [&[GROUP_SIZE_BYTES_MAX + 1][..], &[GROUP_SIZE_BYTES_MAX, 0], &[1]] {
            let group = queue.begin().unwrap();
            assert_eq!(group.changes, expected);
            queue.end(group, Vec::new());
        }
    }

    #[test]
    fn group_is_bounded_by_its_writes() {
        let mut queue = WriteQueue::default();
        let _waits: Vec<_> = (0..=GROUP_WRITES_MAX)
            .map(|change| queue.push(change, 0))
            .collect();
        let group = queue.begin().unwrap();
        assert_eq!(group.changes.len(), GROUP_WRITES_MAX);
        queue.end(group, Vec::new());
        assert_eq!(queue.begin().unwrap().changes, [GROUP_WRITES_MAX]);
    }
}
