//! Settings that can't be used, by name.

use crate::http::access::AccessRuleError;

/// A setting can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read, or has a name or value nobody knows.
    #[error("settings can't be read: {0}")]
    Unreadable(Box<figment::Error>),
    /// A value is outside what is possible.
    #[error("setting `{name}` is {value}: {reason}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A host or origin can't be read.
    #[error(transparent)]
    Access(#[from] AccessRuleError),
}

pub(super) fn value_error(name: &'static str, value: &str, reason: &str) -> ConfigError {
    ConfigError::Value {
        name,
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}
