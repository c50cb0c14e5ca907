//! A file picked again: compared part by part with what is known, before anything of it is sent.

use std::collections::VecDeque;

use upload_protocol::{Crc64Nvme, FileInfo, PartNumber};

use crate::action::{Action, Event, Failure, SourceId};
use crate::context::Context;
use crate::part::{Local, Sent};
use crate::snapshot::UploadError;
use crate::upload::{Pending, Phase, Upload};

/// A comparison under way.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) source: SourceId,
    file: FileInfo,
    /// Parts still to be compared; `None` until the server has said what the store holds.
    todo: Option<VecDeque<PartNumber>>,
}

/// Parts compared at the same time.
const COMPARED_MAX: usize = 4;

impl Upload {
    /// A file is offered for this upload.
    pub(crate) fn provide(&mut self, cx: &mut Context, source: SourceId, file: FileInfo) {
        if let Some(verify) = self.verify.take() {
            self.stop_comparing(cx);
            cx.tell(Event::SourceReleased(verify.source));
        }
        if file.size_bytes == self.file.size_bytes {
            self.error = None;
            self.verify = Some(Verify {
                source,
                file,
                todo: None,
            });
        } else {
            let reason = format!(
                "it has {} bytes instead of {}",
                file.size_bytes, self.file.size_bytes
            );
            self.refuse(cx, source, &file.name, &reason);
        }
    }

    pub(crate) fn drive_verify(&mut self, cx: &mut Context) {
        // What the store holds must be known first: it is what can be compared.
        if self.earlier_start || !matches!(self.phase, Phase::Preparing | Phase::Starting | Phase::Sending) {
            return;
        }
        let Some(verify) = &mut self.verify else { return };
        let comparable = &self.parts;
        let todo = verify.todo.get_or_insert_with(|| comparable.comparable().into());
        let comparing = self
            .pending
            .values()
            .filter(|pending| matches!(pending, Pending::Verify(_)))
            .count();
        let next: Vec<_> = todo
            .drain(..todo.len().min(COMPARED_MAX - comparing.min(COMPARED_MAX)))
            .collect();
        let done = next.is_empty() && comparing == 0;
        let source = verify.source;
        for part in next {
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
            self.pending.insert(id, Pending::Verify(part));
        }
        if done && let Some(verify) = self.verify.take() {
            self.accept(cx, &verify);
        }
    }

    pub(crate) fn on_verified(
        &mut self,
        cx: &mut Context,
        number: PartNumber,
        result: Result<Crc64Nvme, Failure>,
    ) {
        let reason = match result {
            Ok(crc) if self.parts.get(number).crc.is_none_or(|known| known == crc) => return,
            Ok(_) => format!("its content differs in part {number}"),
            Err(failure) => failure.to_string(),
        };
        self.stop_comparing(cx);
        if let Some(verify) = self.verify.take() {
            self.refuse(cx, verify.source, &verify.file.name, &reason);
        }
    }

    fn accept(&mut self, cx: &mut Context, verify: &Verify) {
        if self.parts.comparable().is_empty() && verify.file.name != self.file.name {
            self.refuse(
                cx,
                verify.source,
                &verify.file.name,
                "it has another name, and nothing of it was sent yet",
            );
            return;
        }
        if self.parts.comparable().is_empty() && self.session.is_some() {
            // Nothing tells whether the session was sealed for these bytes, or whether a part of others
            // is still on its way to it. Nothing is lost by a new one.
            self.stop_sending(cx);
            self.phase = Phase::Discarding;
        }
        self.source = Some(verify.source);
        self.file.last_modified_ms = verify.file.last_modified_ms;
        self.error = None;
        self.unsaved = true;
        for number in self.parts.comparable() {
            let part = self.parts.get(number);
            if part.local == Local::Unread && part.sent != Sent::Confirmed {
                self.parts.update(number, |part| part.local = Local::Hashed);
            }
        }
        cx.tell(Event::FileAccepted {
            upload: self.id,
            source: verify.source,
        });
    }

    fn refuse(&mut self, cx: &mut Context, source: SourceId, name: &str, reason: &str) {
        let reason = format!(
            "`{name}` is not the file of this upload, `{}`: {reason}",
            self.file.name
        );
        self.error = Some(UploadError::new("file_refused", reason.clone()));
        cx.tell(Event::FileRefused {
            upload: self.id,
            source,
            name: name.to_owned(),
            reason,
        });
    }

    fn stop_comparing(&mut self, cx: &mut Context) {
        for (id, pending) in self.pending.clone() {
            if let Pending::Verify(_) = pending {
                self.stop(cx, id);
            }
        }
    }
}
