//! The way to the server and the store, and everything that happens on it.

use upload_engine::{ActionId, Failure, Input, Outcome, SessionCall};
use upload_protocol::{
    CompleteBatchRequest, ErrorCode, IdempotencyKey, PresignedUrl, SessionId, StartBatchRequest,
    StartRequest, UploadToken,
};

use super::Violation;
use super::content::Bytes;
use super::server::Answer;
use super::world::{Event, World};

/// What travels.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Start {
        key: IdempotencyKey,
        request: StartRequest,
    },
    StartMany {
        request: StartBatchRequest,
    },
    CompleteMany {
        request: CompleteBatchRequest,
    },
    Call {
        session: SessionId,
        token: UploadToken,
        call: SessionCall,
    },
    Put {
        url: PresignedUrl,
        bytes: Bytes,
    },
}

/// What becomes of a request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// It takes effect, and nobody learns of it.
    AnswerLost,
    /// A copy that the network made; the host knows nothing of it.
    Copy,
}

/// A call that nobody answers is given up by the host after this time.
const CALL_TIMEOUT_MS: u64 = 60_000;

impl World {
    fn latency_ms(&mut self) -> u64 {
        5 + self.rng.u64(..150)
    }

    /// Sends a call to the server.
    pub(super) fn request(&mut self, id: ActionId, request: Request) {
        let faults = self.options.faults.clone();
        let latency_ms = self.latency_ms();
        if self.offline {
            return self.answer_after(latency_ms, id, transport("offline"));
        }
        if self.chance(faults.request_lost) {
            return self.answer_after(latency_ms * 4, id, transport("request lost"));
        }
        if self.chance(faults.stall) {
            return self.answer_after(CALL_TIMEOUT_MS, id, transport("timed out"));
        }
        if self.chance(faults.server_error) {
            let outcome = self.server_error(false);
            return self.answer_after(latency_ms * 2, id, outcome);
        }
        if self.chance(faults.error_in_200) {
            let detail = "a captive portal's page".to_owned();
            return self.answer_after(latency_ms, id, Outcome::Failed(Failure::InvalidAnswer { detail }));
        }
        self.send(latency_ms, id, request);
    }

    /// Sends a part to the store.
    pub(super) fn put(&mut self, id: ActionId, url: PresignedUrl, bytes: Bytes) {
        let faults = self.options.faults.clone();
        let latency_ms = self.latency_ms();
        if self.offline {
            return self.answer_after(latency_ms, id, transport("offline"));
        }
        let (slowest, fastest) = self.options.put_bytes_per_second;
        let rate = self.rng.u64(slowest..=fastest).max(1);
        let travel_ms = latency_ms + bytes.size_bytes() * 1000 / rate;
        let stalls = self.chance(faults.stall);
        let lost = self.chance(faults.request_lost);
        let steps = if bytes.size_bytes() == 0 {
            0
        } else {
            2 + travel_ms / 5_000
        };
        let until = if stalls || lost {
            self.rng.u64(..=steps)
        } else {
            steps
        };
        for step in 1..=until {
            let incarnation = self.host.incarnation;
            self.after(
                travel_ms * step / (steps + 1),
                Event::Progress {
                    incarnation,
                    action: id,
                    sent_bytes: bytes.size_bytes() / steps * step,
                },
            );
        }
        if stalls {
            // Nothing more is heard of it until the engine cuts it off.
            return;
        }
        if lost {
            return self.answer_after(travel_ms * until / (steps + 1) + 1, id, transport("reset"));
        }
        if self.chance(faults.server_error) {
            let outcome = self.server_error(true);
            return self.answer_after(latency_ms * 2, id, outcome);
        }
        if self.chance(faults.error_in_200) {
            let outcome = store_error(200, "InternalError", None);
            return self.answer_after(travel_ms, id, outcome);
        }
        let bytes = if self.chance(faults.corrupt) {
            bytes.rotten(self.rng.u64(..))
        } else {
            bytes
        };
        self.send(travel_ms, id, Request::Put { url, bytes });
    }

    fn send(&mut self, delay_ms: u64, action: ActionId, request: Request) {
        let faults = self.options.faults.clone();
        let incarnation = self.host.incarnation;
        if self.chance(faults.duplicate) {
            let later_ms = delay_ms + self.rng.u64(..20_000);
            self.after(
                later_ms,
                Event::Arrive {
                    incarnation,
                    action,
                    request: request.clone(),
                    fate: Fate::Copy,
                },
            );
        }
        let fate = if self.chance(faults.answer_lost) {
            Fate::AnswerLost
        } else {
            Fate::Answered
        };
        self.after(
            delay_ms,
            Event::Arrive {
                incarnation,
                action,
                request,
                fate,
            },
        );
    }

