//! The two cursors over the picked file: the front is hashed and sent, the tail is copied to disk, and
//! they meet.

use upload_protocol::{Crc64Nvme, PartNumber};

use crate::action::{Action, Event, Failure, SourceId};
use crate::context::Context;
use crate::part::{Local, Sent};
use crate::snapshot::UploadError;
use crate::time::Timestamp;
use crate::upload::{Pending, Phase, StageJob, Upload};

/// Parts of one upload that are read at the same time to be hashed: the second hides the way to the
/// reader and back.
const HASHES_MAX: usize = 2;

/// Between two looks whether a copy is worth while.
const STAGING_LOOK_MS: u64 = 500;

impl Upload {
    /// Front cursor: keeps a small stock of hashed parts ahead of what is in flight.
    pub(crate) fn drive_hashing(&mut self, cx: &mut Context) {
        let reads = matches!(self.phase, Phase::Preparing | Phase::Starting | Phase::Sending);
        let Some(source) = self
            .source
            .filter(|_| reads && !self.paused && self.verify.is_none())
        else {
            return;
        };
        let window = cx.window();
        while self.parts.ahead_count() < window && self.parts.hashing_count() < HASHES_MAX {
            let Some(&part) = self.parts.unread().first() else {
                return;
            };
            let range = self.parts.layout().range(part);
            let id = cx.act(
                self.id,
                Action::HashPart {
                    upload: self.id,
                    part,
                    range,
                    source,
                },
            );
            self.parts.update(part, |part| part.local = Local::Hashing);
            self.pending.insert(id, Pending::Hash(part));
        }
    }

    pub(crate) fn on_hashed(
        &mut self,
        cx: &mut Context,
        number: PartNumber,
        result: Result<Crc64Nvme, Failure>,
    ) {
        match result {
            Ok(crc) => {
                if self.contradicts(number, crc) {
                    return self.lose_source(cx, self.source, "its content changed");
                }
                self.parts.update(number, |part| {
                    part.crc = Some(crc);
                    part.local = Local::Hashed;
                });
            }
            Err(failure) => {
                self.parts.update(number, |part| part.local = Local::Unread);
                self.lose_source(cx, self.source, &failure.to_string());
            }
        }
    }

    /// Tail cursor: copies one more part to disk, if that is worth while. `false` when there is none.
    pub(crate) fn stage_next(&mut self, cx: &mut Context) -> bool {
        let Some((source, part)) = self.source.zip(self.next_to_stage(cx)) else {
            return false;
        };
        let layout = *self.parts.layout();
        let range = layout.range(part);
        let id = cx.act(
            self.id,
            Action::StagePart {
                upload: self.id,
                part,
                range,
                source,
            },
        );
        cx.stages.begin(range.size_bytes());
        cx.room.begin(range.size_bytes());
        self.parts.update(part, |part| part.local = Local::Staging);
        let job = StageJob {
            part,
            layout,
            source,
            started_at: cx.now,
        };
        self.pending.insert(id, Pending::Stage(job));
        true
    }

    fn next_to_stage(&self, cx: &Context) -> Option<PartNumber> {
        // No part is larger than this one, and none that is staged is a good deal smaller.
        let size_bytes = self.parts.layout().range(PartNumber::FIRST).size_bytes();
        if !self.may_stage(cx) || self.sent_sooner_than_staged(cx) || !cx.room.has(size_bytes) {
            return None;
        }
        // With slots free, what is hashed leaves in a moment: a copy of it would come too late.
        let held_up =
            cx.free_slots() == 0 || self.paused || self.signing.is_failing() || self.session.is_none();
        let waiting = |part: &&PartNumber| !matches!(self.parts.get(**part).sent, Sent::InFlight(_));
        // A new copy has the name of the old one, which is being deleted.
        let free = |part: &&PartNumber| !self.is_being_freed(**part);
        let unread = self.parts.unread().iter().rev().find(free);
        let hashed = || {
            held_up
                .then(|| self.parts.hashed().iter().rev().filter(free).find(waiting))
                .flatten()
        };
        let slow = || {
            let hashed = self.parts.hashed().iter().rev().filter(free);
            hashed.into_iter().find(|part| self.is_slow(cx, **part))
        };
        let next = unread.or_else(hashed).or_else(slow).copied();
        // The last part may be small where the others are not: it takes its turn in its own lane.
        next.filter(|part| cx.stages.is_free(self.parts.layout().range(*part).size_bytes()))
    }

