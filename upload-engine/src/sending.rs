//! From hashed to confirmed: asking for URLs ahead of need, putting parts, and what follows a failure.

use upload_protocol::{HashedPart, PartNumber, SignPartsRequest, SignedPart};

use crate::action::{Action, Failure, Outcome, PartBytes, SessionCall, SourceId};
use crate::context::Context;
use crate::part::{InFlight, Local, Sent, SignedUrl};
use crate::retry::{CallVerdict, PutAttempt, PutVerdict, classify_call, classify_put};
use crate::snapshot::UploadError;
use crate::time::Timestamp;
use crate::upload::{Pending, Phase, Upload, unexpected};

impl SignedUrl {
    /// Its age counts from when it was asked for: the server's clock and ours need not agree.
    pub(crate) fn of(cx: &mut Context, signed: &SignedPart, asked_at: Timestamp) -> Self {
        let lifetime_ms = u64::from(signed.expires_in_seconds) * 1000;
        let margin_ms = cx.config.url_margin_ms.min(lifetime_ms / 4);
        cx.url_usable_ms = Some(lifetime_ms - margin_ms);
        Self {
            url: signed.url.clone(),
            headers: signed.headers.clone(),
            usable_until: asked_at + (lifetime_ms - margin_ms),
            expires_at: asked_at + lifetime_ms,
        }
    }
}

/// How often a part may be refused for its checksum before it is read anew.
const CHECKSUM_REFUSALS_MAX: u32 = 3;

impl Upload {
    /// Asks for URLs while fewer are at hand than will be used soon.
    pub(crate) fn drive_signing(&mut self, cx: &mut Context) {
        self.parts.drop_expired(cx.now);
        if !self.may_send() || !self.signing.is_free() || self.parts.to_sign().is_empty() {
            return;
        }
        let parts = self.parts_to_sign(cx);
        let Some(session) = self.session.as_ref().filter(|_| !parts.is_empty()) else {
            return;
        };
        let request = SignPartsRequest {
            parts: parts
                .iter()
                .map(|part| HashedPart {
                    part_number: *part,
                    size_bytes: None,
                    checksum_crc64nvme: self.parts.get(*part).crc,
                })
                .collect(),
            relay: false,
        };
        let action = Action::Call {
            upload: self.id,
            session: session.session_id,
            token: session.token.clone(),
            call: SessionCall::Sign(request),
        };
        let id = cx.act(self.id, action);
        self.signing.sent(id);
        for part in &parts {
            self.parts.update(*part, |part| part.sent = Sent::Signing);
        }
        self.pending.insert(
            id,
            Pending::Sign {
                parts,
                sent_at: cx.now,
            },
        );
    }

    /// The parts whose URLs are asked for next: as many as will be used before they expire, in batches of
    /// half a window, since a call for each part would be a call too many. A part that has failed gets its
    /// URL when it can leave at once: perhaps its last one grew too old in the queue, unseen.
    fn parts_to_sign(&self, cx: &Context) -> Vec<PartNumber> {
        let at_hand = self.parts.signed().len();
        let usable = cx.url_usable_ms.map_or(usize::MAX, |ms| cx.puts_within(ms / 2));
        let ahead = cx.window().min(usable);
        if at_hand > ahead / 2 {
            return Vec::new();
        }
        let mut fresh = (ahead - at_hand).min(cx.config.sign_batch_parts_max);
        // With nothing on its way it may ask for one all the same: it then comes first when a slot is free.
        let is_idle = at_hand == 0 && self.parts.in_flight().is_empty();
        let free = (cx.free_slots() as usize).saturating_sub(at_hand);
        let mut again = free.max(usize::from(is_idle)).min(fresh);
        let has_turn = |part: &&PartNumber| {
            let quota = if self.parts.get(**part).has_failed() {
                &mut again
            } else {
                &mut fresh
            };
            let has_turn = *quota > 0;
            *quota = quota.saturating_sub(1);
            has_turn
        };
        let parts = self.parts.to_sign().iter().take(2 * cx.window());
        parts.filter(has_turn).copied().collect()
    }

    /// Has a part to send and no URL at hand for it: waits for a slot to be free.
    pub(crate) fn waits_for_slot(&self) -> bool {
        self.may_send() && self.signing.is_free() && !self.parts.to_sign().is_empty()
    }

    pub(crate) fn on_signed(
        &mut self,
        cx: &mut Context,
        parts: &[PartNumber],
        sent_at: Timestamp,
        outcome: Outcome,
    ) {
        let response = match outcome {
            Outcome::Signed(response) => response,
            Outcome::Failed(failure) => return self.on_sign_failed(cx, parts, &failure),
            other => return self.on_sign_failed(cx, parts, &unexpected(&other)),
        };
        let mut answered = 0;
        for signed in response.parts {
            if parts.contains(&signed.part_number) && self.parts.get(signed.part_number).sent == Sent::Signing
            {
                answered += 1;
                let url = SignedUrl::of(cx, &signed, sent_at);
                self.parts
                    .update(signed.part_number, |part| part.sent = Sent::Signed(Box::new(url)));
            }
        }
        self.unsign(parts);
        if answered == 0 {
            self.signing.back_off(cx, 0);
        } else {
            self.signing.succeeded();
        }
    }

