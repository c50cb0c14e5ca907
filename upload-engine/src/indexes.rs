//! Which uploads are where, so that the next step is found without a search through all of them.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::ClientUploadId;

use crate::context::Context;
use crate::time::Timestamp;
use crate::upload::{Phase, Upload};

/// A place in the order of adding.
type Place = (u64, ClientUploadId);

/// Uploads by what they are doing. Small ones are those of a single part.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    next_place: u64,
    places: BTreeMap<ClientUploadId, u64>,
    order: BTreeSet<Place>,
    small: Lists,
    large: Lists,
    can_put: BTreeSet<ClientUploadId>,
    waiting_for_slot: BTreeSet<ClientUploadId>,
    may_stage: BTreeSet<Place>,
    /// Bytes neither on disk nor at the store, of those in `may_stage`.
    at_risk: BTreeMap<ClientUploadId, u64>,
    at_risk_bytes: u64,
    deadlines: BTreeSet<(Timestamp, ClientUploadId)>,
    deadline_of: BTreeMap<ClientUploadId, Timestamp>,
}

#[derive(Debug, Default)]
struct Lists {
    queued: BTreeSet<Place>,
    active: BTreeSet<ClientUploadId>,
}

impl Indexes {
    /// A new upload, last in the order.
    pub(crate) fn add(&mut self, id: ClientUploadId) {
        self.places.insert(id, self.next_place);
        self.order.insert((self.next_place, id));
        self.next_place += 1;
    }

    pub(crate) fn remove(&mut self, id: ClientUploadId) {
        self.leave(id);
        if let Some(place) = self.places.remove(&id) {
            self.order.remove(&(place, id));
        }
    }

    /// The upload has changed.
    pub(crate) fn update(&mut self, upload: &Upload, cx: &Context) {
        let id = upload.id;
        self.leave(id);
        let Some(&place) = self.places.get(&id) else {
            return;
        };
        let lists = if upload.parts.layout().is_single() {
            &mut self.small
        } else {
            &mut self.large
        };
        if upload.phase == Phase::Queued && !upload.paused {
            lists.queued.insert((place, id));
        }
        if upload.is_active() {
            lists.active.insert(id);
        }
        if upload.can_put() {
            self.can_put.insert(id);
        }
        if upload.waits_for_slot() {
            self.waiting_for_slot.insert(id);
        }
        if upload.could_stage() {
            self.may_stage.insert((place, id));
            self.at_risk.insert(id, upload.parts.at_risk_bytes());
            self.at_risk_bytes += upload.parts.at_risk_bytes();
        }
        if let Some(at) = upload.next_deadline(cx) {
            self.deadlines.insert((at, id));
            self.deadline_of.insert(id, at);
        }
    }

    /// All uploads in the order they were added.
    pub(crate) fn order(&self) -> impl Iterator<Item = ClientUploadId> + '_ {
        self.order.iter().map(|(_, id)| *id)
    }

    /// Uploads with a part that could be put on its way.
    pub(crate) fn can_put(&self) -> impl Iterator<Item = ClientUploadId> + '_ {
        self.can_put.iter().copied()
    }

    /// Uploads with bytes to stage, in the order they were added.
    pub(crate) fn may_stage(&self) -> impl Iterator<Item = ClientUploadId> + '_ {
        self.may_stage.iter().map(|(_, id)| *id)
    }

    /// Bytes that would have to be staged for everything to be safe.
    pub(crate) fn at_risk_bytes(&self) -> u64 {
        self.at_risk_bytes
    }

    /// Queued uploads that get the free ones of so many places.
    pub(crate) fn next_queued(&self, small: bool, places: usize) -> Vec<ClientUploadId> {
        let lists = if small { &self.small } else { &self.large };
        let free = places.saturating_sub(lists.active.len());
        lists.queued.iter().take(free).map(|(_, id)| *id).collect()
    }

    /// Small uploads at work.
    pub(crate) fn active_small(&self) -> usize {
        self.small.active.len()
    }

    /// Takes the uploads that wait for a free slot to ask for URLs.
    pub(crate) fn take_waiting_for_slot(&mut self) -> BTreeSet<ClientUploadId> {
        std::mem::take(&mut self.waiting_for_slot)
    }

    /// Takes the uploads whose deadline has come.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<ClientUploadId> {
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.remove(&(at, id));
            self.deadline_of.remove(&id);
            due.push(id);
        }
        due
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn leave(&mut self, id: ClientUploadId) {
        if let Some(&place) = self.places.get(&id) {
            self.may_stage.remove(&(place, id));
            for lists in [&mut self.small, &mut self.large] {
                lists.queued.remove(&(place, id));
                lists.active.remove(&id);
            }
        }
        self.at_risk_bytes -= self.at_risk.remove(&id).unwrap_or(0);
        self.can_put.remove(&id);
        self.waiting_for_slot.remove(&id);
        if let Some(at) = self.deadline_of.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
    }
}
