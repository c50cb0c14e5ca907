//! What must hold of the snapshots, of a new life, and in the end.

use std::collections::BTreeSet;

use upload_engine::{Durability, Replay, UploadSnapshot, UploadStatus};
use upload_protocol::ClientUploadId;

use super::Violation;
use super::person::PersonEvent;
use super::server::{Session, State};
use super::world::{Event, World};

/// Snapshots of an upload with many parts are looked at once in so many ms.
const LOOK_MS: u64 = 60_000;

/// One world in so many has its reports replayed.
const REPLAYED_ONE_IN: u64 = 8;

impl World {
    /// Looks at the snapshots that may have changed.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        let Some(engine) = &mut self.host.engine else {
            return Ok(());
        };
        let changed = engine.take_changed();
        self.oracle.to_look_at.extend(changed);
        let due: Vec<_> = self
            .oracle
            .to_look_at
            .iter()
            .copied()
            .filter(|upload| self.is_due(*upload))
            .collect();
        for upload in due {
            self.oracle.to_look_at.remove(&upload);
            self.look_at(upload)?;
        }
        Ok(())
    }

    /// A snapshot has a cell for each part: many parts are looked at now and then only.
    fn is_due(&self, upload: ClientUploadId) -> bool {
        let Some(record) = self.oracle.records.get(&upload) else {
            return true;
        };
        let small = record.file.size_bytes / self.options.part_size_bytes < 200;
        small || record.looked_at_ms.is_none_or(|at| self.now_ms >= at + LOOK_MS)
    }

    fn look_at(&mut self, upload: ClientUploadId) -> Result<(), Violation> {
        let now = self.host_now();
        let engine = self.host.engine.as_ref();
        let Some(snapshot) = engine.and_then(|engine| engine.snapshot(now, upload)) else {
            return Ok(());
        };
        self.check_snapshot(&snapshot)?;
        let now_ms = self.now_ms;
        self.oracle.with(upload, |record| {
            record.looked_at_ms = Some(now_ms);
            record.status = Some(snapshot.status);
            record.error = snapshot
                .error
                .as_ref()
                .map(|error| format!("{error:?}"))
                .unwrap_or_default();
        });
        self.react(upload, snapshot.status)
    }

    fn check_snapshot(&self, snapshot: &UploadSnapshot) -> Result<(), Violation> {
        let upload = snapshot.upload;
        let counts =
            snapshot.confirmed_bytes <= snapshot.sent_bytes && snapshot.sent_bytes <= snapshot.size_bytes;
        if !counts || snapshot.staged_bytes > snapshot.size_bytes {
            return self.violation("a snapshot's numbers fit each other", format!("{snapshot:?}"));
        }
        if (snapshot.status == UploadStatus::Waiting) != snapshot.waiting_for.is_some() {
            return self.violation("waiting names what it waits for", format!("{snapshot:?}"));
        }
        if (snapshot.status == UploadStatus::Failed) && snapshot.error.is_none() {
            return self.violation("a failure says why", format!("{snapshot:?}"));
        }
        if snapshot
            .error
            .as_ref()
            .is_some_and(|error| error.detail.contains("X-Amz-Signature"))
        {
            return self.violation("no signature is printed", format!("{snapshot:?}"));
        }
        if snapshot.status == UploadStatus::Completed && !self.is_object_whole(upload) {
            return self.violation(
                "completed is only said of an object that equals the file",
                format!("{upload}"),
            );
        }
        if snapshot.durability == Durability::Safe {
            return self.check_safe(upload);
        }
        Ok(())
    }

    /// `safe`, by looking at disk and store.
    fn check_safe(&self, upload: ClientUploadId) -> Result<(), Violation> {
        let Some(record) = self.oracle.records.get(&upload) else {
            return Ok(());
        };
        if record.rotted || record.lost_by_store || record.cancelled || self.is_object_whole(upload) {
            return Ok(());
        }
        let live = |session: &&Session| matches!(session.state, State::Open | State::Sealed(_));
        let session = self.sessions_of(upload).filter(live).last();
        let checkpoint = self.disk.checkpoints.get(&upload);
        let sealed = session.is_some_and(|session| matches!(session.state, State::Sealed(_)));
        let saved = checkpoint.map(|checkpoint| checkpoint.layout);
        let layout = session.map(|session| session.layout).or(saved);
        let Some(layout) = layout else {
            return self.violation(
                "`safe` is true",
                format!("{upload} has neither checkpoint nor session"),
            );
        };
        let held = session
            .map(|session| self.backend.held(session))
            .unwrap_or_default();
        let staged: BTreeSet<_> = self.disk.list(upload).iter().map(|staged| staged.part).collect();
        let lost = layout.parts().find(|part| {
            let stored = held.get(part.index() as usize).is_some_and(Option::is_some);
            let fits = saved.is_some_and(|saved| saved.range(*part) == layout.range(*part));
            !(stored || fits && staged.contains(part))
        });
        match lost {
            Some(part) => self.violation("`safe` is true", format!("part {part} of {upload} is nowhere")),
            None if checkpoint.is_none() && !sealed => self.violation(
                "`safe` is true",
                format!("{upload} has no checkpoint and isn't sealed"),
            ),
            None => Ok(()),
        }
    }

    /// The host starts again: what has asked for anything must still be known.
    pub(super) fn check_nothing_vanished(&mut self) -> Result<(), Violation> {
        let missing: Vec<_> = self
            .oracle
            .records
            .iter()
            .filter(|(upload, record)| !record.gone && !self.disk.checkpoints.contains_key(upload))
            .map(|(upload, record)| (*upload, record.clone()))
            .collect();
        for (upload, record) in missing {
            if record.requested && !record.forgotten && !record.save_failed {
                return self.violation("an upload that was begun survives its host", format!("{upload}"));
            }
            self.oracle.with(upload, |record| record.gone = true);
            let again = !record.forgotten && !record.cancelled && self.proving.is_none();
            if let Some(file) = record.plan.filter(|_| again) {
                self.after(1_000, Event::Person(PersonEvent::Pick { file, as_new: true }));
            }
        }
        Ok(())
    }

    /// Nothing will happen any more without a person who has walked away.
    pub(super) fn all_at_rest(&self) -> bool {
        let Some(engine) = &self.host.engine else {
            return false;
        };
        engine
            .snapshots(self.host_now())
            .iter()
            .all(|snapshot| match snapshot.status {
                // Said at once, but there is still something to clean up.
                UploadStatus::Completed | UploadStatus::Cancelled => !self.disk.holds(snapshot.upload),
                UploadStatus::NeedsFile => self.proving.is_some() || self.oracle.walks_away(snapshot.upload),
                UploadStatus::Paused | UploadStatus::Failed => self.proving.is_some(),
                _ => false,
            })
    }

    pub(super) fn describe_stuck(&self) -> String {
        let Some(engine) = &self.host.engine else {
            return "the host is dead".to_owned();
        };
        let stuck = engine
            .snapshots(self.host_now())
            .into_iter()
            .filter(|snapshot| !matches!(snapshot.status, UploadStatus::Completed | UploadStatus::Cancelled));
        let stuck: Vec<_> = stuck.map(|snapshot| format!("{snapshot:?}")).collect();
        format!(
            "{} outstanding {:?}, stuck: {}",
            self.host.outstanding.len(),
            self.host.outstanding.values().next(),
            stuck.join("; ")
        )
    }

    /// The engine's own report, replayed, does what the engine did, and holds nothing it must not. In
    /// some worlds only: it takes as long as the engine itself.
    pub(super) fn check_replay(&mut self) -> Result<(), Violation> {
        let Some(engine) = &self.host.engine else {
            return Ok(());
        };
        if !self.seed.is_multiple_of(REPLAYED_ONE_IN) || self.proving.is_some() {
            return Ok(());
        }
        let report = engine.recording().report();
        if report.records_dropped > 0 {
            return Ok(());
        }
        let stale_outcomes = engine.stale_outcomes();
        let replayed = Replay::of(&report).and_then(|mut replay| {
            while replay.step(|_| {})? {}
            Ok(replay)
        });
        match replayed {
            Ok(replay) if replay.agrees() && replay.engine().stale_outcomes() == stale_outcomes => {
                self.report.replays += 1;
                Ok(())
            }
            Ok(replay) => self.violation(
                "a replayed report does what the engine did",
                format!("it parted ways within {} inputs", replay.told()),
            ),
            Err(error) => self.violation("a report can be replayed", error.to_string()),
        }
    }

    /// What must hold when everything has come to its end.
    pub(super) fn check_end(&mut self) -> Result<(), Violation> {
        self.check_replay()?;
        self.backend.tick();
        let now = self.host_now();
        let Some(engine) = &self.host.engine else {
            return self.violation("the host lives in the end", "");
        };
        let snapshots = engine.snapshots(now);
        for snapshot in &snapshots {
            self.check_snapshot(snapshot)?;
            let upload = snapshot.upload;
            match snapshot.status {
                UploadStatus::Completed => self.report.completed += 1,
                UploadStatus::Cancelled => self.report.cancelled += 1,
                _ => {
                    self.report.needs_file += 1;
                    continue;
                }
            }
            if let Some(session) = self
                .sessions_of(upload)
                .find(|session| self.backend.is_orphan(session))
            {
                let detail = format!("{upload} is {:?}, left {session:?}", snapshot.status);
                return self.violation("nothing is left at the store of what has ended", detail);
            }
            if self.disk.holds(upload) {
                let detail = format!("{upload} is {:?}", snapshot.status);
                return self.violation("nothing is left on disk of what has ended", detail);
            }
        }
        let again = self.backend.store.stored_again;
        if again > self.oracle.unconfirmed_puts {
            return self.violation(
                "only parts without an answer are sent again",
                format!(
                    "{again} again, {} without an answer",
                    self.oracle.unconfirmed_puts
                ),
            );
        }
        Ok(())
    }
}
