//! One connection to a Redis for all calls of this process, made again whenever it is lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use super::address::RedisAddress;
use super::script::Invocation;
use crate::store::SessionStoreError;

/// How long it may take to connect, TLS and log-in included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a call may take in all, connecting included. A client repeats what failed, so a quick "no" is
/// worth more to it than a late "yes".
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls under way on the connection at once; more wait in their own tasks, within their time.
const CALLS_MAX: usize = 1024;

/// Hands out one multiplexed connection.
///
/// The library's own manager is not used: it keeps a failed attempt for ever when Redis answered one with
/// words (`LOADING`, `max number of clients reached`, a password not known yet) instead of silence.
pub(super) struct Connection {
    client: Client,
    address: RedisAddress,
    config: AsyncConnectionConfig,
    /// The connection, or the one attempt under way to make it, that all calls share.
    current: Mutex<Option<Attempt>>,
    /// Whether the last attempt failed: the log tells the change, not every failure.
    down: Arc<AtomicBool>,
    /// Whether Redis was asked how it keeps what it is told.
    looked: Arc<AtomicBool>,
}

type Attempt = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

/// What is asked of Redis.
pub(super) enum Request {
    Command(Cmd),
    Script(Invocation),
}

impl Request {
    async fn send<T: FromRedisValue>(&self, mut connection: MultiplexedConnection) -> Result<T, RedisError> {
        match self {
            Self::Command(command) => command.query_async(&mut connection).await,
            Self::Script(invocation) => invocation.send(&mut connection).await,
        }
    }
}

impl Connection {
    /// Connects at the first call, not now.
    pub(super) fn new(address: RedisAddress) -> Result<Self, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CALL_TIMEOUT))
            .set_concurrency_limit(CALLS_MAX);
        Ok(Self {
            client: Client::open(address.info())?,
            address,
            config,
            current: Mutex::new(None),
            down: Arc::default(),
            looked: Arc::default(),
        })
    }

    /// Asks, and asks once more when the connection turns out to be lost: one that nobody used for a while
    /// may have been closed unseen, by Redis or by something on the way. Everything asked here may be
    /// repeated; see the scripts.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        action: &'static str,
        request: &Request,
    ) -> Result<T, SessionStoreError> {
        let answer = tokio::time::timeout(CALL_TIMEOUT, async {
            match self.ask_once(request).await {
                Err(error) if error.is_connection_dropped() => self.ask_once(request).await,
                answer => answer,
            }
        });
        let message = match answer.await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => self.address.scrub(&error.to_string()),
            Err(_) => {
                // It may be gone without a word: the next call makes another.
                *lock(&self.current) = None;
                format!("no answer within {} s", CALL_TIMEOUT.as_secs())
            }
        };
        Err(SessionStoreError::Unavailable {
            action,
            message: format!("Redis at {}: {message}", self.address),
        })
    }

    async fn ask_once<T: FromRedisValue>(&self, request: &Request) -> Result<T, RedisError> {
        let attempt = self.attempt();
        let answer = match attempt.clone().await {
            Ok(connection) => request.send(connection).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &answer
            && (is_lost(error) || attempt.peek().is_some_and(Result::is_err))
        {
            let mut current = lock(&self.current);
            if current.as_ref().is_some_and(|current| current.ptr_eq(&attempt)) {
                *current = None;
            }
        }
        answer
    }

    /// The attempt that all calls share until it fails or what came of it is lost: however many calls
    /// wait, Redis sees one.
    fn attempt(&self) -> Attempt {
        let mut current = lock(&self.current);
        current
            .get_or_insert_with(|| {
                // A task of its own: callers that give up don't stop it.
                let task = tokio::spawn(connect(
                    self.client.clone(),
                    self.config.clone(),
                    self.address.clone(),
                    self.down.clone(),
                    self.looked.clone(),
                ));
                let joined = async move {
                    task.await.unwrap_or_else(|_| {
                        Err((ErrorKind::Client, "the attempt to connect was stopped").into())
                    })
                };
                joined.boxed().shared()
            })
            .clone()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn connect(
    client: Client,
    config: AsyncConnectionConfig,
    address: RedisAddress,
    down: Arc<AtomicBool>,
    looked: Arc<AtomicBool>,
) -> Result<MultiplexedConnection, RedisError> {
    match client.get_multiplexed_async_connection_with_config(&config).await {
        Ok(connection) => {
            if down.swap(false, Ordering::Relaxed) {
                tracing::info!(%address, "Redis is back");
            }
            if !looked.swap(true, Ordering::Relaxed) {
                tokio::spawn(warn_of_loss(connection.clone()));
            }
            Ok(connection)
        }
        Err(error) => {
            if !down.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    %address,
                    error = address.scrub(&error.to_string()),
                    "REDIS DOES NOT ANSWER: calls are refused until it does"
                );
            }
            Err(error)
        }
    }
}

/// Warns where Redis is set up to lose what it has answered. One that may not be asked is not warned of.
async fn warn_of_loss(mut connection: MultiplexedConnection) {
    let mut persistence = redis::cmd("INFO");
    let mut memory = redis::cmd("INFO");
    persistence.arg("persistence");
    memory.arg("memory");
    let persistence: Result<String, _> = persistence.query_async(&mut connection).await;
    let memory: Result<String, _> = memory.query_async(&mut connection).await;
    if persistence.is_ok_and(|text| text.contains("aof_enabled:0")) {
        tracing::warn!(
            "Redis keeps no append-only file: a restart of it may lose sessions. Set `appendonly yes` and `appendfsync always`"
        );
    }
    if memory
        .is_ok_and(|text| text.contains("maxmemory_policy:") && !text.contains("maxmemory_policy:noeviction"))
    {
        tracing::warn!("Redis deletes sessions when its memory is full: set `maxmemory-policy noeviction`");
    }
}

/// Whether another connection may do better: this one is broken, or its Redis is no longer the one that
/// takes writes (the name may lead to another by now).
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// A panic of another call left nothing half-done behind: the next one goes on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
