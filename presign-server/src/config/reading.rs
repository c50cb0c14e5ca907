//! Reading all sources into one, and again when the file changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use figment::providers::{Format as _, Serialized, Yaml};
use figment::{Figment, Provider as _};
use serde_json::Value;

use super::args::{Args, Environment};
use super::error::ConfigError;
use super::origin::{Origin, Origins};
use super::settings::Settings;
use super::{Config, settings_file};
use crate::files::Watched;

/// What settings that were read are called, set to, and come from.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    args: Args,
    environment: Environment,
    origins: Origins,
    values: BTreeMap<String, Value>,
    /// The file, as it looked before it was read: what is written meanwhile is seen later.
    watched: Watched,
}

/// How alike two names must be, 0 to 1, for one to be taken for the other's misspelling.
const ALIKE_MIN: f64 = 0.8;

/// Settings whose value may hold a secret anywhere: it is not shown at all.
const HIDDEN: [&str; 2] = ["completion_webhook_url", "pre_start_hook_url"];

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its values are as they were written, secrets included.
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Reading {
    /// Reads everything, and checks nothing but that each name is known and each value of its kind.
    pub(super) fn read(mut args: Args, environment: Environment) -> Result<(Self, Settings), ConfigError> {
        let mut origins = Origins {
            given: args.origins.clone(),
            file: None,
        };
        if args.part_size_bytes.is_none()
            && let Some(text) = &environment.part_size_bytes
        {
            let bytes = text.trim().parse();
            args.part_size_bytes = Some(bytes.map_err(|_| ConfigError::Value {
                name: "PART_SIZE_BYTES",
                value: text.clone(),
                origin: Origin::Variable("PART_SIZE_BYTES".to_owned()),
                reason: "expected a number of bytes".to_owned(),
            })?);
            let name = Origin::Variable("PART_SIZE_BYTES".to_owned());
            origins.given.insert("part_size_bytes".to_owned(), name);
        }
        for name in names_of(&args) {
            // Arguments that were made, not read: as if by flag.
            let flag = || Origin::Flag(format!("--{}", name.replace('_', "-")));
            origins.given.entry(name.clone()).or_insert_with(flag);
        }
        let mut figment = Figment::from(Serialized::defaults(Settings::default()));
        let mut watched = Watched::default();
        if let Some(path) = settings_file(args.config.as_deref())? {
            watched = Watched::new([path.clone()]);
            let file = Yaml::file_exact(&path);
            let names = names_in(&file, &path)?;
            origins.file = Some((path, names));
            figment = figment.merge(file);
        }
        let figment = figment.merge(Serialized::defaults(&args));
        let settings: Settings = figment.extract().map_err(|error| unreadable(&error, &origins))?;
        let reading = Self {
            args,
            environment,
            origins,
            values: values_of(&settings),
            watched,
        };
        Ok((reading, settings))
    }

    /// Where a setting came from.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.origins.of(name)
    }

    /// The file, where there is one, as it looked before it was read.
    pub(crate) fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// Whether there is a file.
    pub(crate) fn has_file(&self) -> bool {
        self.origins.file.is_some()
    }

    /// Reads the same sources again: flags and environment stay what they were.
    pub(crate) fn again(&self) -> Result<Config, ConfigError> {
        Config::load(self.args.clone(), self.environment.clone())
    }

    /// Names of the settings that differ.
    pub(crate) fn changed(&self, newer: &Self) -> Vec<String> {
        let differs = |name: &&String| self.values.get(*name) != newer.values.get(*name);
        newer.values.keys().filter(differs).cloned().collect()
    }

    /// All settings as YAML, each with where it came from, secrets left out.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.values {
            if HIDDEN.contains(&name.as_str()) && !value.is_null() {
                let _ = writeln!(text, "# {name}: set, not shown  # {}", self.origin(name));
                continue;
            }
            // Writing to a string never fails.
            let _ = writeln!(
                text,
                "{name}: {}  # {}",
                without_password(&value.to_string()),
                self.origin(name)
            );
        }
        let secret = |set: bool| if set { "set" } else { "not set" };
        let environment = &self.environment;
        for (name, set) in [
            ("HOLDFAST_TOKEN_SECRET", environment.token_secret.is_some()),
            ("HOLDFAST_JWT_SECRET", environment.jwt_secret.is_some()),
            ("HOLDFAST_WEBHOOK_SECRET", environment.webhook_secret.is_some()),
            (
                "HOLDFAST_EMBEDDED_S3_SECRET_KEY",
                environment.embedded_s3_secret_key.is_some(),
            ),
        ] {
            let _ = writeln!(text, "# {name}: {}", secret(set));
        }
        text
    }
}

/// An address may hold a password.
pub(super) fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

fn values_of(settings: &Settings) -> BTreeMap<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// What the arguments say something about.
fn names_of(args: &Args) -> Vec<String> {
    match serde_json::to_value(args) {
        Ok(Value::Object(map)) => map.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}

/// The names in the file, all of which must be known.
fn names_in(
    file: &figment::providers::Data<Yaml>,
    path: &std::path::Path,
) -> Result<BTreeSet<String>, ConfigError> {
    let broken = |error: figment::Error| ConfigError::Unreadable {
        what: format!("file {}", path.display()),
        reason: error.kind.to_string(),
    };
    let profiles = file.data().map_err(broken)?;
    let names: BTreeSet<String> = profiles.values().flat_map(|dict| dict.keys().cloned()).collect();
    let known = values_of(&Settings::default());
    match names.iter().find(|name| !known.contains_key(*name)) {
        None => Ok(names),
        Some(unknown) => Err(ConfigError::Unknown {
            name: unknown.clone(),
            path: path.to_path_buf(),
            hint: nearest(unknown, known.keys()),
        }),
    }
}

fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a String>) -> String {
    let alike = known.map(|name| (strsim::jaro_winkler(unknown, name), name));
    let best = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((alike, name)) if alike >= ALIKE_MIN => format!("did you mean `{name}`?"),
        _ => "docs/settings.md lists those there are".to_owned(),
    }
}

/// A value of another kind than the setting's.
fn unreadable(error: &figment::Error, origins: &Origins) -> ConfigError {
    let name = error.path.join(".");
    let what = match error.path.first() {
        Some(first) => format!("setting `{name}` ({})", origins.of(first)),
        None => "settings".to_owned(),
    };
    ConfigError::Unreadable {
        what,
        reason: error.kind.to_string(),
    }
}
