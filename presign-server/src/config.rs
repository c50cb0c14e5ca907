//! Settings: flags over `HOLDFAST_*` environment over `holdfast.yaml` over defaults.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use figment::Figment;
use figment::providers::{Format as _, Serialized, Yaml};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use upload_protocol::limits::{
    MIB, OBJECT_SIZE_BYTES_MAX, PART_SIZE_BYTES_DEFAULT, PART_SIZE_BYTES_MAX, PART_SIZE_BYTES_MIN,
    PRESIGNED_URL_LIFETIME_SECONDS_MAX,
};
use upload_storage::StoreProfile;

use crate::http::access::{AccessRuleError, AccessRules};
use crate::key::is_prefix;
use crate::uploads::UploadPolicy;

/// File of settings looked for where no `--config` names one.
const CONFIG_FILE: &str = "holdfast.yaml";

/// Shortest life of a URL. Clients sign no further ahead than they will send before it ends, and ask
/// anew for what ended: short lives cost calls and no upload.
const URL_LIFETIME_SECONDS_MIN: u32 = 2;

/// How much longer than a signed URL a session must live without a call. Leases are written hourly at
/// most, so a URL may be signed an hour after the last renewal; the second hour is for its last PUT.
const LEASE_MARGIN_SECONDS: u64 = 7200;

/// Flags and environment of the binary. Each may stand in `holdfast.yaml` under its name with
/// underscores.
#[derive(Debug, Clone, Default, Parser, Serialize)]
#[command(
    name = "presign-server",
    version,
    about = "Holdfast: uploads that survive the tab",
    args_override_self = true
)]
pub struct Args {
    /// File of settings [default: holdfast.yaml, where there is one]
    #[arg(long, env = "HOLDFAST_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:4000]
    #[arg(long, env = "HOLDFAST_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Folder for sessions, secrets and the embedded store [default: .holdfast]
    #[arg(long, env = "HOLDFAST_DATA_DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Bucket to upload to; without it the embedded store runs
    #[arg(long, env = "HOLDFAST_S3_BUCKET")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_bucket: Option<String>,
    /// Endpoint of an S3-compatible store; without it Amazon's
    #[arg(long, env = "HOLDFAST_S3_ENDPOINT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_endpoint: Option<String>,
    /// Endpoint that URLs given to clients name, where it differs from --s3-endpoint
    #[arg(long, env = "HOLDFAST_S3_PUBLIC_ENDPOINT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_public_endpoint: Option<String>,
    /// Region of the bucket; without it what the AWS environment says, then us-east-1
    #[arg(long, env = "HOLDFAST_S3_REGION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_region: Option<String>,
    /// What the bucket's store can do, by its name: aws, versitygw, minio, garage, r2, ceph or embedded
    /// [default: aws]
    #[arg(long, env = "HOLDFAST_S3_PROFILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_profile: Option<String>,
    /// Where sessions are kept: sqlite or memory [default: sqlite]
    #[arg(long, env = "HOLDFAST_SESSION_STORE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_store: Option<String>,
    /// Loopback address of the embedded store [default: 127.0.0.1:9000]
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded_s3_listen: Option<SocketAddr>,
    /// Access key of the embedded store; without it one is made and kept in the data folder
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_ACCESS_KEY", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded_s3_access_key: Option<String>,
    /// Part size in bytes for uploads that ask for none [default: 8388608] [env: `PART_SIZE_BYTES` too]
    #[arg(long, env = "HOLDFAST_PART_SIZE_BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_size_bytes: Option<u64>,
    /// Largest file in bytes [default: 50 TB]
    #[arg(long, env = "HOLDFAST_FILE_SIZE_BYTES_MAX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size_bytes_max: Option<u64>,
    /// How long a signed URL lives, in seconds [default: 3600]
    #[arg(long, env = "HOLDFAST_URL_LIFETIME_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_lifetime_seconds: Option<u32>,
    /// How long a session lives without a call, in seconds; at least --url-lifetime-seconds and 7200
    /// more [default: 604800]
    #[arg(long, env = "HOLDFAST_LEASE_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// How long a call may take, in seconds [default: 60]
    #[arg(long, env = "HOLDFAST_REQUEST_TIMEOUT_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout_seconds: Option<u64>,
    /// First part of every key [default: uploads]
    #[arg(long, env = "HOLDFAST_KEY_PREFIX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// Host name this server answers for, beside loopback names and its address; may be repeated
    #[arg(long = "allowed-host", env = "HOLDFAST_ALLOWED_HOST", value_delimiter = ',')]
    #[serde(rename = "allowed_host", skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// Origin whose pages may call this server, beside its own; may be repeated
    #[arg(
        long = "cors-allowed-origin",
        env = "HOLDFAST_CORS_ALLOWED_ORIGIN",
        value_delimiter = ','
    )]
    #[serde(rename = "cors_allowed_origin", skip_serializing_if = "Vec::is_empty")]
    pub cors_allowed_origins: Vec<String>,
    /// Listen beyond loopback although anyone who reaches the address may upload
    #[arg(long, env = "HOLDFAST_INSECURE_OPEN", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_open: Option<bool>,
    /// How to write the log: text or json [default: text]
    #[arg(long, env = "HOLDFAST_LOG_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
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

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStoreKind {
    /// In `sessions.db` in the data folder.
    Sqlite,
    /// In this process alone.
    Memory,
}

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
    /// Who may ask.
    pub access: AccessRules,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// Whether beyond loopback is wanted without authentication.
    pub insecure_open: bool,
    /// How the log is written.
    pub log_format: LogFormat,
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