    /// A request is there: it takes effect, and its answer sets out.
    pub(super) fn arrive(
        &mut self,
        incarnation: u32,
        action: ActionId,
        request: &Request,
        fate: Fate,
    ) -> Result<(), Violation> {
        let latency_ms = self.latency_ms();
        let outcome = if self.offline || self.outage {
            transport("connection lost")
        } else {
            let again = self.backend.store.stored_again;
            let outcome = self.take_effect(request)?;
            if fate == Fate::Copy {
                // What the network repeats by itself is not the engine's doing.
                self.backend.store.stored_again = again;
            }
            outcome
        };
        if fate == Fate::Copy || incarnation != self.host.incarnation {
            return Ok(());
        }
        let outcome = if fate == Fate::AnswerLost {
            transport("answer lost")
        } else {
            outcome
        };
        self.after(
            latency_ms,
            Event::Deliver {
                incarnation,
                action,
                outcome,
            },
        );
        Ok(())
    }

    fn take_effect(&mut self, request: &Request) -> Result<Outcome, Violation> {
        let now_ms = self.now_ms;
        Ok(match request {
            Request::Start { key, request } => {
                let answer = self.backend.start(*key, request, now_ms);
                call_outcome(answer, |response| Outcome::Started(Box::new(response)))
            }
            Request::StartMany { request } => {
                Outcome::StartedMany(self.backend.start_many(&request.starts, now_ms))
            }
            Request::CompleteMany { request } => {
                Outcome::CompletedMany(self.backend.complete_many(&request.completes))
            }
            Request::Call { session, token, call } => match call {
                SessionCall::Sign(request) => {
                    let answer = self.backend.sign(*session, token, &request.parts, now_ms);
                    call_outcome(answer, Outcome::Signed)
                }
                SessionCall::Fetch => {
                    let answer = self.backend.fetch(*session, token);
                    call_outcome(answer, |response| Outcome::Session(Box::new(response)))
                }
                SessionCall::Seal(request) => {
                    let answer = self.backend.seal(*session, token, request.checksum_crc64nvme);
                    call_outcome(answer, Outcome::Sealed)
                }
                SessionCall::Complete(request) => {
                    let answer = self.backend.complete(*session, token, request.checksum_crc64nvme);
                    call_outcome(answer, Outcome::Completed)
                }
                SessionCall::Abort => call_outcome(self.backend.abort(*session, token), |()| Outcome::Done),
            },
            Request::Put { url, bytes } => match self.backend.store.put(url, *bytes, now_ms) {
                Ok(()) => {
                    self.check_stored(url, *bytes)?;
                    Outcome::Put
                }
                Err(refusal)
                    if refusal.code == "AccessDenied" && self.chance(self.options.faults.hidden_403) =>
                {
                    transport("403 without a CORS header")
                }
                Err(refusal) => store_error(refusal.status, refusal.code, None),
            },
        })
    }

    fn server_error(&mut self, store: bool) -> Outcome {
        let retry_after = self.rng.bool().then(|| self.rng.u32(..6));
        match (self.rng.u8(..4), store) {
            (0, true) => store_error(503, "SlowDown", retry_after),
            (1, true) => store_error(500, "InternalError", retry_after),
            (0, false) => problem(ErrorCode::StoreUnavailable, retry_after),
            (1, false) => problem(ErrorCode::Internal, retry_after),
            (status, _) => Outcome::Failed(Failure::Http {
                status: if status == 2 { 502 } else { 429 },
                code: None,
                store_code: None,
                detail: "a gateway's page".to_owned(),
                retry_after_seconds: retry_after,
            }),
        }
    }

    /// Something that comes over the world by itself.
    pub(super) fn fault(&mut self, event: &Event) {
        if self.calm && !matches!(event, Event::Online | Event::OutageEnds) {
            return;
        }
        self.trace(|| format!("  ~ {event:?}"));
        match *event {
            Event::Offline { for_ms } => {
                self.offline = true;
                if self.rng.bool() {
                    self.input(Input::Connectivity { online: false });
                }
                self.after(for_ms, Event::Online);
            }
            Event::Online => {
                self.offline = false;
                self.input(Input::Connectivity { online: true });
            }
            Event::Outage { for_ms } => {
                self.outage = true;
                self.after(for_ms, Event::OutageEnds);
            }
            Event::OutageEnds => self.outage = false,
            Event::Sleep { for_ms } => self.sleep(for_ms),
            Event::Rot => {
                if let Some((upload, part)) = self.disk.rot(&mut self.rng) {
                    self.trace(|| format!("  ~ staged part {part} of {upload} rots"));
                    self.oracle.rotted(upload);
                }
            }
            Event::StoreAborts => {
                let count = self.backend.sessions().len();
                if count > 0 {
                    let index = self.rng.usize(..count);
                    self.backend.lose(index);
                    self.oracle.lost_by_store(&self.backend.sessions()[index]);
                }
            }
            Event::SourceLost => {
                let count = self.host.sources.len();
                let index = if count > 0 { self.rng.usize(..count) } else { 0 };
                if let Some(source) = self.host.sources.values_mut().nth(index) {
                    source.readable = false;
                }
            }
            Event::StagingToggles => {
                self.host.staging = !self.host.staging;
                let available = self.host.staging;
                self.input(Input::Staging { available });
            }
            Event::Calm => self.calm_down(),
            _ => {}
        }
    }

