//! Where a Redis is, without ever showing its password.

use std::fmt;
use std::str::FromStr;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo as _};
use url::Url;

/// A Redis by its URL: `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS.
///
/// Neither [`Debug`](fmt::Debug) nor [`Display`](fmt::Display) shows user or password.
#[derive(Clone)]
pub struct RedisAddress {
    pub(super) info: Box<ConnectionInfo>,
    shown: String,
    tls: bool,
}

/// A text is no address of a Redis. Holds nothing of the text: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisAddressError {
    /// It can't be read as a URL at all.
    #[error(
        "is no URL ({reason}): expected `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS; signs such as `/`, `#`, `?` and `@` in a password are written percent-encoded"
    )]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// It is a URL of something else.
    #[error("begins with `{scheme}://` where `redis://` or `rediss://` (TLS) is expected")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// It has a part that means nothing here.
    #[error(
        "has a {part}, which means nothing here: take it out, or write `#` and `?` in a password percent-encoded"
    )]
    Superfluous {
        /// `query` or `fragment`.
        part: &'static str,
    },
    /// Host or database is none.
    #[error("names no Redis: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}

impl RedisAddress {
    /// Whether the connection is made by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// What the library connects with. A process that connects by TLS must have chosen its rustls provider;
    /// this chooses one where it has not.
    pub(crate) fn info(&self) -> ConnectionInfo {
        if self.tls {
            // The library takes the process's provider, and panics where two are built in and none is
            // chosen. One that an app has chosen stays.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        (*self.info).clone()
    }

    /// A text without the password. A Redis that knows no `AUTH` repeats what it was told; the library
    /// leaves that out of its errors today, and this does whatever it does tomorrow.
    pub(super) fn scrub(&self, text: &str) -> String {
        match self.info.redis_settings().password() {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        }
    }
}

impl FromStr for RedisAddress {
    type Err = RedisAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|error| RedisAddressError::Url {
            reason: error.to_string(),
        })?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            scheme => {
                return Err(RedisAddressError::Scheme {
                    scheme: scheme.to_owned(),
                });
            }
        };
        if url.query().is_some() {
            return Err(RedisAddressError::Superfluous { part: "query" });
        }
        if url.fragment().is_some() {
            return Err(RedisAddressError::Superfluous { part: "fragment" });
        }
        let mut shown = url.clone();
        // Both fail only on a URL without a host, which is refused below.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        let info = url
            .into_connection_info()
            .map_err(|error| RedisAddressError::Unusable {
                reason: error.to_string(),
            })?;
        let tcp = TcpSettings::default().set_nodelay(true);
        Ok(Self {
            info: Box::new(info.set_tcp_settings(tcp)),
            shown: shown.to_string(),
            tls,
        })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for RedisAddress {
    /// The same place, whoever asks there.
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_shown_without_user_and_password() {
        let address: RedisAddress = "rediss://app:hush%2Fhush@cache.example:6380/3".parse().unwrap();
        assert_eq!(address.to_string(), "rediss://cache.example:6380/3");
        assert_eq!(format!("{address:?}"), "rediss://cache.example:6380/3");
        assert!(address.is_tls());
        assert_eq!(address.info.redis_settings().password(), Some("hush/hush"));
        assert_eq!(address.info.redis_settings().db(), 3);
    }

    #[test]
    fn text_that_is_no_address_is_refused_without_being_repeated() {
        let wrong = [
            ("redis://:hush@", "is no URL"),
            ("redis:hush", "names no Redis"),
            ("redis://app:hu/sh@cache", "is no URL"),
            ("https://app:hush@cache", "begins with `https://`"),
            ("redis://app:hush@cache/hush", "names no Redis"),
            ("redis://app:hush@cache?protocol=resp3", "has a query"),
            ("rediss://app:hush@cache#insecure", "has a fragment"),
        ];
        for (text, expected) in wrong {
            let error = text.parse::<RedisAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hush"), "{text}: {error}");
        }
    }
}
