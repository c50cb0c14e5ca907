//! One upload: its state, and the order in which its machines are asked what to do next.

use std::collections::{BTreeMap, BTreeSet};

use upload_protocol::{CheckpointSession, ClientUploadId, FileInfo, PartLayout, PartNumber};

use crate::action::{ActionId, Event, Failure, Outcome, SourceId};
use crate::context::Context;
use crate::control::{ControlCall, Lane};
use crate::part::{Local, PartTable, Sent};
use crate::progress::RateMeter;
use crate::snapshot::UploadError;
use crate::time::Timestamp;
use crate::verify::Verify;

/// Where an upload stands. What a person sees is derived from it, see `view.rs`.
///
/// ```text
/// Queued → Preparing → Starting → Sending → Completing → Completed
///    └──────────────→ Fetching ──↗   │  ↖────┘
///                        ↑───────────┘ (in doubt)
/// Sending | Completing → Discarding → Preparing
/// any but the ended ones → Cancelling → Cancelled;  any → Failed → (resume) Preparing | Fetching
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for a place among the active uploads.
    Queued,
    /// The checkpoint is being saved; the first part is being hashed. No request was sent.
    Preparing,
    /// The server is asked for a session.
    Starting,
    /// The server is asked what it and the store know.
    Fetching,
    /// Parts are sent.
    Sending,
    /// Every part is confirmed; the server is asked to complete.
    Completing,
    /// The session is for other content than ours: it is aborted before a new one is started.
    Discarding,
    /// Being given up: the session is aborted.
    Cancelling,
    /// Ended well.
    Completed,
    /// Ended, but kept: a person may resume it.
    Failed,
    /// Ended by the person.
    Cancelled,
}

/// What an action under way is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pending {
    Hash(PartNumber),
    Stage(StageJob),
    Verify(PartNumber),
    Free {
        part: PartNumber,
        /// It must never be sent, on no later visit either.
        stale: bool,
        size_bytes: u64,
    },
    Forget,
    /// Of a checkpoint with this layout.
    Save(PartLayout),
    Control {
        call: ControlCall,
        sent_at: Timestamp,
    },
    Sign {
        parts: Vec<PartNumber>,
        sent_at: Timestamp,
    },
    Put {
        part: PartNumber,
        source: Option<SourceId>,
    },
}

/// A copy under way: of which file, cut how, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageJob {
    pub(crate) part: PartNumber,
    pub(crate) layout: PartLayout,
    pub(crate) source: SourceId,
    pub(crate) started_at: Timestamp,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, true or false in any phase"
)]
pub(crate) struct Upload {
    pub(crate) id: ClientUploadId,
    pub(crate) file: FileInfo,
    pub(crate) parts: PartTable,
    pub(crate) source: Option<SourceId>,
    pub(crate) phase: Phase,
    pub(crate) paused: bool,
    pub(crate) generation: u32,
    pub(crate) session: Option<CheckpointSession>,
    /// A start call may have reached the server.
    pub(crate) start_sent: bool,
    /// An earlier visit may have been answered a session, and sent parts, that no checkpoint names.
    pub(crate) earlier_start: bool,
    /// The server knows the whole file's checksum and completes by itself.
    pub(crate) sealed: bool,
    /// A start may tell the whole file's checksum. Not once the server has refused that.
    pub(crate) seals_at_start: bool,
    pub(crate) error: Option<UploadError>,
    pub(crate) resumable: bool,
    /// How the checkpoint on disk cuts the file.
    pub(crate) saved_layout: Option<PartLayout>,
    /// When the checkpoint was last saved or found.
    pub(crate) saved_at: Option<Timestamp>,
    /// The person wants it off the list as soon as nothing of it is left.
    pub(crate) dismissed: bool,
    /// A part that must never be sent could not be deleted from disk.
    pub(crate) stale_part_stays: bool,
    pub(crate) resumed: bool,
    pub(crate) verify: Option<Verify>,
    pub(crate) control: Lane,
    pub(crate) signing: Lane,
    pub(crate) pending: BTreeMap<ActionId, Pending>,
    /// The checkpoint on disk is not what it should be.
    pub(crate) unsaved: bool,
    pub(crate) forgotten: bool,
    pub(crate) confirmed_while_fetching: BTreeSet<PartNumber>,
    /// Sessions lost since the upload was picked, restored or resumed.
    pub(crate) restarts: u32,
    /// How often the server was asked for its truth since a part was last confirmed.
    pub(crate) doubts: u32,
    /// Storage is short: staged parts are freed as soon as they are confirmed.
    pub(crate) quota_tight: bool,
    /// Nothing more can be staged for now.
    pub(crate) staging_blocked: bool,
    pub(crate) rate: RateMeter,
    told_safe: bool,
}

