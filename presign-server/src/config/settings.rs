//! Everything that can be set, with its default and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use upload_protocol::limits::{
    MIB, OBJECT_SIZE_BYTES_MAX, PART_SIZE_BYTES_DEFAULT, PART_SIZE_BYTES_MAX, PART_SIZE_BYTES_MIN,
    PRESIGNED_URL_LIFETIME_SECONDS_MAX,
};
use upload_storage::StoreProfile;

use super::args::Environment;
use super::error::{ConfigError, value_error};
use super::hooks::check_hook;
use super::reading::{Reading, without_password};
use super::session_store::SessionStoreText;
use super::{Config, LogFormat, StoreConfig};
use crate::http::access::{AccessRuleError, AccessRules};
use crate::http::network::{InvalidNetwork, Network};
use crate::http::rate::RateLimit;
use crate::key::is_prefix;
use crate::serve::{ConnectionLimits, TlsFiles};
use crate::store::REDIS_KEY_PREFIX_DEFAULT;
use crate::uploads::{RECEIPT_ISSUER, RelayLimits, UploadPolicy};

/// Shortest life of a URL. Clients sign no further ahead than they will send before it ends, and ask
/// anew for what ended: short lives cost calls and no upload.
const URL_LIFETIME_SECONDS_MIN: u32 = 2;

/// How much longer than a signed URL a session must live without a call. Leases are written hourly at
/// most, so a URL may be signed an hour after the last renewal; the second hour is for its last PUT.
const LEASE_MARGIN_SECONDS: u64 = 7200;

/// Most parts relayed at once: each holds two connections and a megabyte or two.
const RELAY_CONCURRENCY_MAX: usize = 10_000;

/// Longest name in receipts, in bytes.
const ISSUER_LENGTH_MAX: usize = 256;
/// Longest time limit that can be set.
const TIMEOUT_SECONDS_MAX: u64 = 3600;

/// How long a request's body may pause where nothing else is set.
const BODY_TIMEOUT_SECONDS: u64 = 30;

/// Everything as it is read, before it is checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    listen: SocketAddr,
    data_dir: PathBuf,
    s3_bucket: Option<String>,
    s3_endpoint: Option<String>,
    s3_public_endpoint: Option<String>,
    s3_region: Option<String>,
    s3_profile: Option<String>,
    session_store: SessionStoreText,
    redis_key_prefix: String,
    embedded_s3_listen: SocketAddr,
    embedded_s3_access_key: Option<String>,
    part_size_bytes: u64,
    file_size_bytes_max: u64,
    url_lifetime_seconds: u32,
    lease_seconds: u64,
    request_timeout_seconds: u64,
    relay_concurrency_max: usize,
    receipt_issuer: String,
    tls_cert_file: Option<PathBuf>,
    tls_key_file: Option<PathBuf>,
    connections_max: usize,
    header_timeout_seconds: u64,
    body_timeout_seconds: u64,
    completion_webhook_url: Option<String>,
    pre_start_hook_url: Option<String>,
    insecure_hooks: bool,
    key_prefix: String,
    allowed_host: Vec<String>,
    cors_allowed_origin: Vec<String>,
    rate_limit_per_second: u32,
    rate_limit_burst: u32,
    trusted_proxy: Vec<String>,
    pub(super) clients_file: Option<PathBuf>,
    pub(super) jwt_issuer: Option<String>,
    pub(super) jwt_audience: Option<String>,
    pub(super) jwt_jwks_url: Option<String>,
    pub(super) jwt_public_key_file: Option<PathBuf>,
    pub(super) jwt_client: String,
    insecure_open: bool,
    log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        let policy = UploadPolicy::default();
        let connections = ConnectionLimits::default();
        let rate_limit = RateLimit::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            data_dir: PathBuf::from(".holdfast"),
            s3_bucket: None,
            s3_endpoint: None,
            s3_public_endpoint: None,
            s3_region: None,
            s3_profile: None,
            session_store: SessionStoreText::new("sqlite"),
            redis_key_prefix: REDIS_KEY_PREFIX_DEFAULT.to_owned(),
            embedded_s3_listen: SocketAddr::from(([127, 0, 0, 1], 9000)),
            embedded_s3_access_key: None,
            part_size_bytes: PART_SIZE_BYTES_DEFAULT,
            file_size_bytes_max: OBJECT_SIZE_BYTES_MAX,
            url_lifetime_seconds: 3600,
            lease_seconds: policy.lease.as_secs(),
            request_timeout_seconds: 60,
            relay_concurrency_max: RelayLimits::default().concurrency_max,
            receipt_issuer: RECEIPT_ISSUER.to_owned(),
            tls_cert_file: None,
            tls_key_file: None,
            connections_max: connections.connections_max,
            header_timeout_seconds: connections.header_timeout.as_secs(),
            body_timeout_seconds: BODY_TIMEOUT_SECONDS,
            completion_webhook_url: None,
            pre_start_hook_url: None,
            insecure_hooks: false,
            key_prefix: policy.key_prefix,
            allowed_host: Vec::new(),
            cors_allowed_origin: Vec::new(),
            rate_limit_per_second: rate_limit.per_second,
            rate_limit_burst: rate_limit.burst,
            trusted_proxy: Vec::new(),
            clients_file: None,
            jwt_issuer: None,
            jwt_audience: None,
            jwt_jwks_url: None,
            jwt_public_key_file: None,
            jwt_client: "jwt".to_owned(),
            insecure_open: false,
            log_format: LogFormat::default(),
        }
    }
}

