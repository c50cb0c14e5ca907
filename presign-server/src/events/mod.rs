//! What happens to uploads, told to whoever watches.
//!
//! A run is an upload session, and what is known of it is a set of facts: its start, each part, each
//! error, its end. A fact is told once however often and from wherever it comes, so publishing may be
//! repeated, replicas may tell each other what they know, and a history never has to be matched with
//! what comes live.
//!
//! Nothing here decides anything about an upload: a bus that is down, slow or forgetful costs viewers
//! their view and uploads nothing.

mod log;
mod memory;
mod redis;
mod subscription;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use upload_protocol::{LiveEvent, SessionId, StartPayload};

pub use memory::MemoryEventBus;
pub use redis::{RedisBusError, RedisEventBus};
pub use subscription::{Subscription, TooManyRuns};

/// Takes news and tells them to every subscriber, of every process on the same bus.
///
/// Contract: a subscriber is sent what is kept of the runs it follows, then what comes, each fact once,
/// a run's start first and its end last. A slow one finds what it missed where it stopped, as long as it is kept; no
/// queue is kept for it. The rules are those of the suite in `upload_testkit::event_bus`, which every
/// bus passes.
#[async_trait]
pub trait EventBus: Send + Sync + fmt::Debug {
    /// Takes news. Never waits and never fails: what a bus can't take is lost to viewers and said in
    /// the log.
    fn publish(&self, news: News);

    /// Follows runs, at first none: see [`Subscription::add`].
    fn subscribe(&self, audience: Audience) -> Subscription;

    /// Waits until what was published before is where other processes find it. For a process that is
    /// about to end; give it a time limit.
    async fn flush(&self);
}

/// News of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// The run. Comes with all news of it, so that viewers are told its start however late the bus
    /// first hears of it.
    pub run: Run,
    /// What is new: parts, errors, the end. Starts in here are passed over.
    pub events: Vec<LiveEvent>,
}

/// A run as it started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The session's id.
    pub id: SessionId,
    /// Who owns it: the client, or one scope of it.
    pub owner: String,
    /// The client.
    pub client: String,
    /// What viewers are told first.
    pub start: StartPayload,
}

/// Whose runs a subscriber may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Audience {
    /// Everybody's.
    All,
    /// Those of one client, of all its scopes.
    Client(String),
    /// Those of one owner.
    Owner(String),
    /// One run.
    Run(SessionId),
}

impl Audience {
    /// Whether a run of this owner and client is among them.
    pub fn may_see(&self, id: SessionId, owner: &str, client: &str) -> bool {
        match self {
            Self::All => true,
            Self::Client(own) => own == client,
            Self::Owner(own) => own == owner,
            Self::Run(run) => *run == id,
        }
    }
}

/// How much a bus keeps, for viewers that come late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLimits {
    /// Most runs. The one that ended first goes first, then the one that has been silent longest.
    pub runs_max: usize,
    /// Most events in one process, of all runs together.
    pub events_max: usize,
    /// Most errors of one run; its parts are 10,000 at most.
    pub errors_max: usize,
    /// How long a run is kept after its end.
    pub kept_ended: Duration,
    /// How long a run of which nothing is heard.
    pub kept_silent: Duration,
}

impl Default for EventLimits {
    /// 1,000 runs, 500,000 events, 100 errors, one hour, one day.
    fn default() -> Self {
        Self {
            runs_max: 1000,
            events_max: 500_000,
            errors_max: 100,
            kept_ended: Duration::from_hours(1),
            kept_silent: Duration::from_hours(24),
        }
    }
}
