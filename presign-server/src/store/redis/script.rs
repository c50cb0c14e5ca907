//! The scripts: each is one step that nothing comes between, and may be repeated after a lost answer.
//!
//! Every key a script touches is named to it, and all keys of one prefix are in one hash slot. In each,
//! the first write is one that Redis refuses when its memory is full, so that it is refused whole.

use std::sync::LazyLock;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Script, ToRedisArgs};

/// A script, known to Redis by its hash.
pub(super) type Text = LazyLock<Script>;

pub(super) static CREATE: Text = LazyLock::new(|| Script::new(include_str!("create.lua")));
pub(super) static UPDATE: Text = LazyLock::new(|| Script::new(include_str!("update.lua")));
pub(super) static DELETE: Text = LazyLock::new(|| Script::new(include_str!("delete.lua")));
pub(super) static CLAIM: Text = LazyLock::new(|| Script::new(include_str!("claim.lua")));
pub(super) static LEASE: Text = LazyLock::new(|| Script::new(include_str!("lease.lua")));
pub(super) static RELEASE: Text = LazyLock::new(|| Script::new(include_str!("release.lua")));

/// A script with its keys and arguments.
pub(super) struct Invocation {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Invocation {
    pub(super) fn new(script: &'static Text, keys: Vec<String>) -> Self {
        Self {
            script,
            keys,
            arguments: Vec::new(),
        }
    }

    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    /// Sends the hash, and the text only to a Redis that does not know it (any more).
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<T, RedisError> {
        let mut invocation = self.script.prepare_invoke();
        for key in &self.keys {
            invocation.key(key);
        }
        for argument in &self.arguments {
            invocation.arg(argument.as_slice());
        }
        invocation.invoke_async(connection).await
    }
}