impl Upload {
    pub(crate) fn new(id: ClientUploadId, file: FileInfo, layout: PartLayout) -> Self {
        Self {
            id,
            file,
            parts: PartTable::new(layout),
            source: None,
            phase: Phase::Queued,
            paused: false,
            generation: 0,
            session: None,
            start_sent: false,
            earlier_start: false,
            sealed: false,
            seals_at_start: true,
            error: None,
            resumable: false,
            saved_layout: None,
            saved_at: None,
            dismissed: false,
            stale_part_stays: false,
            resumed: false,
            verify: None,
            control: Lane::default(),
            signing: Lane::default(),
            pending: BTreeMap::new(),
            unsaved: false,
            forgotten: false,
            confirmed_while_fetching: BTreeSet::new(),
            restarts: 0,
            doubts: 0,
            quota_tight: false,
            staging_blocked: false,
            rate: RateMeter::default(),
            told_safe: false,
        }
    }

    /// Asks every machine what it does next. Called after anything changed for this upload, and when
    /// its deadline has come.
    pub(crate) fn drive(&mut self, cx: &mut Context) {
        self.parts.release_due(cx.now);
        self.control.release_due(cx.now);
        self.signing.release_due(cx.now);
        self.cut_off_stalled(cx);
        if self.phase == Phase::Sending && self.parts.all_confirmed() {
            self.phase = Phase::Completing;
        }
        // First, since accepting a file gives the others something to do.
        self.drive_verify(cx);
        self.renew_checkpoint(cx);
        self.drive_save(cx);
        self.drive_control(cx);
        self.drive_hashing(cx);
        self.drive_signing(cx);
        self.drive_forget(cx);
        self.tell_when_safe(cx);
    }

