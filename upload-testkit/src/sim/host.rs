//! The host: carries out actions, dies, and starts again from disk.

use std::collections::BTreeMap;

use upload_engine::{
    Action, ActionId, Command, Engine, EngineConfig, Failure, Input, Outcome, Output, PartBytes, SourceId,
};
use upload_protocol::{ClientUploadId, PartNumber};

use super::Violation;
use super::content::{Bytes, Content};
use super::disk::DiskOp;
use super::network::Request;
use super::world::{Event, World};

/// An action that was handed out and not answered yet.
#[derive(Debug, Clone)]
pub(super) struct Outstanding {
    pub(super) kind: Kind,
    /// By the host's clock.
    pub(super) since_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Disk,
    Save(ClientUploadId),
    Call,
    Put {
        upload: ClientUploadId,
        part: PartNumber,
    },
}

/// A file that the host can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) content: Content,
    pub(super) readable: bool,
}

pub(super) struct Host {
    pub(super) engine: Option<Engine>,
    pub(super) incarnation: u32,
    pub(super) outstanding: BTreeMap<ActionId, Outstanding>,
    pub(super) sources: BTreeMap<SourceId, Source>,
    /// Its monotonic clock stood still for so long while the machine slept.
    pub(super) slept_ms: u64,
    pub(super) staging: bool,
    pub(super) knows_room: bool,
}

impl Host {
    pub(super) fn start(config: &EngineConfig, seed: u64, incarnation: u32) -> Self {
        Self {
            engine: Some(Engine::new(config.clone(), seed)),
            ..Self::dead(incarnation)
        }
    }

    pub(super) fn dead(incarnation: u32) -> Self {
        Self {
            engine: None,
            incarnation,
            outstanding: BTreeMap::new(),
            sources: BTreeMap::new(),
            slept_ms: 0,
            staging: true,
            knows_room: false,
        }
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let deadline = self.engine.as_ref()?.next_deadline()?;
        Some(deadline.as_millis() + self.slept_ms)
    }
}

/// Speed of reading and of writing to disk, in bytes a ms.
const DISK_BYTES_PER_MS: u64 = 200 * 1024;

impl World {
    /// Does what the engine says.
    pub(super) fn execute(&mut self, output: Output) -> Result<(), Violation> {
        match output {
            Output::Event(event) => self.on_event(event),
            Output::Action(id, action) => {
                self.act(id, action);
                Ok(())
            }
        }
    }

