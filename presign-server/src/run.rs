//! From settings to a running server, and down again.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use upload_storage::{
    AddressError, Credentials, S3Storage, S3StorageConfig, SharedCredentialsProvider, StoreProfile,
};

use crate::auth::{GrantMaker, Identity, IdentityError};
use crate::config::{Config, Reading, SessionStoreKind, StoreConfig};
use crate::events::{EventBus, EventLimits, MemoryEventBus, RedisBusError, RedisEventBus};
use crate::http::rate::RateLimits;
use crate::reload::{Hangups, Reloadable, follow, hangups};
use crate::routes::{AppState, router};
use crate::secrets::{SecretError, secret_file};
use crate::serve::{DRAIN_TIMEOUT, Front, TlsError};
use crate::startup::{Expectations, Finding, inspect};
use crate::store::{
    MemorySessionStore, RedisSessionStore, SessionStore, SessionStoreError, SqliteSessionStore,
};
use crate::token::{TokenMaker, WeakSecret};
use crate::uploads::{Announcer, AnnouncerTiming, Sealer, SealerTiming, Uploads};

/// Bucket of the embedded store.
const EMBEDDED_BUCKET: &str = "holdfast";

/// How long the last events may take to reach other replicas.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An address can't be listened on.
    #[error("cannot listen on {address} ({what}): {hint}")]
    Listen {
        /// What for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do.
        hint: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The embedded store is to listen beyond loopback.
    #[error(
        "the embedded store listens on loopback addresses only, not on {address}: use a bucket of your own"
    )]
    EmbeddedBeyondLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The data folder can't be used.
    #[error("cannot use the data folder {path:?}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The embedded store can't open its folder.
    #[error("cannot open the embedded store")]
    Embedded(#[source] embedded_s3::OpenError),
    /// An endpoint is no URL.
    #[error(transparent)]
    Endpoint(AddressError),
    /// The session store can't be opened.
    #[error("cannot open the session store")]
    Sessions(#[source] SessionStoreError),
    /// The live view can't tell other servers.
    #[error(transparent)]
    Events(RedisBusError),
    /// A secret can't be kept.
    #[error(transparent)]
    Secret(SecretError),
    /// The token secret is too short.
    #[error("HOLDFAST_TOKEN_SECRET can't be used")]
    WeakSecret(#[source] WeakSecret),
    /// Certificate or key can't be used.
    #[error(transparent)]
    Tls(TlsError),
    /// The clients file, or what checks JWTs, can't be used.
    #[error("cannot tell who may upload")]
    Identity(#[source] IdentityError),
    /// The listener failed.
    #[error("the server stopped")]
    Serve(#[source] std::io::Error),
}

/// A server that listens and is about to serve.
#[derive(Debug)]
pub struct Server {
    front: Front,
    state: AppState,
    embedded: Option<RunningStore>,
    identity: Option<Arc<Identity>>,
    reading: Reading,
    hangups: Hangups,
    bucket: Arc<S3Storage>,
    expected: Expectations,
}

#[derive(Debug)]
struct RunningStore {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// Opens stores and secrets and takes the addresses; serves nothing yet but the embedded store.
    ///
    /// # Errors
    /// [`RunError`], each with what to do.
    pub async fn open(config: Config) -> Result<Self, RunError> {
        // All that is opened lives in one future for a moment: too much for a caller's stack.
        Box::pin(Self::open_everything(config)).await
    }

    async fn open_everything(config: Config) -> Result<Self, RunError> {
        let path = config.data_dir.clone();
        std::fs::create_dir_all(&path).map_err(|source| RunError::DataDir { path, source })?;
        let listener = listen("the server", config.listen).await?;
        let front = Front::open(listener, config.connections, config.tls.clone())
            .await
            .map_err(RunError::Tls)?;
        let tokens = token_maker(&config)?;
        let grants = GrantMaker::new(&tokens);
        let identity = open_identity(&config, &grants)?;
        let sessions = open_sessions(&config)?;
        let (storage, embedded) = open_storage(&config).await?;
        let bucket = Arc::new(storage);
        let expected = expectations(&config, &front).map_err(RunError::Serve)?;
        let events = open_events(&config)?;
        let mut uploads = Uploads::builder(bucket.clone(), sessions, tokens)
            .policy(config.policy)
            .events(events)
            .relay(config.relay)
            .receipt_issuer(config.receipt_issuer);
        if let Some(hook) = config.completion_hook {
            uploads = uploads.completion_hook(hook);
        }
        if let Some(hook) = config.start_hook {
            uploads = uploads.start_hook(hook);
        }
        let uploads = uploads.build();
        let mut state = AppState::new(uploads, config.access);
        state.request_timeout = config.request_timeout;
        state.body_timeout = config.body_timeout;
        state.rate_limits = RateLimits::new(config.rate_limit, config.trusted_proxies);
        if let Some(identity) = &identity {
            state.authorizer = identity.clone();
            state.grants = Some(grants);
        }
        Ok(Self {
            front,
            state,
            embedded,
            identity,
            bucket,
            expected,
            hangups: hangups(&config.reading),
            reading: config.reading,
        })
    }

    /// Where it listens: the port is the system's choice where the settings said 0.
    ///
    /// # Errors
    /// The system's, when the socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.front.address()
    }

    /// The same as a URL: `https` where there is a certificate.
    ///
    /// # Errors
    /// The system's, when the socket is gone.
    pub fn url(&self) -> std::io::Result<String> {
        Ok(format!("{}://{}", self.front.scheme(), self.front.address()?))
    }

    /// Serves until `stop`; calls under way get 10 seconds, the store stops last.
    ///
    /// # Errors
    /// [`RunError::Serve`] when the listener fails.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        let open = self.identity.is_none();
        if let Some(identity) = self.identity {
            tokio::spawn(identity.run(stop.clone()));
        } else {
            tracing::warn!(
                "NO CREDENTIALS ARE ASKED FOR: anyone who reaches this address may upload; --clients-file or --jwt-issuer change that"
            );
        }
        tokio::spawn(check_stores(
            self.state.uploads.clone(),
            self.bucket,
            self.expected,
        ));
        let sealer = Sealer::new(self.state.uploads.clone(), SealerTiming::default());
        let reloadable = Reloadable {
            uploads: self.state.uploads.clone(),
            access: self.state.access.clone(),
            rate_limits: self.state.rate_limits.clone(),
            open,
        };
        tokio::spawn(follow(self.reading, reloadable, self.hangups, stop.clone()));
        let sealer_stop = CancellationToken::new();
        let sealer = tokio::spawn(sealer.run(sealer_stop.clone()));
        let announcer = Announcer::new(self.state.uploads.clone(), AnnouncerTiming::default());
        let announcer = tokio::spawn(announcer.run(sealer_stop.clone()));
        let (live, uploads) = (self.state.live.clone(), self.state.uploads.clone());
        let (stopping, closing) = (stop.clone(), live.clone());
        tokio::spawn(async move {
            stopping.cancelled().await;
            closing.close();
        });
        let metrics = self.state.uploads.metrics().clone();
        let served = self.front.serve(router(self.state), metrics, stop).await;
        // Their connections are no calls any more: nobody else waits for them.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, live.closed()).await;
        sealer_stop.cancel();
        if tokio::time::timeout(DRAIN_TIMEOUT, sealer).await.is_err() {
            tracing::warn!("the sealer was still at work and is cut off; the next start goes on");
        }
        if tokio::time::timeout(DRAIN_TIMEOUT, announcer).await.is_err() {
            tracing::warn!("a completion was still being told and is cut off; the next start tells it again");
        }
        if tokio::time::timeout(FLUSH_TIMEOUT, uploads.events().flush())
            .await
            .is_err()
        {
            tracing::warn!("some of the last events have not reached viewers at other replicas");
        }
        if let Some(embedded) = self.embedded {
            embedded.stop.cancel();
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, embedded.task).await;
        }
        served.map_err(RunError::Serve)
    }
}

/// Tells early what would otherwise fail at the first upload. The server runs all the same: both may
/// come up after it, and until then `/ready` keeps clients away.
async fn check_stores(uploads: Uploads, bucket: Arc<S3Storage>, expected: Expectations) {
    if let Err(error) = uploads.sessions().ready().await {
        tracing::error!(%error, "the session store does not answer: calls fail, and /ready says 503, until it does");
    }
    if let Err(error) = uploads.storage().ready().await {
        tracing::error!(%error, "the bucket does not answer: uploads will fail until it does");
        return;
    }
    let findings = inspect(&*bucket, &expected).await;
    for finding in &findings {
        finding.log();
    }
    let warnings = findings.iter().filter(|one| matches!(one, Finding::Warning(_)));
    tracing::info!("the bucket was looked at: {} warnings", warnings.count());
}

/// What the bucket is to be held to. Pages come from the origins that are listed and the hosts that are
/// answered for; where nobody lists any, from the server's own address.
fn expectations(config: &Config, front: &Front) -> std::io::Result<Expectations> {
    let hosts = config.allowed_hosts.iter().map(|host| format!("https://{host}"));
    let mut origins: Vec<String> = config.access.origins().iter().cloned().chain(hosts).collect();
    if origins.is_empty() {
        origins.push(format!("{}://{}", front.scheme(), front.address()?));
    }
    Ok(Expectations {
        origins,
        key_prefix: config.policy.key_prefix.clone(),
        lease: config.policy.lease,
        lifecycle: matches!(config.store, StoreConfig::Bucket { .. }),
    })
}

fn token_maker(config: &Config) -> Result<TokenMaker, RunError> {
    let secret = match &config.token_secret {
        Some(secret) => secret.expose_secret().to_owned(),
        None => secret_file(&config.data_dir.join("token-secret")).map_err(RunError::Secret)?,
    };
    TokenMaker::new(secret.as_bytes()).map_err(RunError::WeakSecret)
}

/// Who may upload; `None` for everybody.
fn open_identity(config: &Config, grants: &GrantMaker) -> Result<Option<Arc<Identity>>, RunError> {
    if config.identity.is_open() {
        return Ok(None);
    }
    let identity = Identity::open(config.identity.clone(), grants.clone());
    Ok(Some(Arc::new(identity.map_err(RunError::Identity)?)))
}

fn open_sessions(config: &Config) -> Result<Arc<dyn SessionStore>, RunError> {
    match &config.session_store {
        SessionStoreKind::Memory => {
            tracing::warn!("sessions are kept in memory: they end with this process");
            Ok(Arc::new(MemorySessionStore::new()))
        }
        SessionStoreKind::Sqlite => {
            let store = SqliteSessionStore::open(config.data_dir.join("sessions.db"));
            Ok(Arc::new(store.map_err(RunError::Sessions)?))
        }
        SessionStoreKind::Redis { address, key_prefix } => {
            tracing::info!("sessions are kept in Redis at {address}, keys `{{{key_prefix}}}:…`");
            let store = RedisSessionStore::open(address.clone(), key_prefix);
            Ok(Arc::new(store.map_err(RunError::Sessions)?))
        }
    }
}

/// The bus reaches as far as the session store does.
fn open_events(config: &Config) -> Result<Arc<dyn EventBus>, RunError> {
    match &config.session_store {
        SessionStoreKind::Memory | SessionStoreKind::Sqlite => Ok(Arc::new(MemoryEventBus::default())),
        SessionStoreKind::Redis { address, key_prefix } => {
            let bus = RedisEventBus::connect(address, key_prefix, EventLimits::default());
            Ok(Arc::new(bus.map_err(RunError::Events)?))
        }
    }
}

async fn open_storage(config: &Config) -> Result<(S3Storage, Option<RunningStore>), RunError> {
    let (mut storage, embedded) = match &config.store {
        StoreConfig::Bucket {
            bucket,
            endpoint,
            region,
            profile,
        } => {
            let mut storage = S3StorageConfig::new(bucket);
            storage.endpoint.clone_from(endpoint);
            storage.region.clone_from(region);
            storage.capabilities = profile.capabilities();
            (storage, None)
        }
        StoreConfig::Embedded { listen, .. } => {
            let (storage, running) = start_embedded(config, *listen).await?;
            (storage, Some(running))
        }
    };
    storage.public_endpoint.clone_from(&config.s3_public_endpoint);
    let storage = S3Storage::connect(storage).await.map_err(RunError::Endpoint)?;
    Ok((storage, embedded))
}

async fn start_embedded(
    config: &Config,
    address: SocketAddr,
) -> Result<(S3StorageConfig, RunningStore), RunError> {
    if !address.ip().is_loopback() {
        return Err(RunError::EmbeddedBeyondLoopback { address });
    }
    let (access_key, secret_key) = embedded_keys(config)?;
    let folder = config.data_dir.join("s3");
    let mut store_config = EmbeddedS3Config::new(&folder, &access_key, &secret_key);
    store_config.buckets = vec![EMBEDDED_BUCKET.to_owned()];
    let listener = listen("the embedded store", address).await?;
    let address = listener.local_addr().map_err(RunError::Serve)?;
    let store = EmbeddedS3::open(store_config).await.map_err(RunError::Embedded)?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let task = tokio::spawn(async move {
        if let Err(error) = store
            .serve(listener, async move { stopping.cancelled().await })
            .await
        {
            tracing::error!(%error, "the embedded store stopped: uploads fail until the server starts again");
        }
    });
    tracing::warn!(
        "NO BUCKET IS SET: uploads go to the embedded store at http://{address}, bucket `{EMBEDDED_BUCKET}`, in {}",
        folder.display()
    );
    let mut storage = S3StorageConfig::new(EMBEDDED_BUCKET);
    storage.endpoint = Some(format!("http://{address}"));
    storage.region = Some("us-east-1".to_owned());
    storage.capabilities = StoreProfile::Embedded.capabilities();
    let credentials = Credentials::new(access_key, secret_key, None, None, "embedded store");
    storage.credentials = Some(SharedCredentialsProvider::new(credentials));
    Ok((storage, RunningStore { task, stop }))
}

/// Keys from the settings, or made once and kept.
fn embedded_keys(config: &Config) -> Result<(String, String), RunError> {
    let StoreConfig::Embedded {
        access_key,
        secret_key,
        ..
    } = &config.store
    else {
        return Ok((String::new(), String::new()));
    };
    let access_key = match access_key {
        Some(key) => key.clone(),
        None => secret_file(&config.data_dir.join("s3-access-key")).map_err(RunError::Secret)?,
    };
    let secret_key = match secret_key {
        Some(key) => key.expose_secret().to_owned(),
        None => secret_file(&config.data_dir.join("s3-secret-key")).map_err(RunError::Secret)?,
    };
    Ok((access_key, secret_key))
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| {
        let hint = match source.kind() {
            ErrorKind::AddrInUse => "another process uses it: stop that one, or choose another address",
            ErrorKind::PermissionDenied => "ports below 1024 need rights: choose a higher one",
            ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "see the cause",
        };
        RunError::Listen {
            what,
            address,
            hint: hint.to_owned(),
            source,
        }
    })
}
