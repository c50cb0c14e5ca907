//! From Redis into this process's log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use redis::{AsyncConnectionConfig, RedisError};
use tokio_util::sync::CancellationToken;
use upload_protocol::{LiveEvent, SessionId};

use super::forward::{BEAT_INTERVAL, Forwarder};
use super::keys::{Keys, RUN_FIELD};
use crate::events::log::Log;
use crate::events::{News, Run};

/// First and longest wait before Redis is reached for again.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Every process publishes more often than this: a connection silent for so long is dead.
const SILENCE_MAX: Duration = BEAT_INTERVAL.saturating_mul(3);

/// How long connecting may take, and each answer while all runs are read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs read in one call: each may have 10,000 parts.
const RUNS_AT_ONCE: usize = 10;

/// Keeps the log equal to what Redis knows.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) client: redis::Client,
    pub(super) keys: Keys,
    pub(super) log: Arc<Log>,
    pub(super) forwarder: Arc<Forwarder>,
}

impl Follower {
    /// Works until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (delay_min, delay_max) = RETRY_DELAYS;
        let mut delay = delay_min;
        loop {
            let mut whole = false;
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow(&mut whole) => ended,
            };
            if whole {
                delay = delay_min;
            }
            if let Err(error) = ended {
                tracing::debug!(%error, "can't follow events at Redis; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
            delay = (delay * 2).min(delay_max);
        }
    }

    /// Listens first, then reads what is kept, then takes what came meanwhile: in this order nothing is
    /// missed between, and no run's end overtakes its parts.
    async fn follow(&self, whole: &mut bool) -> Result<(), RedisError> {
        let listening = async {
            let mut listening = self.client.get_async_pubsub().await?;
            listening.subscribe(&self.keys.channel).await?;
            Ok::<_, RedisError>(listening)
        };
        let Ok(listening) = tokio::time::timeout(ANSWER_TIMEOUT, listening).await else {
            return Ok(());
        };
        let mut messages = listening?.into_on_message();
        self.reconcile().await?;
        *whole = true;
        loop {
            tokio::select! {
                next = tokio::time::timeout(SILENCE_MAX, messages.next()) => match next {
                    Ok(Some(message)) => take(&self.log, message.get_payload_bytes()),
                    _ => return Ok(()),
                },
                () = self.forwarder.recovered() => self.reconcile().await?,
            }
        }
    }

    /// Learns what Redis knows, and tells it what it doesn't: it may have lost what it had, or never
    /// have been sent it.
    async fn reconcile(&self) -> Result<(), RedisError> {
        let known = self.read_all().await?;
        for news in self.log.more_than(&known) {
            self.forwarder.send(news);
        }
        Ok(())
    }

    /// Answers how many facts Redis keeps of each run.
    async fn read_all(&self) -> Result<HashMap<SessionId, usize>, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connection.await?;
        // The oldest first, so that those are forgotten first where the log has no room for all.
        let mut range = redis::cmd("ZRANGE");
        range.arg(&self.keys.runs).arg(0).arg(-1);
        let ids: Vec<String> = range.query_async(&mut connection).await?;
        let ids: Vec<SessionId> = ids.iter().filter_map(|id| SessionId::parse(id)).collect();
        let mut known = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(RUNS_AT_ONCE) {
            let mut pipeline = redis::pipe();
            for id in ids {
                pipeline.cmd("HGETALL").arg(self.keys.run(*id));
            }
            let hashes: Vec<HashMap<String, String>> = pipeline.query_async(&mut connection).await?;
            for news in hashes.into_iter().filter_map(news_of) {
                known.insert(news.run.id, news.events.len() + 1);
                self.log.append(news);
            }
        }
        Ok(known)
    }
}

/// An empty message says that somebody is there.
fn take(log: &Log, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    match serde_json::from_slice::<News>(payload) {
        Ok(news) => drop(log.append(news)),
        // A newer server may tell what this one doesn't know.
        Err(error) => tracing::debug!(%error, "an event that can't be read"),
    }
}

/// A run's hash, put in order: errors, then parts by their numbers, since what is done has outlived its
/// errors; the end last. `None` where its time has run out.
fn news_of(mut hash: HashMap<String, String>) -> Option<News> {
    let run: Run = serde_json::from_str(&hash.remove(RUN_FIELD)?).ok()?;
    let events = hash.values().filter_map(|event| serde_json::from_str(event).ok());
    let mut events: Vec<LiveEvent> = events.collect();
    events.sort_by_key(|event| match event {
        LiveEvent::SessionStart(_) => (0, 0),
        LiveEvent::PartDone(part) => (2, part.part.value()),
        LiveEvent::Error(_) => (1, 0),
        LiveEvent::SessionDone(_) => (3, 0),
    });
    Some(News { run, events })
}