    fn act(&mut self, id: ActionId, action: Action) {
        let kind = match &action {
            Action::Cancel(other) => return self.stop(*other),
            Action::HashPart { .. } => Kind::Read,
            Action::SaveCheckpoint { checkpoint } => Kind::Save(checkpoint.client_upload_id),
            Action::StagePart { .. } | Action::FreePart { .. } | Action::Forget { .. } => Kind::Disk,
            Action::Start { .. }
            | Action::StartMany { .. }
            | Action::CompleteMany { .. }
            | Action::Call { .. } => Kind::Call,
            Action::PutPart { upload, part, .. } => Kind::Put {
                upload: *upload,
                part: *part,
            },
        };
        let since_ms = self.host_now().as_millis();
        self.host.outstanding.insert(id, Outstanding { kind, since_ms });
        match action {
            Action::HashPart { range, source, .. } => {
                let bytes = self.read(source, range);
                let delay_ms = 1 + range.size_bytes() / (4 * DISK_BYTES_PER_MS) + self.rng.u64(..5);
                let outcome = bytes.map_or_else(Outcome::Failed, |bytes| Outcome::Hashed(bytes.crc()));
                self.answer_after(delay_ms, id, outcome);
            }
            Action::StagePart {
                upload,
                part,
                range,
                source,
            } => {
                let delay_ms = 2 + range.size_bytes() / DISK_BYTES_PER_MS + self.rng.u64(..20);
                match self.read(source, range) {
                    Ok(bytes) => self.disk_after(delay_ms, id, DiskOp::Stage(upload, part, bytes)),
                    Err(failure) => self.answer_after(delay_ms, id, Outcome::Failed(failure)),
                }
            }
            Action::FreePart { upload, part, crc } => {
                let delay_ms = 1 + self.rng.u64(..30);
                self.disk_after(delay_ms, id, DiskOp::Free(upload, part, crc));
            }
            Action::Forget { upload } => {
                let delay_ms = 1 + self.rng.u64(..30);
                self.disk_after(delay_ms, id, DiskOp::DeleteStaged(upload));
            }
            Action::SaveCheckpoint { checkpoint } => {
                let delay_ms = 1 + self.rng.u64(..30);
                self.disk_after(delay_ms, id, DiskOp::Save(checkpoint));
            }
            Action::Start { key, request } => {
                self.request(id, Request::Start { key, request });
            }
            Action::StartMany { request } => self.request(id, Request::StartMany { request }),
            Action::CompleteMany { request } => self.request(id, Request::CompleteMany { request }),
            Action::Call {
                session, token, call, ..
            } => self.request(id, Request::Call { session, token, call }),
            Action::PutPart {
                upload,
                part,
                range,
                bytes,
                url,
                ..
            } => {
                let read = match bytes {
                    PartBytes::Source(source) => self.read(source, range),
                    PartBytes::Staged(crc) => {
                        let unreadable = || Failure::StagedUnreadable {
                            detail: format!("no staged part {part} of that name"),
                        };
                        self.disk.staged(upload, part, crc).ok_or_else(unreadable)
                    }
                };
                match read {
                    Ok(bytes) => self.put(id, url, bytes),
                    Err(failure) => self.answer_after(1, id, Outcome::Failed(failure)),
                }
            }
            Action::Cancel(_) => {}
        }
    }

    fn read(&self, source: SourceId, range: upload_protocol::ByteRange) -> Result<Bytes, Failure> {
        match self.host.sources.get(&source) {
            Some(source) if source.readable => Ok(Bytes::of(source.content, range)),
            _ => Err(Failure::SourceUnreadable {
                detail: "the file was changed".to_owned(),
            }),
        }
    }

    /// Stops an action; what it has begun may take effect all the same.
    fn stop(&mut self, id: ActionId) {
        if let Some(outstanding) = self.host.outstanding.remove(&id) {
            self.note_stopped(&outstanding);
        }
        let incarnation = self.host.incarnation;
        let of_it = |event: &Event| match event {
            Event::Arrive {
                incarnation: i,
                action,
                ..
            }
            | Event::Disk {
                incarnation: i,
                action,
                ..
            }
            | Event::Deliver {
                incarnation: i,
                action,
                ..
            }
            | Event::Progress {
                incarnation: i,
                action,
                ..
            } => *i == incarnation && *action == id,
            _ => false,
        };
        for (at_ms, event) in self.take_events(of_it) {
            let stays = match event {
                Event::Arrive { .. } => self.rng.bool(),
                Event::Disk { .. } => true,
                Event::Deliver { .. } => self.chance(self.options.faults.late_answer),
                _ => false,
            };
            if stays {
                self.after(at_ms.saturating_sub(self.now_ms), event);
            }
        }
    }

    pub(super) fn answer_after(&mut self, delay_ms: u64, action: ActionId, outcome: Outcome) {
        let incarnation = self.host.incarnation;
        self.after(
            delay_ms,
            Event::Deliver {
                incarnation,
                action,
                outcome,
            },
        );
    }

    fn disk_after(&mut self, delay_ms: u64, action: ActionId, op: DiskOp) {
        let incarnation = self.host.incarnation;
        self.after(
            delay_ms,
            Event::Disk {
                incarnation,
                action,
                op,
            },
        );
    }

