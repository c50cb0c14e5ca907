//! The parts of one upload: where each one's bytes are, how far it is sent, and what can be done next.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::{Crc64Nvme, Crc64NvmeCombiner, PartLayout, PartNumber, PresignedUrl, SignedHeader};

use crate::action::ActionId;
use crate::time::Timestamp;

/// Where a part's bytes are, beside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// In the picked file, if there is one. The checksum may be known all the same, from the store or
    /// from an earlier reading: then the next reading must give the same.
    Unread,
    /// Being read to be hashed.
    Hashing,
    /// Being copied to disk, hashed on the way (or again).
    Staging,
    /// In the picked file, checksum known.
    Hashed,
    /// On disk, checksum known.
    Staged,
}

/// How far a part is on its way to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Not begun, or given back by a failed attempt.
    Idle,
    /// A URL was asked for.
    Signing,
    /// A URL is at hand.
    Signed(Box<SignedUrl>),
    /// Under way.
    InFlight(InFlight),
    /// The store has it.
    Confirmed,
}

/// A URL at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedUrl {
    pub(crate) url: PresignedUrl,
    pub(crate) headers: Vec<SignedHeader>,
    /// Not used any more from then on.
    pub(crate) usable_until: Timestamp,
    /// Refused by the store from then on.
    pub(crate) expires_at: Timestamp,
}

/// An attempt under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) action: ActionId,
    pub(crate) started_at: Timestamp,
    pub(crate) sent_bytes: u64,
    pub(crate) progress_at: Timestamp,
    pub(crate) url_expires_at: Timestamp,
}

/// One part. Fields that the indexes depend on change through [`PartTable::update`] only.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) crc: Option<Crc64Nvme>,
    pub(crate) local: Local,
    pub(crate) sent: Sent,
    /// With `Idle`: not before then.
    pub(crate) not_before: Option<Timestamp>,
    /// Attempts that failed since the last success, for the back-off.
    pub(crate) failures: u32,
    /// How often the store refused for a reason that waiting alone won't mend.
    pub(crate) refusals: u32,
    /// How often the store refused its checksum since it was last read anew.
    pub(crate) checksum_refusals: u32,
    /// It has had its free fresh URL since the server was last asked.
    pub(crate) fresh_url_used: bool,
}

impl Part {
    const NEW: Self = Self {
        crc: None,
        local: Local::Unread,
        sent: Sent::Idle,
        not_before: None,
        failures: 0,
        refusals: 0,
        checksum_refusals: 0,
        fresh_url_used: false,
    };

    /// It was sent before and did not arrive.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0 || self.fresh_url_used
    }

    fn is_confirmed(&self) -> bool {
        matches!(self.sent, Sent::Confirmed)
    }

    /// Its checksum is known and its bytes are somewhere they can be read.
    fn is_readable(&self) -> bool {
        self.crc.is_some() && matches!(self.local, Local::Hashed | Local::Staging | Local::Staged)
    }
}

/// All parts of an upload, with indexes so that the next step is found without a search.
#[derive(Debug)]
pub(crate) struct PartTable {
    layout: PartLayout,
    parts: Vec<Part>,
    unread: BTreeSet<PartNumber>,
    hashed: BTreeSet<PartNumber>,
    to_sign: BTreeSet<PartNumber>,
    signed: BTreeSet<PartNumber>,
    in_flight: BTreeSet<PartNumber>,
    delayed: BTreeSet<(Timestamp, PartNumber)>,
    hashing_count: usize,
    signing_count: usize,
    crc_count: u32,
    confirmed_count: u32,
    confirmed_bytes: u64,
    staged_bytes: u64,
    at_risk_bytes: u64,
    at_risk_count: u32,
}

impl PartTable {
    /// All parts unread, nothing sent.
    pub(crate) fn new(layout: PartLayout) -> Self {
        Self {
            layout,
            parts: vec![Part::NEW; layout.part_count() as usize],
            unread: layout.parts().collect(),
            hashed: BTreeSet::new(),
            to_sign: BTreeSet::new(),
            signed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            delayed: BTreeSet::new(),
            hashing_count: 0,
            signing_count: 0,
            crc_count: 0,
            confirmed_count: 0,
            confirmed_bytes: 0,
            staged_bytes: 0,
            at_risk_bytes: layout.size_bytes(),
            at_risk_count: layout.part_count(),
        }
    }

    pub(crate) fn get(&self, part: PartNumber) -> &Part {
        &self.parts[part.index() as usize]
    }

    /// Changes a part and keeps the indexes true.
    pub(crate) fn update(&mut self, number: PartNumber, change: impl FnOnce(&mut Part)) {
        self.index(number, false);
        change(&mut self.parts[number.index() as usize]);
        self.index(number, true);
    }

