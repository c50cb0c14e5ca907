//! What all uploads of an engine share: the clock's reading, the way out, the limits.

use std::collections::{BTreeMap, VecDeque};

use upload_protocol::ClientUploadId;

use crate::action::{Action, ActionId, Event, Output};
use crate::concurrency::{Aimd, ConcurrencyController};
use crate::config::EngineConfig;
use crate::progress::{JobRate, RateMeter};
use crate::retry;
use crate::time::Timestamp;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    pub(crate) config: EngineConfig,
    pub(crate) online: bool,
    pub(crate) staging_available: bool,
    pub(crate) stages_in_flight: usize,
    /// As many parts are in flight as may be.
    pub(crate) slots_full: bool,
    pub(crate) concurrency: Box<dyn ConcurrencyController + Send>,
    /// Of confirmed parts, over all uploads: what was sent may only have filled buffers.
    pub(crate) send_rate: RateMeter,
    pub(crate) stage_rate: JobRate,
    rng: fastrand::Rng,
    outbox: VecDeque<Output>,
    owners: BTreeMap<ActionId, ClientUploadId>,
    next_action: u64,
}

impl Context {
    pub(crate) fn new(config: EngineConfig, seed: u64) -> Self {
        Self {
            now: Timestamp::default(),
            online: true,
            staging_available: true,
            stages_in_flight: 0,
            slots_full: false,
            concurrency: Box::new(Aimd::new(config.parts_in_flight_max)),
            send_rate: RateMeter::default(),
            stage_rate: JobRate::default(),
            rng: fastrand::Rng::with_seed(seed),
            outbox: VecDeque::new(),
            owners: BTreeMap::new(),
            next_action: 1,
            config,
        }
    }

    /// Hands an action to the host.
    pub(crate) fn act(&mut self, upload: ClientUploadId, action: Action) -> ActionId {
        let id = ActionId(self.next_action);
        self.next_action += 1;
        self.owners.insert(id, upload);
        self.outbox.push_back(Output::Action(id, action));
        id
    }

    /// Stops an action: its outcome, should one still come, is nobody's.
    pub(crate) fn cancel(&mut self, id: ActionId) {
        if self.owners.remove(&id).is_some() {
            let stop = ActionId(self.next_action);
            self.next_action += 1;
            self.outbox.push_back(Output::Action(stop, Action::Cancel(id)));
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outbox.push_back(Output::Event(event));
    }

    pub(crate) fn pop_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    /// Whose action it is, while it is under way.
    pub(crate) fn owner(&self, id: ActionId) -> Option<ClientUploadId> {
        self.owners.get(&id).copied()
    }

    /// Takes an action that has ended off the table.
    pub(crate) fn take_owner(&mut self, id: ActionId) -> Option<ClientUploadId> {
        self.owners.remove(&id)
    }

    /// When to try again after so many failures.
    pub(crate) fn retry_at(&mut self, failures: u32, retry_after_ms: u64) -> Timestamp {
        // Offline, only the host's word or a rare probe can end the wait.
        let failures = if self.online { failures } else { u32::MAX };
        self.now + retry::delay_ms(&self.config, &mut self.rng, failures, retry_after_ms)
    }
}