/// Everything as it is read, before it is checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    listen: SocketAddr,
    data_dir: PathBuf,
    s3_bucket: Option<String>,
    s3_endpoint: Option<String>,
    s3_public_endpoint: Option<String>,
    s3_region: Option<String>,
    s3_profile: Option<String>,
    session_store: String,
    embedded_s3_listen: SocketAddr,
    embedded_s3_access_key: Option<String>,
    part_size_bytes: u64,
    file_size_bytes_max: u64,
    url_lifetime_seconds: u32,
    lease_seconds: u64,
    request_timeout_seconds: u64,
    key_prefix: String,
    allowed_host: Vec<String>,
    cors_allowed_origin: Vec<String>,
    insecure_open: bool,
    log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        let policy = UploadPolicy::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            data_dir: PathBuf::from(".holdfast"),
            s3_bucket: None,
            s3_endpoint: None,
            s3_public_endpoint: None,
            s3_region: None,
            s3_profile: None,
            session_store: "sqlite".to_owned(),
            embedded_s3_listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            embedded_s3_access_key: None,
            part_size_bytes: PART_SIZE_BYTES_DEFAULT,
            file_size_bytes_max: OBJECT_SIZE_BYTES_MAX,
            url_lifetime_seconds: 3600,
            lease_seconds: policy.lease.as_secs(),
            request_timeout_seconds: 60,
            key_prefix: policy.key_prefix,
            allowed_host: Vec::new(),
            cors_allowed_origin: Vec::new(),
            insecure_open: false,
            log_format: LogFormat::default(),
        }
    }
}

/// Secrets and names that only the environment gives.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `PART_SIZE_BYTES`, below `HOLDFAST_PART_SIZE_BYTES`.
    pub part_size_bytes: Option<String>,
    /// `HOLDFAST_TOKEN_SECRET`.
    pub token_secret: Option<SecretString>,
    /// `HOLDFAST_EMBEDDED_S3_SECRET_KEY`.
    pub embedded_s3_secret_key: Option<SecretString>,
}