    /// The host has looked how much room there is: what was full may not be any more.
    pub(crate) fn on_room(&mut self, cx: &mut Context) {
        let size_bytes = self.parts.layout().range(PartNumber::FIRST).size_bytes();
        self.staging_blocked &= !cx.room.has(size_bytes);
    }

    fn is_being_freed(&self, number: PartNumber) -> bool {
        self.pending
            .values()
            .any(|pending| matches!(pending, Pending::Free { part, .. } if *part == number))
    }

    fn may_stage(&self, cx: &Context) -> bool {
        self.could_stage() && cx.staging_available
    }

    /// Has bytes that could be copied to disk, as far as it depends on this upload.
    pub(crate) fn could_stage(&self) -> bool {
        let stages = matches!(self.phase, Phase::Starting | Phase::Sending) && self.verify.is_none();
        // The front has priority: not before the first part is on its way to be sent, unless the server
        // doesn't answer.
        let begun = self.session.is_some() || self.control.is_failing();
        let has_bytes = self.source.is_some() && self.parts.any_at_risk();
        stages && begun && has_bytes && !self.staging_blocked && self.resumable
    }

    /// When to look again whether a copy is worth while: that depends on speeds, and those change
    /// without an input.
    pub(crate) fn next_staging_look(&self, cx: &Context) -> Option<Timestamp> {
        let staging = self
            .pending
            .values()
            .any(|pending| matches!(pending, Pending::Stage(_)));
        let looks = !staging && self.may_stage(cx);
        looks.then(|| cx.now + STAGING_LOOK_MS)
    }

    /// What remains would be at the store before what is at risk would be on disk.
    fn sent_sooner_than_staged(&self, cx: &Context) -> bool {
        let stage_rate = cx.stage_rate.bytes_per_second();
        let Some(send_rate) = cx
            .send_rate
            .settled_bytes_per_second(cx.now)
            .filter(|_| !self.paused)
        else {
            return false;
        };
        if stage_rate == 0 {
            return false;
        }
        let remaining = self.file.size_bytes - self.parts.confirmed_bytes() - self.parts.in_flight_bytes();
        u128::from(remaining) * u128::from(stage_rate)
            < u128::from(self.parts.at_risk_bytes()) * u128::from(send_rate)
    }

    /// In flight for so long that it will be at risk for longer. Its age tells, not the bytes it has
    /// sent: the first megabytes of every part only fill buffers on the way.
    fn is_slow(&self, cx: &Context, number: PartNumber) -> bool {
        match &self.parts.get(number).sent {
            Sent::InFlight(attempt) => cx.now.millis_since(attempt.started_at) >= cx.config.at_risk_ms_max,
            _ => false,
        }
    }

    pub(crate) fn on_staged(&mut self, cx: &mut Context, job: StageJob, result: Result<Crc64Nvme, Failure>) {
        let StageJob {
            part: number,
            layout,
            source,
            started_at,
        } = job;
        let size_bytes = layout.range(number).size_bytes();
        cx.stages.end(size_bytes);
        cx.room.end(size_bytes, result.is_ok());
        let current = layout == *self.parts.layout();
        match result {
            Ok(crc) if !current => self.free_stale(cx, number, crc),
            Ok(crc) if self.contradicts(number, crc) => {
                self.unstage(number);
                self.free_stale(cx, number, crc);
                self.lose_source(cx, Some(source), "its content changed");
            }
            Ok(crc) => {
                cx.stage_rate.add(size_bytes, cx.now.millis_since(started_at));
                self.parts.update(number, |part| {
                    part.crc = Some(crc);
                    part.local = Local::Staged;
                });
                let confirmed = self.parts.get(number).sent == Sent::Confirmed;
                if confirmed && self.is_short_of_room(cx) {
                    self.free_if_staged(cx, number);
                }
            }
            Err(failure) => {
                if current {
                    self.unstage(number);
                }
                self.on_stage_failed(cx, source, &failure);
            }
        }
    }

