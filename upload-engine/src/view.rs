//! What a person sees, derived from the state; never stored.

use crate::context::Context;
use crate::part::{Local, Sent};
use crate::snapshot::{CELLS_MAX, Cell, Durability, Integrity, UploadSnapshot, UploadStatus, WaitingFor};
use crate::upload::{Phase, Upload};

impl Upload {
    pub(crate) fn snapshot(&self, cx: &Context, now: crate::Timestamp) -> UploadSnapshot {
        let (status, waiting_for) = self.status(cx, now);
        let completed = self.phase == Phase::Completed;
        let confirmed_bytes = if completed {
            self.file.size_bytes
        } else {
            self.parts.confirmed_bytes()
        };
        let in_flight_bytes = if completed {
            0
        } else {
            self.parts.in_flight_bytes()
        };
        UploadSnapshot {
            upload: self.id,
            name: self.file.name.clone(),
            size_bytes: self.file.size_bytes,
            key: self.session.as_ref().map(|session| session.key.clone()),
            status,
            waiting_for,
            error: self.error.clone(),
            durability: self.durability(),
            integrity: self.session.as_ref().map(|session| {
                if session.checksum {
                    Integrity::Checksum
                } else {
                    Integrity::SizeOnly
                }
            }),
            resumable: self.resumable,
            resumed: self.resumed,
            sent_bytes: confirmed_bytes + in_flight_bytes,
            confirmed_bytes,
            staged_bytes: self.parts.staged_bytes(),
            bytes_per_second: if self.has_ended() || self.paused {
                0
            } else {
                self.rate.bytes_per_second(now)
            },
            part_count: self.parts.layout().part_count(),
            parts_in_flight: u32::try_from(self.parts.in_flight().len()).unwrap_or(u32::MAX),
            cells: self.cells(),
        }
    }

    pub(crate) fn headline(&self, cx: &Context, now: crate::Timestamp) -> (UploadStatus, Durability) {
        (self.status(cx, now).0, self.durability())
    }

    fn status(&self, cx: &Context, now: crate::Timestamp) -> (UploadStatus, Option<WaitingFor>) {
        let network = |otherwise| Some(if cx.online { otherwise } else { WaitingFor::Network });
        // A call that failed and is being tried again still waits for its server.
        let server_fails = self.control.is_failing();
        let status = match self.phase {
            Phase::Completed => UploadStatus::Completed,
            Phase::Failed => UploadStatus::Failed,
            Phase::Cancelling | Phase::Cancelled => UploadStatus::Cancelled,
            _ if self.needs_file() => UploadStatus::NeedsFile,
            _ if self.paused => UploadStatus::Paused,
            Phase::Preparing | Phase::Starting | Phase::Fetching | Phase::Discarding | Phase::Completing
                if server_fails =>
            {
                return (UploadStatus::Waiting, network(self.control.waits_for()));
            }
            Phase::Queued | Phase::Preparing | Phase::Starting => UploadStatus::Queued,
            // At the beginning of a visit, not in doubt half-way.
            Phase::Fetching if self.doubts == 0 && self.confirmed_while_fetching.is_empty() => {
                UploadStatus::Queued
            }
            Phase::Completing => UploadStatus::Completing,
            Phase::Fetching | Phase::Sending | Phase::Discarding => return self.sending_status(now, network),
        };
        (status, None)
    }

    fn sending_status(
        &self,
        now: crate::Timestamp,
        network: impl Fn(WaitingFor) -> Option<WaitingFor>,
    ) -> (UploadStatus, Option<WaitingFor>) {
        let idle = self.parts.in_flight().is_empty() && self.parts.signed().is_empty();
        if idle && self.signing.is_failing() {
            (UploadStatus::Waiting, network(self.signing.waits_for()))
        } else if idle
            && self.parts.has_delayed()
            && self.parts.to_sign().is_empty()
            && self.rate.bytes_per_second(now) == 0
        {
            (UploadStatus::Waiting, network(WaitingFor::Store))
        } else {
            (UploadStatus::Uploading, None)
        }
    }

    fn durability(&self) -> Durability {
        if self.is_safe() {
            Durability::Safe
        } else if self.resumable && (self.parts.staged_bytes() > 0 || self.parts.any_confirmed()) {
            Durability::Partial
        } else {
            Durability::Memory
        }
    }

    /// The parts folded to a strip of bounded length.
    fn cells(&self) -> Vec<Cell> {
        let layout = self.parts.layout();
        let per_cell = (layout.part_count() as usize).div_ceil(CELLS_MAX).max(1);
        let cells: Vec<Cell> = layout.parts().map(|number| self.cell(number)).collect();
        cells.chunks(per_cell).map(fold).collect()
    }

    fn cell(&self, number: upload_protocol::PartNumber) -> Cell {
        let part = self.parts.get(number);
        match (&part.sent, part.local) {
            _ if self.phase == Phase::Completed => Cell::Confirmed,
            (Sent::Confirmed, _) => Cell::Confirmed,
            (Sent::InFlight(_), _) => Cell::InFlight,
            (_, Local::Staged) => Cell::Staged,
            _ if self.needs_file() && part.local == Local::Unread => Cell::Lost,
            _ => Cell::Pending,
        }
    }
}

/// Any part in flight shows; otherwise the least advanced one does.
fn fold(cells: &[Cell]) -> Cell {
    let order = [Cell::InFlight, Cell::Lost, Cell::Pending, Cell::Staged];
    order
        .into_iter()
        .find(|cell| cells.contains(cell))
        .unwrap_or(Cell::Confirmed)
}
