//! Going on where an earlier visit ended: what is on disk, reconciled with what the store holds.

use std::collections::BTreeMap;

use upload_protocol::{
    Checkpoint, CheckpointIntent, PartLayout, PartNumber, SessionResponse, SessionStatus, StoredPart,
};

use crate::action::StagedPart;
use crate::context::Context;
use crate::part::{Local, Sent};
use crate::snapshot::UploadError;
use crate::upload::{Phase, Upload};

impl Upload {
    /// An upload of an earlier visit.
    pub(crate) fn restore(cx: &mut Context, checkpoint: Checkpoint, staged: Vec<StagedPart>) -> Self {
        let mut upload = Self::new(checkpoint.client_upload_id, checkpoint.file, checkpoint.layout);
        upload.generation = checkpoint.generation;
        upload.start_sent = true;
        upload.earlier_start = checkpoint.session.is_none();
        upload.session = checkpoint.session;
        upload.resumable = true;
        upload.saved_layout = Some(*upload.parts.layout());
        upload.saved_at = Some(cx.now);
        upload.resumed = true;
        for StagedPart {
            part: number,
            crc,
            size_bytes,
        } in staged
        {
            let fits = upload.parts.layout().contains(number)
                && upload.parts.layout().range(number).size_bytes() == size_bytes
                && upload.parts.get(number).local == Local::Unread;
            if fits {
                upload.parts.update(number, |part| {
                    part.crc = Some(crc);
                    part.local = Local::Staged;
                });
            } else {
                // Of another layout, cut short, or a second copy: never to be sent.
                upload.free_stale(cx, number, crc);
            }
        }
        match checkpoint.intent {
            CheckpointIntent::Run => {}
            CheckpointIntent::Paused => upload.paused = true,
            CheckpointIntent::Cancelled => upload.phase = Phase::Cancelling,
        }
        upload
    }

    /// The server's truth about the session.
    pub(crate) fn on_session(&mut self, cx: &mut Context, response: &SessionResponse) {
        if self.phase != Phase::Fetching {
            return;
        }
        match (response.status, &response.completed) {
            (SessionStatus::Completed, Some(completed)) => self.on_completed(cx, completed),
            (SessionStatus::Completed, None) => self.end(cx, Phase::Completed),
            (SessionStatus::Aborted, _) => self.restart(cx),
            (SessionStatus::Open | SessionStatus::Sealed, _) => {
                let layout = PartLayout::from_parts(response.size_bytes, response.part_size_bytes);
                if layout.as_ref() != Ok(self.parts.layout()) {
                    let detail = format!(
                        "the session is for {} bytes in parts of {}, this upload has {} bytes in parts of {}",
                        response.size_bytes,
                        response.part_size_bytes,
                        self.file.size_bytes,
                        self.parts.layout().part_size_bytes()
                    );
                    self.fail(cx, UploadError::new("invalid_answer", detail));
                    return;
                }
                self.sealed = response.status == SessionStatus::Sealed;
                self.earlier_start = false;
                self.reconcile(&response.parts);
                self.phase = Phase::Sending;
            }
        }
    }

    /// Confirmed is what the store holds with the right number, size and checksum, and nothing else.
    fn reconcile(&mut self, stored: &[StoredPart]) {
        let stored: BTreeMap<PartNumber, &StoredPart> =
            stored.iter().map(|part| (part.part_number, part)).collect();
        for number in self.parts.layout().parts() {
            let size_bytes = self.parts.layout().range(number).size_bytes();
            let known = self.parts.get(number).crc;
            let held = stored.get(&number).filter(|held| {
                let same = match (known, held.checksum_crc64nvme) {
                    (Some(known), Some(theirs)) => known == theirs,
                    _ => true,
                };
                held.size_bytes == size_bytes && same
            });
            let in_flight = matches!(self.parts.get(number).sent, Sent::InFlight(_));
            match held {
                Some(held) if !in_flight => self.parts.update(number, |part| {
                    part.crc = part.crc.or(held.checksum_crc64nvme);
                    part.sent = Sent::Confirmed;
                    part.not_before = None;
                }),
                None if self.parts.get(number).sent == Sent::Confirmed
                    && !self.confirmed_while_fetching.contains(&number) =>
                {
                    self.parts.update(number, |part| part.sent = Sent::Idle);
                }
                _ => {}
            }
        }
        self.confirmed_while_fetching.clear();
    }
}