    /// The next time at which [`Upload::drive`] has something to do without an input.
    pub(crate) fn next_deadline(&self, cx: &Context) -> Option<Timestamp> {
        let stalled = self
            .parts
            .attempts()
            .map(|(_, attempt)| attempt.progress_at + cx.config.stall_timeout_ms)
            .min();
        [
            self.control.not_before(),
            self.signing.not_before(),
            self.parts.next_release(),
            self.next_staging_look(cx),
            self.next_renewal(),
            stalled,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes a place among the active uploads.
    pub(crate) fn activate(&mut self) {
        debug_assert_eq!(self.phase, Phase::Queued);
        self.phase = match (&self.session, self.resumable) {
            (Some(_), _) => Phase::Fetching,
            // Restored: its checkpoint is on disk.
            (None, true) => Phase::Starting,
            (None, false) => {
                self.unsaved = true;
                Phase::Preparing
            }
        };
    }

    pub(crate) fn pause(&mut self, cx: &mut Context) {
        if self.has_ended() || self.phase == Phase::Cancelling || self.paused {
            return;
        }
        self.paused = true;
        self.unsaved |= self.phase != Phase::Queued;
        self.stop_sending(cx);
    }

    pub(crate) fn resume(&mut self) {
        if self.phase == Phase::Failed {
            // The object at the session's key isn't this file, and won't be.
            let spoilt = self
                .error
                .take()
                .is_some_and(|error| error.code == "checksum_mismatch");
            if spoilt {
                self.begin_anew();
            }
            self.doubts = 0;
            self.restarts = 0;
            self.control.clear();
            self.signing.clear();
            for part in self.parts.layout().parts() {
                self.parts
                    .update(part, |part| (part.refusals, part.checksum_refusals) = (0, 0));
            }
            self.unsaved = true;
            self.phase = if self.session.is_some() {
                Phase::Fetching
            } else {
                Phase::Preparing
            };
        }
        self.unsaved |= self.paused && self.phase != Phase::Queued;
        self.paused = false;
        self.end_waits();
    }

    pub(crate) fn cancel(&mut self, cx: &mut Context) {
        match self.phase {
            Phase::Completed | Phase::Cancelled | Phase::Cancelling => return,
            Phase::Queued if !self.resumable => {
                self.forgotten = true;
                self.end(cx, Phase::Cancelled);
                return;
            }
            _ => {}
        }
        self.phase = Phase::Cancelling;
        self.error = None;
        self.unsaved = true;
        self.control.retry_now();
        self.stop_reading(cx);
        self.stop_sending(cx);
        // A start under way is awaited: only its answer names the session to abort.
        if let Some(id) = self.control.in_flight()
            && !matches!(
                self.pending.get(&id),
                Some(Pending::Control {
                    call: ControlCall::Start,
                    ..
                })
            )
        {
            self.stop(cx, id);
            self.control.stopped();
        }
    }

    /// Ends every back-off: the network is back, or the person asked.
    pub(crate) fn end_waits(&mut self) {
        self.control.retry_now();
        self.signing.retry_now();
        self.parts.release_all();
    }

    /// There are other credentials.
    pub(crate) fn on_credentials(&mut self) {
        self.control.on_credentials();
        self.signing.on_credentials();
    }

    /// The machine slept: connections are dead and URLs may be.
    pub(crate) fn on_clock_jumped(&mut self, cx: &mut Context) {
        self.stop_sending(cx);
        self.parts.drop_signed();
        if let Some(id) = self.control.in_flight() {
            self.stop(cx, id);
            self.control.stopped();
        }
        self.end_waits();
    }

    /// Takes the outcome of an action of this upload.
    pub(crate) fn on_done(&mut self, cx: &mut Context, id: ActionId, outcome: Outcome) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        match (pending, outcome) {
            (Pending::Hash(part), outcome) => self.on_hashed(cx, part, checksum(outcome)),
            (Pending::Stage(job), outcome) => self.on_staged(cx, job, checksum(outcome)),
            (Pending::Verify(part), outcome) => self.on_verified(cx, part, checksum(outcome)),
            (
                Pending::Free {
                    stale, size_bytes, ..
                },
                outcome,
            ) => {
                self.on_freed(cx, stale, size_bytes, matches!(outcome, Outcome::Done));
            }
            (Pending::Forget, Outcome::Done) => cx.room.on_freed(self.parts.staged_bytes()),
            // What could not be deleted is found and deleted on the next visit.
            (Pending::Forget, _) => {}
            (Pending::Save(layout), outcome) => self.on_saved(cx, layout, matches!(outcome, Outcome::Done)),
            (Pending::Control { call, sent_at }, outcome) => {
                self.control.answered();
                self.on_control(cx, call, sent_at, outcome);
            }
            (Pending::Sign { parts, sent_at }, outcome) => {
                self.signing.answered();
                self.on_signed(cx, &parts, sent_at, outcome);
            }
            (Pending::Put { part, source }, outcome) => self.on_put(cx, part, source, outcome),
        }
    }

    /// Ends the upload in `phase`; what is under way and useless is stopped.
    pub(crate) fn end(&mut self, cx: &mut Context, phase: Phase) {
        self.phase = phase;
        self.stop_reading(cx);
        self.stop_sending(cx);
        if let Some(id) = self.control.in_flight() {
            self.stop(cx, id);
            self.control.stopped();
        }
        if phase != Phase::Failed
            && let Some(source) = self.source.take()
        {
            cx.tell(Event::SourceReleased(source));
        }
        match phase {
            Phase::Completed => cx.tell(Event::Completed(self.id)),
            Phase::Failed => cx.tell(Event::Failed(self.id)),
            _ => {}
        }
    }

    pub(crate) fn fail(&mut self, cx: &mut Context, error: UploadError) {
        self.error = Some(error);
        self.end(cx, Phase::Failed);
    }

    /// Cuts off every part in flight and every URL on its way; their slots are free at once.
    pub(crate) fn stop_sending(&mut self, cx: &mut Context) {
        for (id, pending) in self.pending.clone() {
            match pending {
                Pending::Put { part, .. } => {
                    self.give_back_unsent(cx, part);
                    self.stop(cx, id);
                    self.parts.update(part, |part| part.sent = Sent::Idle);
                }
                Pending::Sign { parts, .. } => {
                    self.stop(cx, id);
                    self.signing.stopped();
                    self.unsign(&parts);
                }
                _ => {}
            }
        }
    }

    /// Stops hashing and comparing. Staging is left to end: a copy half-way would have no owner.
    fn stop_reading(&mut self, cx: &mut Context) {
        for (id, pending) in self.pending.clone() {
            match pending {
                Pending::Hash(part) => {
                    self.stop(cx, id);
                    self.parts.update(part, |part| part.local = Local::Unread);
                }
                Pending::Verify(_) => self.stop(cx, id),
                _ => {}
            }
        }
        if let Some(verify) = self.verify.take() {
            cx.tell(Event::SourceReleased(verify.source));
        }
    }

    pub(crate) fn stop(&mut self, cx: &mut Context, id: ActionId) {
        self.pending.remove(&id);
        cx.cancel(self.id, id);
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Completed | Phase::Failed | Phase::Cancelled)
    }