    pub(super) fn disk_takes_effect(&mut self, action: ActionId, op: DiskOp) {
        let failing = matches!(op, DiskOp::Stage(..) | DiskOp::Save(_) | DiskOp::Free(..));
        if failing && self.chance(self.options.faults.disk_error) {
            let failure = Failure::StorageUnavailable {
                detail: "the disk is out of sorts".to_owned(),
            };
            return self.answer_after(1, action, Outcome::Failed(failure));
        }
        let outcome = match &op {
            DiskOp::Stage(_, _, bytes) => Outcome::Staged(bytes.crc()),
            _ => Outcome::Done,
        };
        if let DiskOp::DeleteStaged(upload) = op {
            // Forgetting takes two steps, and the host may die between them.
            let next = DiskOp::DeleteCheckpoint(upload);
            drop(self.disk.apply(op));
            return self.disk_after(2, action, next);
        }
        let outcome = match self.disk.apply(op) {
            Ok(()) => outcome,
            Err(_) => Outcome::Failed(Failure::QuotaExceeded),
        };
        let delay_ms = self.rng.u64(..10);
        self.answer_after(delay_ms, action, outcome);
        if self.rng.u8(..4) == 0 {
            self.tell_room();
        }
    }

    /// The host looks how much room there is; some browsers don't say.
    fn tell_room(&mut self) {
        let bytes = Some(self.disk.room_bytes()).filter(|_| self.host.knows_room);
        self.input(Input::Room { bytes });
    }

    /// The host learns how an action ended.
    pub(super) fn deliver(&mut self, action: ActionId, outcome: Outcome) {
        if let Some(outstanding) = self.host.outstanding.remove(&action) {
            self.note_outcome(&outstanding, &outcome);
        }
        self.input(Input::Done(action, outcome));
    }

    /// The host dies with all it had in memory. Requests that have left arrive or don't; writes that
    /// were under way have happened or haven't.
    pub(super) fn kill(&mut self) -> Result<(), Violation> {
        self.check_replay()?;
        self.trace(|| "  ☠ the host is killed".to_owned());
        self.report.kills += 1;
        let incarnation = self.host.incarnation;
        let events = self.take_events(|event| {
            matches!(event, Event::Arrive { incarnation: i, .. } | Event::Disk { incarnation: i, .. }
                | Event::Deliver { incarnation: i, .. } | Event::Progress { incarnation: i, .. } if *i == incarnation)
        });
        for (at_ms, event) in events {
            match event {
                Event::Arrive { .. } if self.rng.bool() => {
                    self.after(at_ms.saturating_sub(self.now_ms), event);
                }
                Event::Disk { op, .. } if self.rng.bool() => drop(self.disk.apply(op)),
                _ => {}
            }
        }
        for outstanding in std::mem::take(&mut self.host.outstanding).into_values() {
            self.note_stopped(&outstanding);
        }
        self.host = Host::dead(incarnation);
        self.oracle.host_died();
        let delay_ms = self.rng.u64(..8_000);
        self.after(delay_ms, Event::HostStarts);
        Ok(())
    }

    /// A new life, from what was on disk.
    pub(super) fn host_starts(&mut self) -> Result<(), Violation> {
        let incarnation = self.host.incarnation + 1;
        self.trace(|| format!("  ☼ the host starts, life {incarnation}"));
        self.host = Host::start(&self.config, self.rng.u64(..), incarnation);
        self.check_nothing_vanished()?;
        for checkpoint in self.disk.checkpoints.values().cloned().collect::<Vec<_>>() {
            let upload = checkpoint.client_upload_id;
            let staged = self.disk.list(upload);
            self.oracle.restored(&checkpoint);
            self.command(Command::Restore {
                checkpoint: Box::new(checkpoint),
                staged,
            });
        }
        if self.offline {
            self.input(Input::Connectivity { online: false });
        }
        self.host.knows_room = self.rng.bool();
        self.tell_room();
        Ok(())
    }
}