    fn index(&mut self, number: PartNumber, add: bool) {
        fn put<T: Ord>(set: &mut BTreeSet<T>, value: T, add: bool) {
            if add {
                set.insert(value);
            } else {
                set.remove(&value);
            }
        }
        fn count<T: std::ops::AddAssign + std::ops::SubAssign>(total: &mut T, by: T, add: bool) {
            if add {
                *total += by;
            } else {
                *total -= by;
            }
        }
        let part = &self.parts[number.index() as usize];
        let size_bytes = self.layout.range(number).size_bytes();
        let confirmed = part.is_confirmed();
        match part.local {
            Local::Unread if !confirmed => put(&mut self.unread, number, add),
            Local::Hashed if !confirmed => put(&mut self.hashed, number, add),
            Local::Hashing => count(&mut self.hashing_count, 1, add),
            Local::Staged => count(&mut self.staged_bytes, size_bytes, add),
            _ => {}
        }
        match &part.sent {
            Sent::Idle if part.is_readable() => match part.not_before {
                Some(at) => put(&mut self.delayed, (at, number), add),
                None => put(&mut self.to_sign, number, add),
            },
            Sent::Signing => count(&mut self.signing_count, 1, add),
            Sent::Signed(_) if part.is_readable() => put(&mut self.signed, number, add),
            Sent::InFlight(_) => put(&mut self.in_flight, number, add),
            Sent::Confirmed => {
                count(&mut self.confirmed_count, 1, add);
                count(&mut self.confirmed_bytes, size_bytes, add);
            }
            _ => {}
        }
        if part.crc.is_some() {
            count(&mut self.crc_count, 1, add);
        }
        if !confirmed && part.local != Local::Staged {
            count(&mut self.at_risk_count, 1, add);
            count(&mut self.at_risk_bytes, size_bytes, add);
        }
    }

    /// Parts whose back-off has ended can be signed again.
    pub(crate) fn release_due(&mut self, now: Timestamp) {
        while let Some(&(at, number)) = self.delayed.first()
            && at <= now
        {
            self.update(number, |part| part.not_before = None);
        }
    }

    /// Ends every back-off.
    pub(crate) fn release_all(&mut self) {
        while let Some(&(_, number)) = self.delayed.first() {
            self.update(number, |part| part.not_before = None);
        }
    }

