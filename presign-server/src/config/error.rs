//! Settings that can't be used: which, its value, where it came from.

use std::path::PathBuf;

use super::origin::Origin;

/// A setting can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read, or a value is of another kind than its setting.
    #[error("{what} can't be read: {reason}")]
    Unreadable {
        /// The setting, or the file.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The file has a setting that nobody knows.
    #[error("setting `{name}` (file {}) is unknown: {hint}", path.display())]
    Unknown {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: String,
    },
    /// A value is outside what is possible.
    #[error("setting `{name}` is {value} ({origin}): {reason}")]
    Value {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl ConfigError {
    /// Says where the value came from.
    pub(super) fn at_origin(mut self, of: impl Fn(&str) -> Origin) -> Self {
        if let Self::Value { name, origin, .. } = &mut self {
            *origin = of(name);
        }
        self
    }
}

/// A value outside what is possible. Where it came from is added by whoever read it.
pub(super) fn value_error(name: &'static str, value: &str, reason: &str) -> ConfigError {
    ConfigError::Value {
        name,
        value: value.to_owned(),
        origin: Origin::Default,
        reason: reason.to_owned(),
    }
}
