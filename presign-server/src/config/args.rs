//! What the command line and the environment say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use secrecy::SecretString;
use serde::Serialize;

use super::LogFormat;
use super::origin::Origin;
use super::session_store::SessionStoreText;
use crate::auth::{ContentPattern, Role};

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
    /// What to do instead of serving
    #[command(subcommand)]
    #[serde(skip)]
    pub command: Option<Command>,
    /// File of settings [default: holdfast.yaml, where there is one]
    #[arg(long, env = "HOLDFAST_CONFIG", global = true)]
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
    /// Where sessions are kept: sqlite, memory, or for many replicas `redis://[user:password@]host[:port]/[database]`
    /// (rediss:// for TLS); better in the environment than here, where other users of the machine can read
    /// it [default: sqlite]
    #[arg(long, env = "HOLDFAST_SESSION_STORE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_store: Option<SessionStoreText>,
    /// What keys in Redis begin with: servers of one prefix share their sessions [default: holdfast]
    #[arg(long, env = "HOLDFAST_REDIS_KEY_PREFIX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_key_prefix: Option<String>,
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
    /// Parts relayed to the store at once for clients that can't reach it; 0 relays none [default: 64]
    #[arg(long, env = "HOLDFAST_RELAY_CONCURRENCY_MAX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_concurrency_max: Option<usize>,
    /// Name that receipts are given under, such as the server's host name [default: holdfast]
    #[arg(long, env = "HOLDFAST_RECEIPT_ISSUER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_issuer: Option<String>,
    /// Certificate for TLS with those between it and its root, in PEM; needs --tls-key-file. Read again
    /// when it changes
    #[arg(long, env = "HOLDFAST_TLS_CERT_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, env = "HOLDFAST_TLS_KEY_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_file: Option<PathBuf>,
    /// Connections at once; what comes above is closed [default: 10000]
    #[arg(long, env = "HOLDFAST_CONNECTIONS_MAX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_max: Option<usize>,
    /// How long a connection may take to send the headers of its next request, in seconds [default: 15]
    #[arg(long, env = "HOLDFAST_HEADER_TIMEOUT_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_timeout_seconds: Option<u64>,
    /// How long a request's body may pause, in seconds [default: 30]
    #[arg(long, env = "HOLDFAST_BODY_TIMEOUT_SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_timeout_seconds: Option<u64>,
    /// Where completions are told: an https URL; needs `HOLDFAST_WEBHOOK_SECRET`
    #[arg(long, env = "HOLDFAST_COMPLETION_WEBHOOK_URL", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_webhook_url: Option<String>,
    /// Where it is asked whether an upload may start: an https URL; needs `HOLDFAST_WEBHOOK_SECRET`
    #[arg(long, env = "HOLDFAST_PRE_START_HOOK_URL", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_start_hook_url: Option<String>,
    /// Let hooks go over http beyond loopback, where anybody on the way can read and change them
    #[arg(long, env = "HOLDFAST_INSECURE_HOOKS", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_hooks: Option<bool>,
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
    /// Calls a second that one client, session or address may make in the long run; 0 sets no limit
    /// [default: 500]
    #[arg(long, env = "HOLDFAST_RATE_LIMIT_PER_SECOND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_per_second: Option<u32>,
    /// Calls it may make at once after a pause [default: 5000]
    #[arg(long, env = "HOLDFAST_RATE_LIMIT_BURST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_burst: Option<u32>,
    /// Proxy, as an address or a network such as 10.0.0.0/8, that is believed when its `X-Forwarded-For`
    /// says whom it asks for; may be repeated
    #[arg(long = "trusted-proxy", env = "HOLDFAST_TRUSTED_PROXY", value_delimiter = ',')]
    #[serde(rename = "trusted_proxy", skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// File of clients and the hashes of their API keys; with it, starting uploads needs credentials
    #[arg(long, env = "HOLDFAST_CLIENTS_FILE", global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients_file: Option<PathBuf>,
    /// Issuer (`iss`) whose JWTs are taken; needs --jwt-audience and what checks their signatures:
    /// --jwt-jwks-url, --jwt-public-key-file or `HOLDFAST_JWT_SECRET` (HS256)
    #[arg(long, env = "HOLDFAST_JWT_ISSUER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_issuer: Option<String>,
    /// What a JWT's `aud` must name
    #[arg(long, env = "HOLDFAST_JWT_AUDIENCE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_audience: Option<String>,
    /// Where the issuer publishes its keys; https, or http on loopback
    #[arg(long, env = "HOLDFAST_JWT_JWKS_URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_jwks_url: Option<String>,
    /// The issuer's public key in PEM: RSA (RS256), P-256 (ES256), P-384 (ES384) or Ed25519 (`EdDSA`)
    #[arg(long, env = "HOLDFAST_JWT_PUBLIC_KEY_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// Client that a JWT is of when it names none [default: jwt]
    #[arg(long, env = "HOLDFAST_JWT_CLIENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_client: Option<String>,
    /// Listen beyond loopback although anyone who reaches the address may upload
    #[arg(long, env = "HOLDFAST_INSECURE_OPEN", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_open: Option<bool>,
    /// How to write the log: text or json [default: text]
    #[arg(long, env = "HOLDFAST_LOG_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Print the settings in force, each with where it came from, and end
    #[arg(long)]
    #[serde(skip)]
    pub print_config: bool,
    /// Where each was given; filled by [`Args::read`].
    #[arg(skip)]
    #[serde(skip)]
    pub origins: BTreeMap<String, Origin>,
}

/// What the binary does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make, list and revoke API keys in the clients file
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// What is done with API keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a key, for a new client or one more for an old one, and print it this once
    Create {
        /// Name of the client: letters, digits, `-` and `_`
        #[arg(long)]
        client: String,
        /// What a new client may beside starting uploads [default: uploader]
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// Folder of a new client's keys below the server's [default: its name]
        #[arg(long)]
        key_prefix: Option<String>,
        /// Largest file of a new client, in bytes
        #[arg(long)]
        file_size_bytes_max: Option<u64>,
        /// Bytes of all unfinished uploads of a new client together
        #[arg(long)]
        bytes_in_flight_max: Option<u64>,
        /// Content type that a new client may store, such as 'video/*'; may be repeated [default: all]
        #[arg(long = "content-type")]
        content_types: Vec<ContentPattern>,
        /// Days until the key ends [default: never]
        #[arg(long)]
        expires_in_days: Option<u32>,
    },
    /// List clients and their keys, which are known by their ids alone
    List,
    /// Take a key away; a running server refuses it within seconds
    Revoke {
        /// Id of the key, as listed
        key_id: String,
    },
}

/// Secrets and names that only the environment gives.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `PART_SIZE_BYTES`, below `HOLDFAST_PART_SIZE_BYTES`.
    pub part_size_bytes: Option<String>,
    /// `HOLDFAST_TOKEN_SECRET`.
    pub token_secret: Option<SecretString>,
    /// `HOLDFAST_JWT_SECRET`.
    pub jwt_secret: Option<SecretString>,
    /// `HOLDFAST_WEBHOOK_SECRET`.
    pub webhook_secret: Option<SecretString>,
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
            jwt_secret: var("HOLDFAST_JWT_SECRET").map(SecretString::from),
            webhook_secret: var("HOLDFAST_WEBHOOK_SECRET").map(SecretString::from),
            embedded_s3_secret_key: var("HOLDFAST_EMBEDDED_S3_SECRET_KEY").map(SecretString::from),
        }
    }
}
