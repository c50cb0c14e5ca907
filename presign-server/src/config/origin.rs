//! Where each setting came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::Args;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A flag.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// The file of settings.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The origins of all settings of one reading.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    /// What flags and environment gave.
    pub(super) given: BTreeMap<String, Origin>,
    /// The file, and the settings in it.
    pub(super) file: Option<(PathBuf, BTreeSet<String>)>,
}

impl Origins {
    pub(super) fn of(&self, name: &str) -> Origin {
        if let Some(origin) = self.given.get(name) {
            return origin.clone();
        }
        match &self.file {
            Some((path, names)) if names.contains(name) => Origin::File(path.clone()),
            _ => Origin::Default,
        }
    }
}

impl Args {
    /// This process' flags and environment. Ends the process as clap does: after `--help`, and with what
    /// was wrong.
    pub fn read() -> Self {
        Self::read_from(std::env::args_os())
    }

    /// The same from these arguments, the program's name first.
    pub fn read_from<T>(arguments: impl IntoIterator<Item = T>) -> Self
    where
        T: Into<std::ffi::OsString> + Clone,
    {
        let matches = Self::command().get_matches_from(arguments);
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        args.origins = origins(&matches);
        args
    }
}

fn origins(matches: &ArgMatches) -> BTreeMap<String, Origin> {
    let mut found = BTreeMap::new();
    for argument in Args::command().get_arguments() {
        let Some(long) = argument.get_long() else {
            continue;
        };
        let origin = match matches.value_source(argument.get_id().as_str()) {
            Some(ValueSource::CommandLine) => Origin::Flag(format!("--{long}")),
            Some(ValueSource::EnvVariable) => {
                let name = argument.get_env().unwrap_or_default();
                Origin::Variable(name.to_string_lossy().into_owned())
            }
            _ => continue,
        };
        found.insert(long.replace('-', "_"), origin);
    }
    found
}
