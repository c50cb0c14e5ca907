//! What all uploads of an engine share: the clock's reading, the way out, the limits.

use std::collections::VecDeque;

use upload_protocol::ClientUploadId;

use crate::action::{Action, ActionId, Event, Output};
use crate::calls::SharedCalls;
use crate::concurrency::{Aimd, ConcurrencyController};
use crate::config::EngineConfig;
use crate::owners::{Owner, Owners};
use crate::pacing::TokenBucket;
use crate::progress::{JobRate, JobTime, RateMeter};
use crate::recorder::Outputs;
use crate::retry;
use crate::room::Room;
use crate::staging::StagingLanes;
use crate::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    pub(crate) config: EngineConfig,
    pub(crate) online: bool,
    pub(crate) staging_available: bool,
    pub(crate) stages: StagingLanes,
    pub(crate) parts_in_flight: u32,
    pub(crate) concurrency: Box<dyn ConcurrencyController + Send>,
    pub(crate) pacing: TokenBucket,
    pub(crate) room: Room,
    /// Bytes of all uploads that would have to be staged for everything to be safe.
    pub(crate) at_risk_bytes: u64,
    /// Starts and completes that wait to go out together with others.
    pub(crate) calls: SharedCalls,
    /// Of confirmed parts, over all uploads: what was sent may only have filled buffers.
    pub(crate) send_rate: RateMeter,
    pub(crate) stage_rate: JobRate,
    /// How long the last URL could be used after it was asked for.
    pub(crate) url_usable_ms: Option<u64>,
    /// How long a part is in flight.
    pub(crate) put_time: JobTime,
    rng: fastrand::Rng,
    outbox: VecDeque<Output>,
    /// All there have been, in short.
    pub(crate) outputs: Outputs,
    owners: Owners,
    next_action: u64,
}

impl Context {
    pub(crate) fn new(config: EngineConfig, seed: u64) -> Self {
        Self {
            now: Timestamp::default(),
            online: true,
            staging_available: true,
            stages: StagingLanes::new(&config),
            parts_in_flight: 0,
            concurrency: Box::new(Aimd::new(config.parts_in_flight_max)),
            pacing: TokenBucket::new(config.bandwidth_bytes_per_second),
            room: Room::new(config.storage_reserve_bytes),
            at_risk_bytes: 0,
            calls: SharedCalls::default(),
            send_rate: RateMeter::default(),
            stage_rate: JobRate::default(),
            url_usable_ms: None,
            put_time: JobTime::default(),
            rng: fastrand::Rng::with_seed(seed),
            outbox: VecDeque::new(),
            outputs: Outputs::default(),
            owners: Owners::default(),
            next_action: 1,
            config,
        }
    }

    /// Hands an action of one upload to the host.
    pub(crate) fn act(&mut self, upload: ClientUploadId, action: Action) -> ActionId {
        self.act_for(Owner::One(upload), action)
    }

    /// Hands an action to the host.
    pub(crate) fn act_for(&mut self, owner: Owner, action: Action) -> ActionId {
        let id = self.new_id();
        self.owners.insert(id, owner);
        self.put_out(Output::Action(id, action));
        id
    }

    /// An upload wants no more of an action. It is stopped once nobody does: its outcome, should one
    /// still come, is nobody's.
    pub(crate) fn cancel(&mut self, upload: ClientUploadId, id: ActionId) {
        if self.owners.leave(upload, id) {
            self.calls.ended(id);
            let stop = self.new_id();
            self.put_out(Output::Action(stop, Action::Cancel(id)));
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.put_out(Output::Event(event));
    }

    pub(crate) fn pop_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Takes an action that has ended off the table.
    pub(crate) fn take_owner(&mut self, id: ActionId) -> Option<Owner> {
        self.calls.ended(id);
        self.owners.take(id)
    }

    /// Parts that may be put on their way now.
    pub(crate) fn free_slots(&self) -> u32 {
        self.concurrency.limit().saturating_sub(self.parts_in_flight)
    }

    /// Parts of one upload that are made ready ahead of need: a second one for each in flight.
    pub(crate) fn window(&self) -> usize {
        self.concurrency.limit() as usize * 2
    }

    /// How many more parts will be put on their way within `millis`, over all uploads: those that find a
    /// free slot, and those whose turn comes as the ones in flight end.
    pub(crate) fn puts_within(&self, millis: u64) -> usize {
        let free = self.free_slots() as usize;
        let turns = match self.put_time.millis() {
            Some(each) => millis.saturating_mul(u64::from(self.concurrency.limit())) / each.max(1),
            // Nothing has ended yet: as far ahead as the window reaches.
            None => u64::MAX,
        };
        free.saturating_add(usize::try_from(turns).unwrap_or(usize::MAX))
    }

    /// When to try again after so many failures.
    pub(crate) fn retry_at(&mut self, failures: u32, retry_after_ms: u64) -> Timestamp {
        // Offline, only the host's word or a rare probe can end the wait.
        let failures = if self.online { failures } else { u32::MAX };
        self.now + retry::delay_ms(&self.config, &mut self.rng, failures, retry_after_ms)
    }

    fn put_out(&mut self, output: Output) {
        self.outputs.add(&output);
        self.outbox.push_back(output);
    }

    fn new_id(&mut self) -> ActionId {
        let id = ActionId(self.next_action);
        self.next_action += 1;
        id
    }
}