    fn on_sign_failed(&mut self, cx: &mut Context, parts: &[PartNumber], failure: &Failure) {
        self.unsign(parts);
        match classify_call(failure) {
            CallVerdict::Backoff { retry_after_ms } => self.signing.back_off(cx, retry_after_ms),
            CallVerdict::AwaitCredentials => self.signing.await_credentials(cx),
            CallVerdict::Restart => self.restart(cx),
            CallVerdict::AskSession => self.ask_session(cx),
            CallVerdict::Fail(error) => self.fail(cx, error),
        }
    }

    /// Parts whose URL did not come can be asked for again.
    pub(crate) fn unsign(&mut self, parts: &[PartNumber]) {
        for part in parts {
            if self.parts.get(*part).sent == Sent::Signing {
                self.parts.update(*part, |part| part.sent = Sent::Idle);
            }
        }
    }

    /// Has a part that could be put on its way now, were there a slot.
    pub(crate) fn can_put(&self) -> bool {
        self.may_send() && !self.parts.signed().is_empty()
    }

    /// Puts the first part at hand on its way.
    pub(crate) fn put_next(&mut self, cx: &mut Context) {
        // It may have waited for its slot for long.
        self.parts.drop_expired(cx.now);
        let Some(&number) = self.parts.signed().first() else {
            return;
        };
        let part = self.parts.get(number);
        let bytes = match (part.local, part.crc, self.source) {
            (Local::Staged, Some(crc), _) => PartBytes::Staged(crc),
            (Local::Hashed | Local::Staging, _, Some(source)) => PartBytes::Source(source),
            _ => {
                self.parts.update(number, |part| {
                    part.sent = Sent::Idle;
                    part.local = Local::Unread;
                });
                return;
            }
        };
        let Sent::Signed(signed) = part.sent.clone() else {
            return;
        };
        let url_expires_at = signed.expires_at;
        let action = cx.act(
            self.id,
            Action::PutPart {
                upload: self.id,
                part: number,
                range: self.parts.layout().range(number),
                bytes,
                url: signed.url,
                headers: signed.headers,
            },
        );
        let attempt = InFlight {
            action,
            started_at: cx.now,
            sent_bytes: 0,
            progress_at: cx.now,
            url_expires_at,
        };
        cx.send_rate.add(cx.now, 0);
        cx.pacing.take(self.parts.layout().range(number).size_bytes());
        self.parts
            .update(number, |part| part.sent = Sent::InFlight(attempt));
        let source = self.source.filter(|_| matches!(bytes, PartBytes::Source(_)));
        self.pending.insert(action, Pending::Put { part: number, source });
    }

    /// When the part that this action sends was last heard of.
    pub(crate) fn progress_at(&self, id: crate::ActionId) -> Option<Timestamp> {
        let Some(Pending::Put { part, .. }) = self.pending.get(&id) else {
            return None;
        };
        match &self.parts.get(*part).sent {
            Sent::InFlight(attempt) => Some(attempt.progress_at),
            _ => None,
        }
    }

    /// A part in flight has sent so many bytes.
    pub(crate) fn on_progress(&mut self, cx: &mut Context, id: crate::ActionId, sent_bytes: u64) {
        let Some(&Pending::Put { part: number, .. }) = self.pending.get(&id) else {
            return;
        };
        let sent_bytes = sent_bytes.min(self.parts.layout().range(number).size_bytes());
        let mut moved = 0;
        self.parts.update(number, |part| {
            if let Sent::InFlight(attempt) = &mut part.sent {
                moved = sent_bytes.saturating_sub(attempt.sent_bytes);
                attempt.sent_bytes = sent_bytes;
                attempt.progress_at = cx.now;
            }
        });
        self.rate.add(cx.now, moved);
        cx.send_rate.add(cx.now, 0);
    }

    pub(crate) fn on_put(
        &mut self,
        cx: &mut Context,
        number: PartNumber,
        source: Option<SourceId>,
        outcome: Outcome,
    ) {
        let failure = match outcome {
            Outcome::Put => return self.on_part_confirmed(cx, number),
            Outcome::Failed(failure) => failure,
            other => unexpected(&other),
        };
        self.give_back_unsent(cx, number);
        let url_expired = match &self.parts.get(number).sent {
            Sent::InFlight(attempt) => attempt.url_expires_at <= cx.now,
            _ => false,
        };
        let attempt = PutAttempt {
            url_expired,
            fresh_url_used: self.parts.get(number).fresh_url_used,
        };
        self.parts.update(number, |part| part.sent = Sent::Idle);
        match classify_put(&failure, attempt) {
            PutVerdict::Backoff {
                congested,
                retry_after_ms,
            } => {
                if congested {
                    cx.concurrency.on_congestion(cx.now);
                }
                self.delay_part(cx, number, retry_after_ms);
            }
            PutVerdict::FreshUrl => self.parts.update(number, |part| part.fresh_url_used = true),
            PutVerdict::AskSession => {
                self.parts.update(number, |part| part.fresh_url_used = false);
                self.refuse_part(cx, number, &failure.to_string());
                self.ask_session(cx);
            }
            PutVerdict::ChecksumRefused => self.on_checksum_refused(cx, number),
            PutVerdict::SourceLost(detail) => self.lose_source(cx, source, &detail),
            PutVerdict::StagedLost => self.lose_staged(cx, number),
            PutVerdict::Refused(detail) => self.refuse_part(cx, number, &detail),
        }
    }

