//! The clock, the queue of what is to come, and the loop.

use std::collections::BTreeMap;

use upload_engine::{ActionId, Command, EngineConfig, Input, Outcome, SourceId, Timestamp};
use upload_protocol::limits::MIB;
use upload_protocol::{ClientUploadId, FileInfo};
use uuid::Uuid;

use super::content::Content;
use super::disk::{Disk, DiskOp};
use super::host::Host;
use super::network::{Fate, Request};
use super::oracle::Oracle;
use super::person::{PersonEvent, Plan};
use super::server::Backend;
use super::{Options, Report, Violation};

/// Something that will happen. Those with an incarnation concern one life of the host.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request is at the server or the store.
    Arrive {
        incarnation: u32,
        action: ActionId,
        request: Request,
        fate: Fate,
    },
    /// A disk operation takes effect.
    Disk {
        incarnation: u32,
        action: ActionId,
        op: DiskOp,
    },
    /// The host learns how an action ended.
    Deliver {
        incarnation: u32,
        action: ActionId,
        outcome: Outcome,
    },
    Progress {
        incarnation: u32,
        action: ActionId,
        sent_bytes: u64,
    },
    Person(PersonEvent),
    /// The host starts again after a kill.
    HostStarts,
    /// The server's janitor makes its round.
    Tick,
    Offline {
        for_ms: u64,
    },
    Online,
    Outage {
        for_ms: u64,
    },
    OutageEnds,
    Sleep {
        for_ms: u64,
    },
    Rot,
    StoreAborts,
    SourceLost,
    StagingToggles,
    /// No more faults from here on.
    Calm,
}

/// How often the server's janitor makes its round.
const TICK_MS: u64 = 5_000;

/// More outputs than this without time going by is a livelock.
const OUTPUTS_AT_ONCE_MAX: u32 = 200_000;

/// After the faults have ended, everything must come to its end within this time, beside what the bytes
/// take on their way.
const CALM_MS_MAX: u64 = 30 * 60_000;

pub(super) type Tell = Option<Box<dyn FnMut(&str)>>;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) options: Options,
    pub(super) rng: fastrand::Rng,
    pub(super) now_ms: u64,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    /// What keeps the world busy: everything in the queue but the janitor's rounds.
    busy: usize,
    pub(super) backend: Backend,
    pub(super) disk: Disk,
    pub(super) host: Host,
    pub(super) config: EngineConfig,
    pub(super) oracle: Oracle,
    pub(super) plan: Plan,
    pub(super) offline: bool,
    pub(super) outage: bool,
    pub(super) calm: bool,
    end_ms: u64,
    pub(super) report: Report,
    pub(super) tell: Tell,
    /// A world that proves a promise of another one: nobody is there to pick a file.
    pub(super) proving: Option<ClientUploadId>,
}

