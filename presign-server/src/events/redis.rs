//! Events between processes, by a Redis server.
//!
//! Each process has its own log of facts and serves its subscribers from that. Redis carries news from
//! log to log (pub/sub) and keeps them for processes that start later (a hash a run). Since facts are a
//! set, a log is made whole after a lost connection by reading all that Redis keeps again, and Redis after
//! a loss by what the logs know.

mod follow;
mod forward;
mod keys;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::log::Log;
use super::{Audience, EventBus, EventLimits, News, Subscription};
use crate::store::RedisAddress;
use follow::Follower;
use forward::Forwarder;
use keys::Keys;

/// Tells every process on one Redis server.
///
/// While the server is away its own subscribers are told all the same, and what others should hear
/// waits in a bounded queue.
pub struct RedisEventBus {
    log: Arc<Log>,
    forwarder: Arc<Forwarder>,
    _stop_on_drop: DropGuard,
}

/// The Redis can't be used. The text holds nothing of its address, which may have a password inside.
#[derive(Debug, thiserror::Error)]
#[error("the live view can't use its Redis: {reason}")]
pub struct RedisBusError {
    reason: String,
}

impl RedisEventBus {
    /// A bus over this Redis, under names that begin with `prefix`: buses of other prefixes in it are
    /// others. Connects in the background and for as long as it takes. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`RedisBusError`] when the address is of a kind that this build can't connect to.
    pub fn connect(address: &RedisAddress, prefix: &str, limits: EventLimits) -> Result<Self, RedisBusError> {
        let client = redis::Client::open(address.info()).map_err(|error| RedisBusError {
            reason: error.category().to_owned(),
        })?;
        let keys = Keys::new(prefix, client.get_connection_info().redis_settings().db());
        let log = Arc::new(Log::new(limits));
        let stop = CancellationToken::new();
        let forwarder = Forwarder::spawn(client.clone(), keys.clone(), limits, stop.clone());
        let forwarder = Arc::new(forwarder);
        let follower = Follower {
            client,
            keys,
            log: log.clone(),
            forwarder: forwarder.clone(),
        };
        tokio::spawn(follower.run(stop.clone()));
        Ok(Self {
            log,
            forwarder,
            _stop_on_drop: stop.drop_guard(),
        })
    }
}

#[async_trait]
impl EventBus for RedisEventBus {
    fn publish(&self, news: News) {
        // Only what is new here is sent on: a server lists the same 10,000 parts again and again.
        if let Some(fresh) = self.log.append(news) {
            self.forwarder.send(fresh);
        }
    }

    fn subscribe(&self, audience: Audience) -> Subscription {
        Subscription::new(self.log.clone(), audience)
    }

    async fn flush(&self) {
        self.forwarder.flush().await;
    }
}

impl fmt::Debug for RedisEventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEventBus").finish_non_exhaustive()
    }
}
