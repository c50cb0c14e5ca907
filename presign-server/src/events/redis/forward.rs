//! From this process to Redis: one queue, bounded, emptied in order for as long as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError, Script};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::keys::{Keys, field};
use crate::events::{EventLimits, News};

/// Events that wait for Redis at most: some 10 MB.
const QUEUE_EVENTS_MAX: usize = 65_536;

/// Events of one script call: it keeps Redis from others for a few ms.
const CALL_EVENTS_MAX: usize = 500;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// First and longest wait before news are sent again.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Times that news are sent which Redis answers with an error: something about them it can't take.
const REFUSED_ATTEMPTS_MAX: u32 = 5;

/// How often something is published in any case, so that a silent connection is told from a dead one.
pub(super) const BEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Takes news for Redis without ever waiting.
#[derive(Debug)]
pub(super) struct Forwarder {
    queue: UnboundedSender<Waiting>,
    /// Bounds the queue by its events.
    room: Arc<Semaphore>,
    overflow: Arc<Overflow>,
}

/// Whether news were lost for want of room.
#[derive(Debug, Default)]
struct Overflow {
    happened: AtomicBool,
    /// Told once there is room again.
    over: Notify,
}

/// News in the queue, and the room they take.
type Waiting = (News, OwnedSemaphorePermit);

struct Task {
    client: redis::Client,
    keys: Keys,
    limits: EventLimits,
    script: Script,
    connection: Option<MultiplexedConnection>,
    /// Whether it was said that Redis does not answer.
    failing: bool,
    overflow: Arc<Overflow>,
}

impl Forwarder {
    pub(super) fn spawn(
        client: redis::Client,
        keys: Keys,
        limits: EventLimits,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let overflow = Arc::new(Overflow::default());
        let task = Task {
            client,
            keys,
            limits,
            script: Script::new(include_str!("publish.lua")),
            connection: None,
            failing: false,
            overflow: overflow.clone(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run(waiting) => {}
            }
        });
        Self {
            queue,
            room: Arc::new(Semaphore::new(QUEUE_EVENTS_MAX)),
            overflow,
        }
    }

    /// Puts news into the queue. Where there is no room they are told
    /// from the log once there is.
    pub(super) fn send(&self, news: News) {
        let size = u32::try_from(news.events.len() + 1).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(size) {
            // The task ends with this process alone.
            Ok(room) => drop(self.queue.send((news, room))),
            Err(_) if self.overflow.happened.swap(true, Ordering::Relaxed) => {}
            Err(_) => tracing::warn!(
                "{QUEUE_EVENTS_MAX} events wait for Redis: viewers at other replicas hear of what comes now later; uploads go on"
            ),
        }
    }

    /// Waits until the queue is empty.
    pub(super) async fn flush(&self) {
        // All the room is only to be had when nothing waits. The semaphore is never closed.
        let all = u32::try_from(QUEUE_EVENTS_MAX).unwrap_or(u32::MAX);
        let _ = self.room.acquire_many(all).await;
    }

    /// Waits until news that were lost can be sent again.
    pub(super) async fn recovered(&self) {
        self.overflow.over.notified().await;
    }
}

impl Task {
    async fn run(mut self, mut waiting: UnboundedReceiver<Waiting>) {
        let mut beat = tokio::time::interval(BEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = waiting.recv() => match news {
                    Some((news, room)) => {
                        self.deliver(&news).await;
                        drop(room);
                        if waiting.is_empty() && self.overflow.happened.swap(false, Ordering::Relaxed) {
                            self.overflow.over.notify_one();
                        }
                    }
                    None => return,
                },
                // One that fails is noticed by whoever misses it.
                _ = beat.tick() => drop(self.beat().await),
            }
        }
    }

    async fn deliver(&mut self, news: &News) {
        let (mut delay, delay_max) = RETRY_DELAYS;
        let mut refused = 0;
        while let Err(error) = self.try_deliver(news).await {
            self.connection = None;
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(%error, "Redis takes no events: viewers at other replicas wait; uploads go on");
            }
            if !(error.is_io_error() || error.is_connection_dropped() || error.is_timeout()) {
                refused += 1;
            }
            if refused == REFUSED_ATTEMPTS_MAX {
                return;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(delay_max);
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("Redis takes events again");
        }
    }

    /// Repeating it is fine, also half-way.
    async fn try_deliver(&mut self, news: &News) -> Result<(), RedisError> {
        let mut events: Vec<(String, String)> = Vec::with_capacity(news.events.len());
        for event in &news.events {
            if let Some(field) = field(event) {
                events.push((field, json(event)?));
            }
        }
        let run = json(&news.run)?;
        // News without events tell that the run has started.
        let mut calls: Vec<&[(String, String)]> = events.chunks(CALL_EVENTS_MAX).collect();
        if calls.is_empty() {
            calls.push(&[]);
        }
        for events in calls {
            let mut call = self.script.prepare_invoke();
            call.key(self.keys.run(news.run.id)).key(&self.keys.runs);
            call.arg(news.run.id.to_string())
                .arg(&run)
                .arg(&self.keys.channel);
            call.arg(ms(self.limits.kept_ended))
                .arg(ms(self.limits.kept_silent));
            call.arg(self.limits.runs_max).arg(self.limits.errors_max);
            call.arg(&self.keys.run_prefix);
            for (field, event) in events {
                call.arg(field).arg(event);
            }
            let mut connection = connect(&self.client, &mut self.connection).await?;
            let _fresh: i64 = call.invoke_async(&mut connection).await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), RedisError> {
        let mut connection = connect(&self.client, &mut self.connection).await?;
        let mut beat = redis::cmd("PUBLISH");
        beat.arg(&self.keys.channel).arg("");
        let beat = beat.query_async::<()>(&mut connection).await;
        if beat.is_err() {
            self.connection = None;
        }
        beat
    }
}

/// The connection there is, or a new one.
async fn connect(
    client: &redis::Client,
    connection: &mut Option<MultiplexedConnection>,
) -> Result<MultiplexedConnection, RedisError> {
    if let Some(connection) = connection {
        return Ok(connection.clone());
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    let new = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(connection.insert(new).clone())
}

fn json(value: &impl serde::Serialize) -> Result<String, RedisError> {
    // Strings and numbers always serialize; if one did not, only viewers would miss it.
    serde_json::to_string(value).map_err(|error| {
        RedisError::from((
            redis::ErrorKind::Client,
            "an event can't be written",
            error.to_string(),
        ))
    })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