impl Settings {
    pub(super) fn check(self, environment: Environment) -> Result<Config, ConfigError> {
        let identity = self.identity(environment.jwt_secret)?;
        let access = self.access(identity.is_open())?;
        let trusted_proxies = self.trusted_proxies()?;
        self.check_listen(identity.is_open())?;
        self.check_sizes()?;
        self.check_timeouts()?;
        let tls = self.tls()?;
        let token_secret = environment.token_secret.as_ref();
        let session_store = self.session_store.read(&self.redis_key_prefix, token_secret)?;
        let hook = |name, url: &Option<String>| {
            let url = filled(url.as_deref());
            check_hook(
                name,
                url.as_deref(),
                environment.webhook_secret.as_ref(),
                self.insecure_hooks,
            )
        };
        let completion_hook = hook("completion_webhook_url", &self.completion_webhook_url)?;
        let start_hook = hook("pre_start_hook_url", &self.pre_start_hook_url)?;
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
            relay: RelayLimits {
                concurrency_max: self.relay_concurrency_max,
                ..RelayLimits::default()
            },
            receipt_issuer: self.receipt_issuer,
            completion_hook,
            start_hook,
            access,
            identity,
            allowed_hosts: self.allowed_host,
            request_timeout: Duration::from_secs(self.request_timeout_seconds),
            body_timeout: Duration::from_secs(self.body_timeout_seconds),
            connections: ConnectionLimits {
                connections_max: self.connections_max,
                header_timeout: Duration::from_secs(self.header_timeout_seconds),
            },
            tls,
            insecure_open: self.insecure_open,
            rate_limit: RateLimit {
                per_second: self.rate_limit_per_second,
                burst: self.rate_limit_burst,
            },
            trusted_proxies,
            reading: Reading::default(),
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
                &without_password(&endpoint),
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

    fn access(&self, open: bool) -> Result<AccessRules, ConfigError> {
        let mut access = AccessRules::of_listener(self.listen);
        if !open && self.allowed_host.is_empty() {
            access.allow_any_host();
        }
        for host in &self.allowed_host {
            let refused = |error: AccessRuleError| value_error("allowed_host", host, &error.to_string());
            access.allow_host(host).map_err(refused)?;
        }
        for origin in &self.cors_allowed_origin {
            let refused =
                |error: AccessRuleError| value_error("cors_allowed_origin", origin, &error.to_string());
            access.allow_origin(origin).map_err(refused)?;
        }
        Ok(access)
    }

    fn trusted_proxies(&self) -> Result<Vec<Network>, ConfigError> {
        let read = |text: &String| {
            text.parse()
                .map_err(|error: InvalidNetwork| value_error("trusted_proxy", text, &error.to_string()))
        };
        self.trusted_proxy.iter().map(read).collect()
    }

    fn check_listen(&self, open: bool) -> Result<(), ConfigError> {
        if self.listen.ip().is_loopback() || self.insecure_open || !open {
            return Ok(());
        }
        Err(value_error(
            "listen",
            &self.listen.to_string(),
            "beyond loopback anyone could upload, as no credentials are asked for: name clients by --clients-file (made with `presign-server keys create`) or tokens by --jwt-issuer, listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure-open",
        ))
    }

    fn check_timeouts(&self) -> Result<(), ConfigError> {
        for (name, seconds) in [
            ("request_timeout_seconds", self.request_timeout_seconds),
            ("header_timeout_seconds", self.header_timeout_seconds),
            ("body_timeout_seconds", self.body_timeout_seconds),
        ] {
            if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
                let expected = format!("expected 1 to {TIMEOUT_SECONDS_MAX} seconds");
                return Err(value_error(name, &seconds.to_string(), &expected));
            }
        }
        if self.rate_limit_burst == 0 {
            return Err(value_error(
                "rate_limit_burst",
                "0",
                "nobody could call: expected 1 or more; rate_limit_per_second 0 sets no limit",
            ));
        }
        if self.connections_max == 0 {
            return Err(value_error(
                "connections_max",
                "0",
                "nobody could connect: expected 1 or more",
            ));
        }
        Ok(())
    }

    /// Certificate and key: both or none.
    fn tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        match (given(&self.tls_cert_file), given(&self.tls_key_file)) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (None, None) => Ok(None),
            (Some(cert), None) => Err(value_error(
                "tls_cert_file",
                &cert.display().to_string(),
                "it needs --tls-key-file as well",
            )),
            (None, Some(key)) => Err(value_error(
                "tls_key_file",
                &key.display().to_string(),
                "it needs --tls-cert-file as well",
            )),
        }
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
        if self.relay_concurrency_max > RELAY_CONCURRENCY_MAX {
            return Err(value_error(
                "relay_concurrency_max",
                &self.relay_concurrency_max.to_string(),
                &format!("expected at most {RELAY_CONCURRENCY_MAX}; 0 relays none"),
            ));
        }
        let issuer = &self.receipt_issuer;
        if issuer.is_empty() || issuer.len() > ISSUER_LENGTH_MAX || issuer.chars().any(char::is_control) {
            return Err(value_error(
                "receipt_issuer",
                &issuer
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(80)
                    .collect::<String>(),
                &format!("expected a name of 1 to {ISSUER_LENGTH_MAX} bytes, such as uploads.example.com"),
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
pub(super) fn filled(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}