    /// The bandwidth limit was charged for the whole part, of which not all has left.
    pub(crate) fn give_back_unsent(&self, cx: &mut Context, number: PartNumber) {
        if let Sent::InFlight(attempt) = &self.parts.get(number).sent {
            let size_bytes = self.parts.layout().range(number).size_bytes();
            cx.pacing.give_back(size_bytes.saturating_sub(attempt.sent_bytes));
        }
    }

    fn on_part_confirmed(&mut self, cx: &mut Context, number: PartNumber) {
        let size_bytes = self.parts.layout().range(number).size_bytes();
        let mut moved = size_bytes;
        self.parts.update(number, |part| {
            if let Sent::InFlight(attempt) = &part.sent {
                moved -= attempt.sent_bytes;
                cx.put_time.add(cx.now.millis_since(attempt.started_at));
            }
            part.sent = Sent::Confirmed;
            part.not_before = None;
            (part.failures, part.refusals, part.checksum_refusals) = (0, 0, 0);
        });
        self.rate.add(cx.now, moved);
        cx.send_rate.add(cx.now, size_bytes);
        cx.concurrency.on_confirmed(cx.now, size_bytes);
        self.doubts = 0;
        if self.phase == Phase::Fetching {
            self.confirmed_while_fetching.insert(number);
        }
        if self.is_short_of_room(cx) {
            self.free_if_staged(cx, number);
        }
    }

    /// The store got other bytes than were hashed. On the wire that mends itself; if it doesn't, the
    /// copy at hand has rotted and the part is read anew, or its file is needed again.
    fn on_checksum_refused(&mut self, cx: &mut Context, number: PartNumber) {
        self.parts.update(number, |part| part.checksum_refusals += 1);
        let part = self.parts.get(number);
        // With the file at hand there is no reason to believe the copy a second time.
        let has_better = part.local == Local::Staged && self.source.is_some();
        if !has_better && part.checksum_refusals < CHECKSUM_REFUSALS_MAX {
            self.delay_part(cx, number, 0);
            return;
        }
        self.parts.update(number, |part| part.checksum_refusals = 0);
        match self.parts.get(number).local {
            Local::Staged => self.lose_staged(cx, number),
            Local::Hashed => self.parts.update(number, |part| part.local = Local::Unread),
            _ => {}
        }
        self.refuse_part(cx, number, "the store computed another checksum than this page");
    }

    /// Sends the part again after a back-off.
    fn delay_part(&mut self, cx: &mut Context, number: PartNumber, retry_after_ms: u64) {
        let failures = self.parts.get(number).failures.saturating_add(1);
        let at = cx.retry_at(failures, retry_after_ms);
        self.parts.update(number, |part| {
            part.failures = failures;
            part.not_before = Some(at);
        });
    }

    /// Sends the part again after a back-off, but only so often: waiting alone won't mend it.
    fn refuse_part(&mut self, cx: &mut Context, number: PartNumber, detail: &str) {
        self.parts.update(number, |part| part.refusals += 1);
        if self.parts.get(number).refusals > cx.config.refusals_max {
            let detail = format!(
                "part {number} was refused {} times: {detail}",
                cx.config.refusals_max + 1
            );
            self.fail(cx, UploadError::new("store_refused_part", detail));
        } else {
            self.delay_part(cx, number, 0);
        }
    }

    /// Attempts that have sent nothing for too long are cut off and made again.
    pub(crate) fn cut_off_stalled(&mut self, cx: &mut Context) {
        let stalled: Vec<_> = self
            .parts
            .attempts()
            .filter(|(_, attempt)| attempt.progress_at + cx.config.stall_timeout_ms <= cx.now)
            .map(|(number, attempt)| (number, attempt.action))
            .collect();
        for (number, action) in stalled {
            self.give_back_unsent(cx, number);
            self.stop(cx, action);
            self.parts.update(number, |part| part.sent = Sent::Idle);
            cx.concurrency.on_congestion(cx.now);
            self.delay_part(cx, number, 0);
        }
    }

    /// Parts may be signed and sent.
    fn may_send(&self) -> bool {
        self.phase == Phase::Sending && !self.paused && self.verify.is_none() && self.session.is_some()
    }
}