    /// Holds a place among the active uploads: it can go on without a person.
    pub(crate) fn is_active(&self) -> bool {
        !self.has_ended() && self.phase != Phase::Queued && !self.paused && !self.needs_file()
    }

    /// Some bytes are nowhere but in a file that must be picked again.
    pub(crate) fn needs_file(&self) -> bool {
        self.source.is_none()
            && matches!(self.phase, Phase::Preparing | Phase::Starting | Phase::Sending)
            && !self.parts.unread().is_empty()
    }

    /// Could use its file: it has none, and not everything is known to be on disk or at the store.
    pub(crate) fn lacks_file(&self) -> bool {
        self.source.is_none()
            && !self.has_ended()
            && self.phase != Phase::Cancelling
            && self.parts.any_at_risk()
    }

    fn tell_when_safe(&mut self, cx: &mut Context) {
        let safe = self.is_safe();
        if safe && !self.told_safe && !self.has_ended() && self.phase != Phase::Cancelling {
            cx.tell(Event::Safe(self.id));
        }
        self.told_safe = safe;
    }
}

/// The checksum an outcome carries, or why there is none.
fn checksum(outcome: Outcome) -> Result<upload_protocol::Crc64Nvme, Failure> {
    match outcome {
        Outcome::Hashed(crc) | Outcome::Staged(crc) => Ok(crc),
        Outcome::Failed(failure) => Err(failure),
        other => Err(unexpected(&other)),
    }
}

/// An answer that doesn't belong to its question: a defect of the host, told like a broken answer.
pub(crate) fn unexpected(outcome: &Outcome) -> Failure {
    let kind = match outcome {
        Outcome::Hashed(_) => "hashed",
        Outcome::Staged(_) => "staged",
        Outcome::Done => "done",
        Outcome::Started(_) => "started",
        Outcome::StartedMany(_) => "started many",
        Outcome::CompletedMany(_) => "completed many",
        Outcome::Signed(_) => "signed",
        Outcome::Session(_) => "session",
        Outcome::Sealed(_) => "sealed",
        Outcome::Completed(_) => "completed",
        Outcome::Put => "put",
        Outcome::Failed(_) => "failed",
    };
    Failure::InvalidAnswer {
        detail: format!("outcome `{kind}` answers another action"),
    }
}