impl Environment {
    /// What this process was started with. An empty variable is none.
    pub fn of_process() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            part_size_bytes: var("PART_SIZE_BYTES"),
            token_secret: var("HOLDFAST_TOKEN_SECRET").map(SecretString::from),
            embedded_s3_secret_key: var("HOLDFAST_EMBEDDED_S3_SECRET_KEY").map(SecretString::from),
        }
    }
}

impl Config {
    /// Reads the file, puts environment and flags over it, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting, its value and what to do.
    pub fn load(mut args: Args, environment: Environment) -> Result<Self, ConfigError> {
        if args.part_size_bytes.is_none()
            && let Some(text) = &environment.part_size_bytes
        {
            let bytes = text.trim().parse();
            args.part_size_bytes = Some(bytes.map_err(|_| ConfigError::Value {
                name: "PART_SIZE_BYTES",
                value: text.clone(),
                reason: "expected a number of bytes".to_owned(),
            })?);
        }
        let file = settings_file(args.config.as_deref())?;
        let figment = Figment::from(Serialized::defaults(Settings::default()));
        let figment = match file {
            Some(path) => figment.merge(Yaml::file_exact(path)),
            None => figment,
        };
        let settings: Settings = figment
            .merge(Serialized::defaults(args))
            .extract()
            .map_err(|error| ConfigError::Unreadable(Box::new(error)))?;
        settings.check(environment)
    }
}

fn settings_file(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    match named {
        Some(path) if path.is_file() => Ok(Some(path.to_path_buf())),
        Some(path) => Err(ConfigError::Value {
            name: "config",
            value: path.display().to_string(),
            reason: "there is no such file".to_owned(),
        }),
        None => Ok(Some(PathBuf::from(CONFIG_FILE)).filter(|path| path.is_file())),
    }
}

impl Settings {
    fn check(self, environment: Environment) -> Result<Config, ConfigError> {
        let access = self.access()?;
        self.check_listen()?;
        self.check_sizes()?;
        let session_store = session_store_kind(&self.session_store)?;
        let store = self.store(environment.embedded_s3_secret_key)?;
        Ok(Config {
            listen: self.listen,
            data_dir: self.data_dir,
            store,
            s3_public_endpoint: filled(self.s3_public_endpoint.as_deref()),
            session_store,
            token_secret: environment.token_secret,
            policy: UploadPolicy {
                part_size_bytes: self.part_size_bytes,
                file_size_bytes_max: self.file_size_bytes_max,
                url_lifetime: Duration::from_secs(self.url_lifetime_seconds.into()),
                lease: Duration::from_secs(self.lease_seconds),
                key_prefix: self.key_prefix,
            },
            access,
            request_timeout: Duration::from_secs(self.request_timeout_seconds),
            insecure_open: self.insecure_open,
            log_format: self.log_format,
        })
    }

    /// The bucket, or the embedded store where there is none.
    fn store(&self, embedded_secret_key: Option<SecretString>) -> Result<StoreConfig, ConfigError> {
        let profile = match filled(self.s3_profile.as_deref()) {
            Some(name) => {
                let profile = name.parse::<StoreProfile>();
                Some(profile.map_err(|error| value_error("s3_profile", &name, &error.to_string()))?)
            }
            None => None,
        };
        if let Some(bucket) = filled(self.s3_bucket.as_deref()) {
            return Ok(StoreConfig::Bucket {
                bucket,
                endpoint: filled(self.s3_endpoint.as_deref()),
                region: filled(self.s3_region.as_deref()),
                profile: profile.unwrap_or_default(),
            });
        }
        if let Some(endpoint) = filled(self.s3_endpoint.as_deref()) {
            return Err(value_error(
                "s3_endpoint",
                &endpoint,
                "it needs --s3-bucket as well",
            ));
        }
        if let Some(profile) = profile.filter(|profile| *profile != StoreProfile::Embedded) {
            return Err(value_error(
                "s3_profile",
                profile.as_str(),
                "it needs --s3-bucket as well: without a bucket the embedded store runs",
            ));
        }
        Ok(StoreConfig::Embedded {
            listen: self.embedded_s3_listen,
            access_key: filled(self.embedded_s3_access_key.as_deref()),
            secret_key: embedded_secret_key,
        })
    }