impl World {
    pub(super) fn new(seed: u64, options: Options, tell: Tell) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut options = options;
        let checksum = rng.u8(..8) != 0;
        if !checksum {
            // Nobody could notice.
            options.faults.corrupt = 0.0;
            options.faults.rot_per_minute = 0.0;
        }
        let backend = Backend::new(
            (rng.u8(..4) == 0).then_some(6 * MIB),
            rng.u32(options.url_lifetime_s.0..=options.url_lifetime_s.1),
            checksum,
        );
        let disk = Disk::new(rng.u64(options.disk_bytes.0..=options.disk_bytes.1));
        let config = EngineConfig {
            part_size_bytes: Some(options.part_size_bytes),
            parts_in_flight_max: rng.u32(1..=8),
            active_uploads_max: rng.u32(1..=16),
            active_small_uploads_max: rng.u32(1..=40),
            shared_calls_max: if rng.bool() { 1 } else { 3 },
            bandwidth_bytes_per_second: (rng.u8(..8) == 0).then(|| rng.u64(MIB..=40 * MIB)),
            ..EngineConfig::default()
        };
        let host = Host::start(&config, rng.u64(..), 1);
        Self {
            seed,
            options,
            rng,
            now_ms: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            busy: 0,
            backend,
            disk,
            host,
            config,
            oracle: Oracle::default(),
            plan: Plan::default(),
            offline: false,
            outage: false,
            calm: false,
            end_ms: u64::MAX,
            report: Report::default(),
            tell,
            proving: None,
        }
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        self.plan_picks();
        self.plan_faults();
        self.after(TICK_MS, Event::Tick);
        let calm_at_ms = self.options.calm_at_ms;
        self.after(calm_at_ms, Event::Calm);
        self.live()?;
        self.check_end()?;
        self.report.took_ms = self.now_ms;
        self.report.parts_stored_again = self.backend.store.stored_again;
        Ok(self.report)
    }

    /// Steps until nothing is left to happen.
    pub(super) fn live(&mut self) -> Result<(), Violation> {
        loop {
            let event_at = self.queue.keys().next().map(|(at, _)| *at);
            let deadline = self.host.deadline_ms();
            if self.calm && self.is_settled() {
                return Ok(());
            }
            let next = match (event_at, deadline) {
                (Some(event), Some(deadline)) => event.min(deadline),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => return Ok(()),
            };
            if next > self.end_ms {
                return self.violation("every upload ends or waits for a person", self.describe_stuck());
            }
            self.now_ms = self.now_ms.max(next);
            if event_at.is_some_and(|at| at <= self.now_ms)
                && let Some((_, event)) = self.queue.pop_first()
            {
                self.busy -= usize::from(!matches!(event, Event::Tick));
                self.happen(event)?;
            }
            self.drain()?;
            self.check_deadline()?;
        }
    }

    /// From now on nothing goes wrong any more, and it must not take forever.
    pub(super) fn begin_calm(&mut self) {
        let bytes: u64 = self.plan.files.iter().map(|file| file.size_bytes).sum();
        let limit = self.config.bandwidth_bytes_per_second.unwrap_or(u64::MAX);
        let slowest = self.options.put_bytes_per_second.0.min(limit).max(1);
        self.calm = true;
        self.end_ms = self.now_ms + CALM_MS_MAX + 4 * bytes.saturating_mul(1000) / slowest;
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Arrive {
                incarnation,
                action,
                request,
                fate,
            } => self.arrive(incarnation, action, &request, fate)?,
            Event::Disk {
                incarnation,
                action,
                op,
            } => {
                if incarnation == self.host.incarnation {
                    self.disk_takes_effect(action, op);
                }
            }
            Event::Deliver {
                incarnation,
                action,
                outcome,
            } => {
                if incarnation == self.host.incarnation {
                    self.deliver(action, outcome);
                }
            }
            Event::Progress {
                incarnation,
                action,
                sent_bytes,
            } => {
                if incarnation == self.host.incarnation && self.host.outstanding.contains_key(&action) {
                    self.input(Input::Progress(action, sent_bytes));
                }
            }
            Event::Person(event) => self.person(event),
            Event::HostStarts => self.host_starts()?,
            Event::Tick => {
                if !self.outage {
                    self.backend.tick();
                }
                self.after(TICK_MS, Event::Tick);
            }
            _ => self.fault(&event),
        }
        Ok(())
    }

    /// Asks the engine what to do until it has nothing more, and does it.
    fn drain(&mut self) -> Result<(), Violation> {
        let mut outputs = 0;
        loop {
            let now = self.host_now();
            let Some(engine) = &mut self.host.engine else {
                return Ok(());
            };
            let Some(output) = engine.poll(now) else { break };
            outputs += 1;
            self.report.outputs += 1;
            if outputs > OUTPUTS_AT_ONCE_MAX {
                return self.violation("the engine comes to rest", format!("{output:?} and no end"));
            }
            self.trace(|| format!("  → {output:?}"));
            self.check_output(&output)?;
            self.execute(output)?;
            let dice = self.options.kill > 0.0 && !self.calm && self.report.kills < self.options.kills_max;
            if dice && self.rng.f64() < self.options.kill {
                return self.kill();
            }
        }
        self.look()
    }

    fn check_deadline(&self) -> Result<(), Violation> {
        match self.host.deadline_ms() {
            Some(at) if at <= self.now_ms && self.host.engine.is_some() => self.violation(
                "the next deadline lies in the future once everything was polled",
                format!("deadline {at} ms at {} ms", self.now_ms),
            ),
            _ => Ok(()),
        }
    }

    fn is_settled(&self) -> bool {
        self.busy == 0 && self.host.engine.is_some() && self.host.outstanding.is_empty() && self.all_at_rest()
    }

    pub(super) fn after(&mut self, delay_ms: u64, event: Event) {
        self.busy += usize::from(!matches!(event, Event::Tick));
        self.sequence += 1;
        self.queue
            .insert((self.now_ms.saturating_add(delay_ms), self.sequence), event);
    }

    /// Takes everything out of the queue that `wanted` picks.
    pub(super) fn take_events(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<(u64, Event)> {
        let keys: Vec<_> = self
            .queue
            .iter()
            .filter(|(_, event)| wanted(event))
            .map(|(key, _)| *key)
            .collect();
        let mut taken = Vec::new();
        for key in keys {
            if let Some(event) = self.queue.remove(&key) {
                self.busy -= usize::from(!matches!(event, Event::Tick));
                taken.push((key.0, event));
            }
        }
        taken
    }

    pub(super) fn host_now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms - self.host.slept_ms)
    }

    pub(super) fn input(&mut self, input: Input) {
        let now = self.host_now();
        self.trace(|| format!("  ← {input:?}"));
        if let Some(engine) = &mut self.host.engine {
            engine.handle(now, input);
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        let now = self.host_now();
        self.trace(|| format!("  ! {command:?}"));
        if let Some(engine) = &mut self.host.engine {
            engine.command(now, command);
        }
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        !self.calm && probability > 0.0 && self.rng.f64() < probability
    }

    pub(super) fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(tell) = &mut self.tell {
            tell(&format!("{:>9} {}", self.now_ms, line()));
        }
    }

    pub(super) fn violation<T>(&self, rule: &'static str, detail: impl Into<String>) -> Result<T, Violation> {
        Err(Violation {
            seed: self.seed,
            preset: self.options.preset,
            at_ms: self.now_ms,
            rule,
            detail: detail.into(),
        })
    }

    /// Sets a world apart in which the host dies now, with every picked file, and nothing else goes
    /// wrong. If what is promised is true, the upload completes there.
    pub(super) fn prove_safe(&mut self, upload: ClientUploadId) -> Result<(), Violation> {
        self.trace(|| format!("  ? {upload} is safe: proving it by a kill in a world set apart"));
        let mut other = Self {
            seed: self.seed,
            options: Options {
                calm_at_ms: 0,
                kill: 0.0,
                ..self.options.clone()
            },
            rng: self.rng.clone(),
            now_ms: self.now_ms,
            queue: BTreeMap::new(),
            sequence: 0,
            busy: 0,
            backend: self.backend.clone(),
            disk: self.disk.clone(),
            host: Host::dead(self.host.incarnation),
            config: self.config.clone(),
            oracle: self.oracle.clone(),
            plan: self.plan.clone(),
            offline: false,
            outage: false,
            calm: false,
            end_ms: u64::MAX,
            report: Report::default(),
            tell: self.tell.take(),
            proving: Some(upload),
        };
        other.begin_calm();
        other.oracle.host_died();
        other.after(TICK_MS, Event::Tick);
        other.host_starts()?;
        // The person would go on, too.
        other.oracle.pause(upload, false);
        other.command(Command::Resume(upload));
        let result = other.drain().and_then(|()| other.live());
        self.tell = other.tell.take();
        self.trace(|| "  ? end of the world set apart".to_owned());
        // Where the checkpoint could not be saved, the server completes a sealed session by itself.
        other.backend.tick();
        let completed = result.is_ok() && other.is_object_whole(upload);
        if !completed {
            let why = match result {
                Err(violation) => violation.to_string(),
                Ok(()) => format!("it ended {:?}", other.oracle.status(upload)),
            };
            return self.violation(
                "`safe` means that closing the page loses nothing",
                format!("{upload}: {why}"),
            );
        }
        self.report.proved_safe += 1;
        Ok(())
    }
}

/// A picked file.
#[derive(Debug, Clone)]
pub(super) struct PickedFile {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) content: Content,
}

impl PickedFile {
    pub(super) fn info(&self) -> FileInfo {
        FileInfo {
            name: self.name.clone(),
            size_bytes: self.size_bytes,
            content_type: "video/mp4".to_owned(),
            last_modified_ms: 1,
        }
    }
}

pub(super) fn upload_id(number: u64) -> ClientUploadId {
    // In the first six bytes, of which a report tells all.
    ClientUploadId::new(Uuid::from_u128(u128::from(0xc11e_0000_0000 + number) << 80))
}

pub(super) fn source_id(number: u64) -> SourceId {
    SourceId(number)
}