    fn on_stage_failed(&mut self, cx: &mut Context, source: SourceId, failure: &Failure) {
        match failure {
            Failure::SourceUnreadable { detail } => self.lose_source(cx, Some(source), detail),
            Failure::QuotaExceeded => {
                self.quota_tight = true;
                self.staging_blocked = true;
                for (number, _) in self.parts.staged() {
                    if self.parts.get(number).sent == Sent::Confirmed {
                        self.free_if_staged(cx, number);
                    }
                }
            }
            _ => self.staging_blocked = true,
        }
    }

    /// What is still only in files will not find room beside what is on disk: copies make way as soon
    /// as the store has their bytes.
    pub(crate) fn is_short_of_room(&self, cx: &Context) -> bool {
        self.quota_tight || !cx.room.has(cx.at_risk_bytes)
    }

    /// A copy that did not come about.
    fn unstage(&mut self, number: PartNumber) {
        let readable = self.source.is_some();
        self.parts.update(number, |part| {
            part.local = match part.crc {
                Some(_) if readable => Local::Hashed,
                _ => Local::Unread,
            };
        });
    }

    pub(crate) fn free_if_staged(&mut self, cx: &mut Context, number: PartNumber) {
        let part = self.parts.get(number);
        if let (Local::Staged, Some(crc)) = (part.local, part.crc) {
            self.unstage(number);
            self.free(cx, number, crc);
        }
    }

    pub(crate) fn free(&mut self, cx: &mut Context, part: PartNumber, crc: Crc64Nvme) {
        self.delete(cx, part, crc, false);
    }

    /// Deletes a part that is not of this layout or not of this file.
    pub(crate) fn free_stale(&mut self, cx: &mut Context, part: PartNumber, crc: Crc64Nvme) {
        self.delete(cx, part, crc, true);
    }

    fn delete(&mut self, cx: &mut Context, part: PartNumber, crc: Crc64Nvme, stale: bool) {
        let id = cx.act(
            self.id,
            Action::FreePart {
                upload: self.id,
                part,
                crc,
            },
        );
        let size_bytes = self.parts.layout().range(part).size_bytes();
        self.pending.insert(
            id,
            Pending::Free {
                part,
                stale,
                size_bytes,
            },
        );
    }

    /// A staged copy is gone or rotten: back to the picked file, or to the person.
    pub(crate) fn lose_staged(&mut self, cx: &mut Context, number: PartNumber) {
        let part = self.parts.get(number);
        let crc = part.crc.filter(|_| part.local == Local::Staged);
        self.parts.update(number, |part| part.local = Local::Unread);
        if let Some(crc) = crc {
            self.free(cx, number, crc);
        }
    }

    /// The picked file can't be read any more or has changed. What is on disk or at the store stays
    /// good; for the rest the person is asked.
    ///
    /// `lost` is the file that failed: one that was replaced meanwhile changes nothing.
    pub(crate) fn lose_source(&mut self, cx: &mut Context, lost: Option<SourceId>, detail: &str) {
        let Some(source) = self.source.take_if(|source| lost == Some(*source)) else {
            return;
        };
        for (id, pending) in self.pending.clone() {
            if let Pending::Hash(_) = pending {
                self.stop(cx, id);
            }
        }
        self.parts.forget_source();
        cx.tell(Event::SourceReleased(source));
        if self.parts.any_at_risk() {
            let detail = format!("`{}` changed or can't be read any more: {detail}", self.file.name);
            self.error = Some(UploadError::new("source_changed", detail));
        }
    }

    /// The part was read before with another checksum.
    fn contradicts(&self, number: PartNumber, crc: Crc64Nvme) -> bool {
        self.parts.get(number).crc.is_some_and(|known| known != crc)
    }
}