    fn access(&self) -> Result<AccessRules, ConfigError> {
        let mut access = AccessRules::of_listener(self.listen);
        for host in &self.allowed_host {
            access.allow_host(host)?;
        }
        for origin in &self.cors_allowed_origin {
            access.allow_origin(origin)?;
        }
        Ok(access)
    }

    fn check_listen(&self) -> Result<(), ConfigError> {
        if self.listen.ip().is_loopback() || self.insecure_open {
            return Ok(());
        }
        Err(value_error(
            "listen",
            &self.listen.to_string(),
            "beyond loopback anyone could upload, as this build has no authentication: listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure-open",
        ))
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let size = self.part_size_bytes;
        if !(PART_SIZE_BYTES_MIN..=PART_SIZE_BYTES_MAX).contains(&size) || !size.is_multiple_of(MIB) {
            return Err(value_error(
                "part_size_bytes",
                &size.to_string(),
                &format!("expected whole MiB from {PART_SIZE_BYTES_MIN} to {PART_SIZE_BYTES_MAX} bytes"),
            ));
        }
        if self.file_size_bytes_max > OBJECT_SIZE_BYTES_MAX {
            return Err(value_error(
                "file_size_bytes_max",
                &self.file_size_bytes_max.to_string(),
                &format!("S3's objects have at most {OBJECT_SIZE_BYTES_MAX} bytes"),
            ));
        }
        let lifetime = self.url_lifetime_seconds;
        if !(URL_LIFETIME_SECONDS_MIN..=PRESIGNED_URL_LIFETIME_SECONDS_MAX).contains(&lifetime) {
            return Err(value_error(
                "url_lifetime_seconds",
                &lifetime.to_string(),
                &format!(
                    "expected {URL_LIFETIME_SECONDS_MIN} to {PRESIGNED_URL_LIFETIME_SECONDS_MAX} seconds"
                ),
            ));
        }
        let lease_seconds_min = u64::from(lifetime) + LEASE_MARGIN_SECONDS;
        if self.lease_seconds < lease_seconds_min {
            return Err(value_error(
                "lease_seconds",
                &self.lease_seconds.to_string(),
                &format!(
                    "expected at least {lease_seconds_min} seconds: url_lifetime_seconds ({lifetime}) and {LEASE_MARGIN_SECONDS} more, since leases are renewed hourly and a URL must not outlive its session"
                ),
            ));
        }
        if !(1..=3600).contains(&self.request_timeout_seconds) {
            return Err(value_error(
                "request_timeout_seconds",
                &self.request_timeout_seconds.to_string(),
                "expected 1 to 3600 seconds",
            ));
        }
        if !is_prefix(&self.key_prefix) {
            return Err(value_error(
                "key_prefix",
                &self.key_prefix,
                "expected letters, digits, `-`, `_` and `.`, with single slashes between",
            ));
        }
        Ok(())
    }
}

/// An empty setting is none.
fn filled(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn session_store_kind(text: &str) -> Result<SessionStoreKind, ConfigError> {
    match text {
        "sqlite" => Ok(SessionStoreKind::Sqlite),
        "memory" => Ok(SessionStoreKind::Memory),
        // An address may hold a password: only its kind is repeated.
        _ if text.starts_with("redis://") || text.starts_with("rediss://") => Err(value_error(
            "session_store",
            "redis://…",
            "this build has no Redis store: use `sqlite` or `memory`",
        )),
        _ => Err(value_error(
            "session_store",
            text,
            "expected `sqlite` or `memory`",
        )),
    }
}

fn value_error(name: &'static str, value: &str, reason: &str) -> ConfigError {
    ConfigError::Value {
        name,
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}

impl fmt::Display for SessionStoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        })
    }
}
