//! Where sessions are kept, from a text that may hold a password.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, value_error};
use crate::store::{RedisAddress, is_redis_key_prefix};

/// What is said where a Redis is asked for and no token secret is set.
const TOKEN_SECRET_MISSING: &str = "replicas that share a Redis must have one secret, or each refuses the upload tokens of the others: make one with `openssl rand -base64 32` and give it to all";

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionStoreKind {
    /// In `sessions.db` in the data folder.
    Sqlite,
    /// In this process alone.
    Memory,
    /// In a Redis that replicas share.
    Redis {
        /// Where it is.
        address: RedisAddress,
        /// What its keys begin with.
        key_prefix: String,
    },
}

/// A store as it is written in the settings. An address may hold a password, so this is never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionStoreText(String);

impl SessionStoreText {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The store named, with what it needs of the other settings.
    pub(super) fn read(
        &self,
        key_prefix: &str,
        token_secret: Option<&SecretString>,
    ) -> Result<SessionStoreKind, ConfigError> {
        const NAME: &str = "session_store";
        const EXPECTED: &str =
            "expected `sqlite`, `memory` or a URL that begins with `redis://` or `rediss://`";
        let address = match self.0.as_str() {
            "sqlite" => return Ok(SessionStoreKind::Sqlite),
            "memory" => return Ok(SessionStoreKind::Memory),
            // What has a colon may be an address with a password: it is not repeated.
            text if !text.contains(':') => return Err(value_error(NAME, text, EXPECTED)),
            text => text.parse::<RedisAddress>(),
        };
        let address =
            address.map_err(|error| value_error(NAME, "a URL", &format!("it {error}; {EXPECTED}")))?;
        if !is_redis_key_prefix(key_prefix) {
            return Err(value_error(
                "redis_key_prefix",
                key_prefix,
                "expected 1 to 64 letters, digits, `-`, `_` and `.`",
            ));
        }
        if token_secret.is_none() {
            return Err(value_error(
                "HOLDFAST_TOKEN_SECRET",
                "not set",
                TOKEN_SECRET_MISSING,
            ));
        }
        Ok(SessionStoreKind::Redis {
            address,
            key_prefix: key_prefix.to_owned(),
        })
    }
}

impl FromStr for SessionStoreText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for SessionStoreText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionStoreText(..)")
    }
}

impl fmt::Display for SessionStoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => f.write_str("sqlite"),
            Self::Memory => f.write_str("memory"),
            Self::Redis { address, .. } => fmt::Display::fmt(address, f),
        }
    }
}
