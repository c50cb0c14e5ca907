//! Settings: flags over `HOLDFAST_*` environment over `holdfast.yaml` over defaults.

mod args;
mod error;
mod hooks;
mod identity;
mod origin;
mod reading;
mod session_store;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use upload_storage::StoreProfile;

use crate::auth::IdentityConfig;
use crate::hooks::Hook;
use crate::http::access::AccessRules;
use crate::http::network::Network;
use crate::http::rate::RateLimit;
use crate::serve::{ConnectionLimits, TlsFiles};
use crate::uploads::{RelayLimits, UploadPolicy};

pub use args::{Args, Command, Environment, KeysCommand};
pub use error::ConfigError;
pub use origin::Origin;
pub(crate) use reading::Reading;
pub use session_store::{SessionStoreKind, SessionStoreText};

/// File of settings looked for where no `--config` names one.
const CONFIG_FILE: &str = "holdfast.yaml";

/// Settings that were read, completed and checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of everything kept.
    pub data_dir: PathBuf,
    /// The bucket, or the embedded store.
    pub store: StoreConfig,
    /// Endpoint in URLs given to clients.
    pub s3_public_endpoint: Option<String>,
    /// Where sessions are kept.
    pub session_store: SessionStoreKind,
    /// Makes upload tokens; without it one is made and kept in the data folder.
    pub token_secret: Option<SecretString>,
    /// What uploads may be.
    pub policy: UploadPolicy,
    /// How much is relayed.
    pub relay: RelayLimits,
    /// Who receipts are of.
    pub receipt_issuer: String,
    /// Who is told of completions.
    pub completion_hook: Option<Hook>,
    /// Who is asked before a start.
    pub start_hook: Option<Hook>,
    /// Who may ask.
    pub access: AccessRules,
    /// Which credentials are taken.
    pub identity: IdentityConfig,
    /// Host names it answers for, beside those of its own machine.
    pub allowed_hosts: Vec<String>,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// How long a request's body may pause.
    pub body_timeout: Duration,
    /// What a connection may cost.
    pub connections: ConnectionLimits,
    /// Certificate and key; without them it is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether beyond loopback is wanted without authentication.
    pub insecure_open: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How often one client may call.
    pub rate_limit: RateLimit,
    /// Proxies that are believed when they say whom they ask for.
    pub trusted_proxies: Vec<Network>,
    /// What it was read from.
    pub(crate) reading: Reading,
}

/// The store of objects.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreConfig {
    /// A bucket elsewhere.
    Bucket {
        /// Its name.
        bucket: String,
        /// Endpoint of control calls, Amazon's when `None`.
        endpoint: Option<String>,
        /// Its region.
        region: Option<String>,
        /// What its store can do.
        profile: StoreProfile,
    },
    /// The store in this process, over `s3` in the data folder.
    Embedded {
        /// Its address.
        listen: SocketAddr,
        /// Its access key, made when `None`.
        access_key: Option<String>,
        /// Its secret key, made when `None`.
        secret_key: Option<SecretString>,
    },
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads the file, puts environment and flags over it, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting, its value and what to do.
    pub fn load(args: Args, environment: Environment) -> Result<Self, ConfigError> {
        let (reading, settings) = Reading::read(args, environment.clone())?;
        let origin = |name: &str| reading.origin(name);
        let mut config = settings
            .check(environment)
            .map_err(|error| error.at_origin(origin))?;
        config.reading = reading;
        Ok(config)
    }

    /// All settings in force as YAML, each with where it came from, secrets left out.
    pub fn shown(&self) -> String {
        self.reading.shown()
    }

    /// The file of clients that the same settings name: where `presign-server keys` works.
    ///
    /// # Errors
    /// [`ConfigError`] when no setting names one.
    pub fn clients_file(args: Args) -> Result<PathBuf, ConfigError> {
        let (_, settings) = Reading::read(args, Environment::default())?;
        let named = settings.clients_file;
        named.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
            error::value_error(
                "clients_file",
                "missing",
                "say which file: --clients-file or HOLDFAST_CLIENTS_FILE, the same as for the server",
            )
        })
    }
}

fn settings_file(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    match named {
        Some(path) if path.is_file() => Ok(Some(path.to_path_buf())),
        Some(path) => Err(ConfigError::Value {
            name: "config",
            value: path.display().to_string(),
            origin: Origin::Flag("--config".to_owned()),
            reason: "there is no such file".to_owned(),
        }),
        None => Ok(Some(PathBuf::from(CONFIG_FILE)).filter(|path| path.is_file())),
    }
}