    /// The machine sleeps: what is on the wire is lost, answers come after waking up, and the
    /// monotonic clock may or may not have gone on.
    fn sleep(&mut self, for_ms: u64) {
        let clock_stands = self.rng.bool();
        let incarnation = self.host.incarnation;
        let of_host = |event: &Event| {
            matches!(event, Event::Arrive { incarnation: i, .. } | Event::Disk { incarnation: i, .. }
                | Event::Deliver { incarnation: i, .. } | Event::Progress { incarnation: i, .. } if *i == incarnation)
        };
        let events =
            self.take_events(|event| of_host(event) || matches!(event, Event::Person(_) | Event::HostStarts));
        for (at_ms, event) in events {
            let delay_ms = at_ms.saturating_sub(self.now_ms);
            match event {
                Event::Arrive {
                    action,
                    fate: Fate::Answered | Fate::AnswerLost,
                    ..
                } => self.answer_after(for_ms + delay_ms, action, transport("connection lost in sleep")),
                Event::Progress { .. } => {}
                other => self.after(for_ms + delay_ms, other),
            }
        }
        self.now_ms += for_ms;
        if clock_stands {
            self.host.slept_ms += for_ms;
        }
        self.oracle.urls_given_up();
        self.input(Input::ClockJumped);
    }

    fn calm_down(&mut self) {
        self.begin_calm();
        self.offline = false;
        self.outage = false;
        self.host.staging = true;
        self.input(Input::Connectivity { online: true });
        self.input(Input::Staging { available: true });
        self.person_tidies_up();
    }

    /// Sets the times at which things come over the world by themselves.
    pub(super) fn plan_faults(&mut self) {
        let faults = self.options.faults.clone();
        self.sprinkle(faults.offline_per_minute, |rng| Event::Offline {
            for_ms: rng.u64(..20_000),
        });
        self.sprinkle(faults.outage_per_minute, |rng| Event::Outage {
            for_ms: rng.u64(..15_000),
        });
        self.sprinkle(faults.sleep_per_minute, |rng| Event::Sleep {
            for_ms: rng.u64(1_000..7_200_000),
        });
        self.sprinkle(faults.rot_per_minute, |_| Event::Rot);
        self.sprinkle(faults.store_abort_per_minute, |_| Event::StoreAborts);
        self.sprinkle(faults.source_lost_per_minute, |_| Event::SourceLost);
        self.sprinkle(faults.staging_toggle_per_minute, |_| Event::StagingToggles);
    }

    pub(super) fn sprinkle(&mut self, per_minute: f64, event: impl Fn(&mut fastrand::Rng) -> Event) {
        for minute in 0..self.options.calm_at_ms / 60_000 {
            // Rates above one a minute are made of several chances below one.
            let mut rate = per_minute;
            while rate > 0.0 {
                if self.rng.f64() < rate.min(1.0) {
                    let at_ms = minute * 60_000 + self.rng.u64(..60_000);
                    let event = event(&mut self.rng);
                    self.after(at_ms, event);
                }
                rate -= 1.0;
            }
        }
    }
}

fn transport(detail: &str) -> Outcome {
    Outcome::Failed(Failure::Transport {
        detail: detail.to_owned(),
    })
}

fn store_error(status: u16, code: &str, retry_after_seconds: Option<u32>) -> Outcome {
    Outcome::Failed(Failure::Http {
        status,
        code: None,
        store_code: Some(code.to_owned()),
        detail: "the store's words".to_owned(),
        retry_after_seconds,
    })
}

fn problem(code: ErrorCode, retry_after_seconds: Option<u32>) -> Outcome {
    Outcome::Failed(Failure::Http {
        status: code.http_status(),
        code: Some(code),
        store_code: None,
        detail: code.title().to_owned(),
        retry_after_seconds,
    })
}

fn call_outcome<T>(answer: Answer<T>, wrap: impl FnOnce(T) -> Outcome) -> Outcome {
    match answer {
        Ok(response) => wrap(response),
        Err(code) => problem(code, None),
    }
}