    /// Gives back every URL that can't be used any more at `now`.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        while let Some(&number) = self.signed.iter().find(|number| match &self.get(**number).sent {
            Sent::Signed(url) => url.usable_until <= now,
            _ => false,
        }) {
            self.update(number, |part| part.sent = Sent::Idle);
        }
    }

    /// Gives back every URL at hand.
    pub(crate) fn drop_signed(&mut self) {
        for number in self.layout.parts() {
            if matches!(self.get(number).sent, Sent::Signed(_)) {
                self.update(number, |part| part.sent = Sent::Idle);
            }
        }
    }

    /// The parts of the picked file that were only in it are unread now: the file is gone.
    pub(crate) fn forget_source(&mut self) {
        for number in self.layout.parts() {
            if matches!(self.get(number).local, Local::Hashing | Local::Hashed) {
                self.update(number, |part| {
                    part.local = Local::Unread;
                    if matches!(part.sent, Sent::Signed(_)) {
                        part.sent = Sent::Idle;
                    }
                });
            }
        }
    }

    /// Nothing is at the store any more; what is at hand stays.
    pub(crate) fn forget_sent(&mut self) {
        for number in self.layout.parts() {
            self.update(number, |part| {
                *part = Part {
                    crc: part.crc,
                    local: part.local,
                    ..Part::NEW
                };
            });
        }
    }

    /// Another layout that cuts the file in the same way.
    pub(crate) fn rename_layout(&mut self, layout: PartLayout) {
        debug_assert_eq!(layout.part_count(), self.layout.part_count());
        self.layout = layout;
    }

    /// The whole file's checksum, once every part's is known.
    pub(crate) fn combined_crc(&self) -> Option<Crc64Nvme> {
        let mut combiner = Crc64NvmeCombiner::default();
        for number in self.layout.parts() {
            combiner.append(self.get(number).crc?, self.layout.range(number).size_bytes());
        }
        Some(combiner.crc())
    }

    pub(crate) fn layout(&self) -> &PartLayout {
        &self.layout
    }

    /// Unconfirmed parts whose bytes are only in the picked file and have not been read.
    pub(crate) fn unread(&self) -> &BTreeSet<PartNumber> {
        &self.unread
    }

    /// Unconfirmed parts that are hashed but not on disk.
    pub(crate) fn hashed(&self) -> &BTreeSet<PartNumber> {
        &self.hashed
    }

    pub(crate) fn to_sign(&self) -> &BTreeSet<PartNumber> {
        &self.to_sign
    }

    pub(crate) fn signed(&self) -> &BTreeSet<PartNumber> {
        &self.signed
    }

    pub(crate) fn in_flight(&self) -> &BTreeSet<PartNumber> {
        &self.in_flight
    }

    pub(crate) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    pub(crate) fn next_release(&self) -> Option<Timestamp> {
        self.delayed.first().map(|(at, _)| *at)
    }

    pub(crate) fn hashing_count(&self) -> usize {
        self.hashing_count
    }

    /// Parts on their way from hashed to in flight.
    pub(crate) fn ahead_count(&self) -> usize {
        self.hashing_count + self.to_sign.len() + self.signing_count + self.signed.len()
    }

    pub(crate) fn all_hashed(&self) -> bool {
        self.crc_count == self.layout.part_count()
    }

    pub(crate) fn all_confirmed(&self) -> bool {
        self.confirmed_count == self.layout.part_count()
    }

    pub(crate) fn any_confirmed(&self) -> bool {
        self.confirmed_count > 0
    }

    pub(crate) fn confirmed_bytes(&self) -> u64 {
        self.confirmed_bytes
    }

    pub(crate) fn staged_bytes(&self) -> u64 {
        self.staged_bytes
    }

    /// Bytes neither on disk nor at the store.
    pub(crate) fn at_risk_bytes(&self) -> u64 {
        self.at_risk_bytes
    }

    /// Whether a part is neither on disk nor at the store. An empty part counts.
    pub(crate) fn any_at_risk(&self) -> bool {
        self.at_risk_count > 0
    }

    /// Bytes of parts in flight that have left.
    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.attempts().map(|(_, attempt)| attempt.sent_bytes).sum()
    }

    /// Attempts under way.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (PartNumber, &InFlight)> {
        self.in_flight
            .iter()
            .filter_map(|number| match &self.get(*number).sent {
                Sent::InFlight(attempt) => Some((*number, attempt)),
                _ => None,
            })
    }

    /// Parts that can be compared with a file: their checksum is known.
    pub(crate) fn comparable(&self) -> Vec<PartNumber> {
        self.layout
            .parts()
            .filter(|number| self.get(*number).crc.is_some())
            .collect()
    }

    /// Checksums of staged parts, by number.
    pub(crate) fn staged(&self) -> BTreeMap<PartNumber, Crc64Nvme> {
        self.layout
            .parts()
            .filter(|number| self.get(*number).local == Local::Staged)
            .filter_map(|number| Some((number, self.get(number).crc?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    use upload_protocol::limits::{MIB, PART_COUNT_MAX};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn table(part_count: u64) -> PartTable {
        PartTable::new(PartLayout::choose(part_count * 8 * MIB, None, PART_COUNT_MAX).unwrap())
    }

    #[test]
    fn empty_file_is_at_risk_until_its_one_part_is_confirmed() {
        let mut parts = table(0);
        assert!(parts.any_at_risk());
        parts.update(PartNumber::FIRST, |part| part.sent = Sent::Confirmed);
        assert!(!parts.any_at_risk() && parts.all_confirmed());
    }

    #[test]
    fn delayed_part_comes_back_when_its_time_has_come() {
        let mut parts = table(1);
        parts.update(PartNumber::FIRST, |part| {
            part.crc = Some(Crc64Nvme(1));
            part.local = Local::Hashed;
            part.not_before = Some(Timestamp::from_millis(5));
        });
        parts.release_due(Timestamp::from_millis(4));
        assert!(parts.to_sign().is_empty());
        parts.release_due(Timestamp::from_millis(5));
        assert_eq!(parts.to_sign().len(), 1);
    }

    #[test]
    fn release_all_ends_every_back_off_and_keeps_the_indexes_true() {
        let mut parts = table(3);
        for number in parts.layout.parts() {
            parts.update(number, |part| {
                part.crc = Some(Crc64Nvme(1));
                part.local = Local::Hashed;
                part.not_before = Some(Timestamp::from_millis(5));
            });
        }
        let at_risk = parts.at_risk_bytes();
        parts.release_all();
        assert_eq!((parts.to_sign().len(), parts.has_delayed()), (3, false));
        check_indexes(&parts);
        assert_eq!(parts.at_risk_bytes(), at_risk);
    }

    /// The indexes must be what a search would find.
    fn check_indexes(parts: &PartTable) {
        let mut fresh = PartTable::new(parts.layout);
        for number in parts.layout.parts() {
            let part = parts.get(number).clone();
            fresh.update(number, |slot| *slot = part);
        }
        assert_eq!(format!("{parts:?}"), format!("{fresh:?}"));
    }

    // Its generator needs the randomness of an operating system.
    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn indexes_stay_true_under_any_updates(steps in proptest::collection::vec((0u32..4, 0u8..9, 0u64..3), 1..80)) {
            let mut parts = table(4);
            for (index, change, at) in steps {
                parts.update(PartNumber::from_index(index), |part| match change {
                    0 => part.local = Local::Hashing,
                    1 => { part.local = Local::Hashed; part.crc = Some(Crc64Nvme(at)); }
                    2 => { part.local = Local::Staged; part.crc = Some(Crc64Nvme(at)); }
                    3 => part.sent = Sent::Signing,
                    4 => part.sent = Sent::Confirmed,
                    5 => part.sent = Sent::Idle,
                    6 => part.not_before = Some(Timestamp::from_millis(at)),
                    7 => part.local = Local::Staging,
                    _ => part.local = Local::Unread,
                });
                match at {
                    0 => parts.release_due(Timestamp::from_millis(1)),
                    1 => parts.release_all(),
                    _ => {}
                }
                check_indexes(&parts);
            }
        }
    }
}
