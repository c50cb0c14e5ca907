//! When pages are told what: at most ten times a second, but at once when an upload appears, ends, or
//! changes status or durability. Pure.

use std::collections::{BTreeSet, HashMap, VecDeque};

use upload_engine::{Durability, UploadStatus};
use upload_protocol::ClientUploadId;

/// Shortest time between two messages, in ms.
const INTERVAL_MS: f64 = 100.0;

/// Most messages in the time of [`INTERVAL_MS`].
const URGENT_MAX: usize = 6;

/// Most uploads of which a change is told at once.
const URGENT_UPLOADS_MAX: usize = 8;

/// What a person must see at once.
pub(super) type Headline = (UploadStatus, Durability);

/// Collects changes until they are told.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    told: HashMap<ClientUploadId, Headline>,
    added: HashMap<ClientUploadId, u64>,
    changed: BTreeSet<ClientUploadId>,
    told_at_ms: Option<f64>,
    /// When the last urgent messages were told, the oldest first.
    urgent_at_ms: VecDeque<f64>,
}

/// Uploads to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Listed ones, in order of adding.
    pub(super) uploads: Vec<ClientUploadId>,
    /// No longer listed.
    pub(super) removed: Vec<ClientUploadId>,
}

impl Publisher {
    /// An upload was added: uploads are told in this order.
    pub(super) fn on_added(&mut self, upload: ClientUploadId) {
        let next = self.added.len() as u64;
        self.added.entry(upload).or_insert(next);
    }

    /// An upload may have changed.
    pub(super) fn on_changed(&mut self, upload: ClientUploadId) {
        self.changed.insert(upload);
    }

    /// Uploads that may have changed since they were last told.
    pub(super) fn changed(&self) -> impl Iterator<Item = ClientUploadId> {
        self.changed.iter().copied()
    }

    /// Whether something may be told at once now. Of very many small files each changes status several
    /// times in a moment: they are told a tenth of a second's worth together.
    pub(super) fn may_be_urgent(&self, now_ms: f64) -> bool {
        if self.changed.len() > URGENT_UPLOADS_MAX {
            return false;
        }
        let recent = self
            .urgent_at_ms
            .front()
            .is_some_and(|first| now_ms - first < INTERVAL_MS);
        self.urgent_at_ms.len() < URGENT_MAX || !recent
    }

    /// Whether the upload must be told at once. `headline` is `None` when it is no longer listed.
    pub(super) fn is_urgent(&self, upload: ClientUploadId, headline: Option<Headline>) -> bool {
        self.told.get(&upload).copied() != headline
    }

    /// In how many ms the changes are to be told; `None` when there are none.
    pub(super) fn due_in_ms(&self, now_ms: f64) -> Option<f64> {
        if self.changed.is_empty() {
            return None;
        }
        let since_last = self.told_at_ms.map_or(INTERVAL_MS, |told| now_ms - told);
        Some((INTERVAL_MS - since_last).max(0.0))
    }

    /// Takes what is to be told now. `headline` answers `None` for what is no longer listed.
    pub(super) fn take(
        &mut self,
        now_ms: f64,
        headline: impl Fn(ClientUploadId) -> Option<Headline>,
    ) -> Changes {
        if self.urgent_at_ms.len() >= URGENT_MAX {
            self.urgent_at_ms.pop_front();
        }
        self.urgent_at_ms.push_back(now_ms);
        self.told_at_ms = Some(now_ms);
        let mut changes = Changes::default();
        for upload in std::mem::take(&mut self.changed) {
            if let Some(headline) = headline(upload) {
                self.told.insert(upload, headline);
                changes.uploads.push(upload);
            } else {
                self.added.remove(&upload);
                if self.told.remove(&upload).is_some() {
                    changes.removed.push(upload);
                }
            }
        }
        changes
            .uploads
            .sort_by_key(|upload| self.added.get(upload).copied().unwrap_or(u64::MAX));
        changes
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> ClientUploadId {
        ClientUploadId::new(Uuid::from_u128(number))
    }

    const UPLOADING: Headline = (UploadStatus::Uploading, Durability::Memory);

    #[test]
    fn progress_waits_until_a_tenth_of_a_second_has_passed() {
        let mut publisher = Publisher::default();
        publisher.on_changed(id(1));
        assert_eq!(publisher.due_in_ms(5.0), Some(0.0));
        publisher.take(5.0, |_| Some(UPLOADING));
        assert_eq!(publisher.due_in_ms(6.0), None);
        publisher.on_changed(id(1));
        assert_eq!(publisher.due_in_ms(45.0), Some(60.0));
        assert_eq!(publisher.due_in_ms(500.0), Some(0.0));
    }

    #[test]
    fn new_upload_and_new_durability_are_urgent_and_progress_is_not() {
        let mut publisher = Publisher::default();
        publisher.on_changed(id(1));
        assert!(publisher.is_urgent(id(1), Some(UPLOADING)));
        publisher.take(0.0, |_| Some(UPLOADING));
        assert!(!publisher.is_urgent(id(1), Some(UPLOADING)));
        assert!(publisher.is_urgent(id(1), Some((UploadStatus::Uploading, Durability::Safe))));
        assert!(publisher.is_urgent(id(1), None));
    }

    #[test]
    fn burst_of_urgent_changes_is_told_together() {
        let mut publisher = Publisher::default();
        for _ in 0..URGENT_MAX {
            assert!(publisher.may_be_urgent(0.0));
            publisher.take(0.0, |_| None);
        }
        assert!(!publisher.may_be_urgent(INTERVAL_MS - 1.0));
        assert!(publisher.may_be_urgent(INTERVAL_MS));
    }

    #[test]
    fn changes_of_many_uploads_wait_to_be_told_together() {
        let mut publisher = Publisher::default();
        for number in 0..URGENT_UPLOADS_MAX as u128 {
            publisher.on_changed(id(number));
        }
        assert!(publisher.may_be_urgent(0.0));
        publisher.on_changed(id(99));
        assert!(!publisher.may_be_urgent(0.0));
        assert_eq!(publisher.due_in_ms(0.0), Some(0.0));
    }

    #[test]
    fn uploads_are_told_in_order_of_adding() {
        let mut publisher = Publisher::default();
        for number in [3, 1, 2] {
            publisher.on_added(id(number));
            publisher.on_changed(id(number));
        }
        let changes = publisher.take(0.0, |_| Some(UPLOADING));
        assert_eq!(changes.uploads, [id(3), id(1), id(2)]);
    }

    #[test]
    fn upload_that_was_never_told_is_not_told_removed() {
        let mut publisher = Publisher::default();
        publisher.on_changed(id(1));
        assert_eq!(publisher.take(0.0, |_| None), Changes::default());
        publisher.on_changed(id(2));
        publisher.take(0.0, |_| Some(UPLOADING));
        publisher.on_changed(id(2));
        assert_eq!(publisher.take(0.0, |_| None).removed, [id(2)]);
    }
}
