//! What can be done with an upload session, without a word of HTTP.

mod abort;
mod announce;
mod announcer;
mod ask;
mod complete;
mod events;
mod forget;
mod grant;
mod janitor;
mod limits;
mod locks;
mod observed;
mod owner;
mod relay;
mod sealer;
mod sign;
mod start;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;
use upload_protocol::limits::{OBJECT_SIZE_BYTES_MAX, PART_SIZE_BYTES_DEFAULT};
use upload_protocol::{ErrorCode, SessionId};
use upload_storage::{NewObject, ObjectStorage};

use crate::clock::{Clock, SystemClock, ms_since_epoch};
use crate::error::{Result, UploadError};
use crate::events::{EventBus, MemoryEventBus};
use crate::hooks::Hook;
use crate::metrics::Metrics;
use crate::receipt::ReceiptSigner;
use crate::session::{Session, SessionState};
use crate::signed::Signer;
use crate::store::{ObservedSessionStore, SessionStore, SessionStoreError, Versioned};
use crate::token::TokenMaker;

pub use announce::AnnouncerTiming;
pub use announcer::Announcer;
pub use owner::SessionQuery;
pub use relay::{RelayCall, RelayLimits};
pub use sealer::{Sealer, SealerTiming};

use locks::SessionLocks;
use observed::ObservedStorage;
use relay::Relays;

/// Times an update is tried again after somebody else's came first.
const UPDATE_ATTEMPTS_MAX: u32 = 8;

/// Sessions that can wait to be noticed by the sealer; past that it looks at the store instead.
const WAKING_LENGTH_MAX: usize = 1024;

/// Completions that can wait to be noticed by the announcer; past that it finds them in the session store.
const ANNOUNCING_LENGTH_MAX: usize = 1024;

/// A session's lease is written at most this often: renewing it with every call would double the writes.
const RENEW_INTERVAL_MS: i64 = 3_600_000;

/// Who receipts are of where nobody said another name.
pub(crate) const RECEIPT_ISSUER: &str = "holdfast";

/// What a server allows and gives to those who don't ask for more.
#[derive(Debug, Clone)]
pub struct UploadPolicy {
    /// Part size in bytes for a start that names none.
    pub part_size_bytes: u64,
    /// Largest file in bytes.
    pub file_size_bytes_max: u64,
    /// How long a signed URL lives.
    pub url_lifetime: Duration,
    /// How long a session lives without a call.
    pub lease: Duration,
    /// First part of every key.
    pub key_prefix: String,
}

impl Default for UploadPolicy {
    /// 8 MiB, 50 TB, one hour, seven days, `uploads`.
    fn default() -> Self {
        Self {
            part_size_bytes: PART_SIZE_BYTES_DEFAULT,
            file_size_bytes_max: OBJECT_SIZE_BYTES_MAX,
            url_lifetime: Duration::from_hours(1),
            lease: Duration::from_hours(168),
            key_prefix: "uploads".to_owned(),
        }
    }
}

/// Upload sessions over a store of objects and a store of sessions.
///
/// Contract: every call may be repeated, by several callers at once and after any crash. Each change
/// of a session is one conditional write; what stands between two of them is found and finished by the
/// next call or by the [`Sealer`].
#[derive(Debug, Clone)]
pub struct Uploads {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn ObjectStorage>,
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    tokens: TokenMaker,
    policy: UploadPolicy,
    events: Arc<dyn EventBus>,
    locks: SessionLocks,
    relays: Relays,
    receipts: ReceiptSigner,
    metrics: Metrics,
    /// The policy's, unless it was changed since.
    file_size_bytes_max: AtomicU64,
    /// Sessions that the sealer has something to do for.
    waking: broadcast::Sender<(SessionId, Wake)>,
    /// Is told of completions.
    completion_hook: Option<Hook>,
    /// Is asked before a start.
    start_hook: Option<Hook>,
    /// Sessions whose completion is to be told.
    announcing: broadcast::Sender<SessionId>,
}

/// Says what [`Uploads`] are to work with.
#[derive(Debug)]
pub struct UploadsBuilder {
    inner: Inner,
}

/// How soon the sealer should look at a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// All may be there already, or there is something to take away.
    Now,
    /// Parts are about to be sent, by a client that completes by itself unless it goes away.
    Later,
}

impl UploadsBuilder {
    /// What is allowed and given.
    #[must_use]
    pub fn policy(mut self, policy: UploadPolicy) -> Self {
        self.inner.file_size_bytes_max = AtomicU64::new(policy.file_size_bytes_max);
        self.inner.policy = policy;
        self
    }

    /// Where what happens is told, instead of a bus within this process.
    #[must_use]
    pub fn events(mut self, events: Arc<dyn EventBus>) -> Self {
        self.inner.events = events;
        self
    }

    /// The name that receipts are given under, instead of `holdfast`.
    #[must_use]
    pub fn receipt_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.inner.receipts = ReceiptSigner::new(&self.inner.tokens, issuer);
        self
    }

    /// Who is told of completions; run an [`Announcer`] beside it.
    #[must_use]
    pub fn completion_hook(mut self, hook: Hook) -> Self {
        self.inner.completion_hook = Some(hook);
        self
    }

    /// Who is asked before a start.
    #[must_use]
    pub fn start_hook(mut self, hook: Hook) -> Self {
        self.inner.start_hook = Some(hook);
        self
    }

    /// How much is relayed.
    #[must_use]
    pub fn relay(mut self, limits: RelayLimits) -> Self {
        self.inner.relays = Relays::new(&self.inner.tokens, limits);
        self
    }

    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.inner.clock = clock;
        self
    }

    /// Counts into these metrics, instead of new ones of its own.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.inner.metrics = metrics;
        self
    }

    /// Ready to be used.
    pub fn build(mut self) -> Uploads {
        let metrics = &self.inner.metrics;
        self.inner.storage = Arc::new(ObservedStorage::new(self.inner.storage, metrics.clone()));
        self.inner.sessions = Arc::new(ObservedSessionStore::new(self.inner.sessions, metrics.clone()));
        Uploads {
            inner: Arc::new(self.inner),
        }
    }
}

impl Uploads {
    /// Sessions over two stores, with the default policy and the machine's clock; see
    /// [`UploadsBuilder`] for what else can be said.
    pub fn builder(
        storage: Arc<dyn ObjectStorage>,
        sessions: Arc<dyn SessionStore>,
        tokens: TokenMaker,
    ) -> UploadsBuilder {
        UploadsBuilder {
            inner: Inner {
                storage,
                sessions,
                clock: Arc::new(SystemClock),
                receipts: ReceiptSigner::new(&tokens, RECEIPT_ISSUER),
                relays: Relays::new(&tokens, RelayLimits::default()),
                tokens,
                policy: UploadPolicy::default(),
                events: Arc::new(MemoryEventBus::default()),
                locks: SessionLocks::default(),
                metrics: Metrics::new(),
                file_size_bytes_max: AtomicU64::new(OBJECT_SIZE_BYTES_MAX),
                waking: broadcast::Sender::new(WAKING_LENGTH_MAX),
                completion_hook: None,
                start_hook: None,
                announcing: broadcast::Sender::new(ANNOUNCING_LENGTH_MAX),
            },
        }
    }

    /// The store of objects.
    pub fn storage(&self) -> &dyn ObjectStorage {
        &*self.inner.storage
    }

    /// The store of sessions.
    pub fn sessions(&self) -> &dyn SessionStore {
        &*self.inner.sessions
    }

    /// Where what happens is told.
    pub fn events(&self) -> &dyn EventBus {
        &*self.inner.events
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Signs statements of one kind.
    pub(crate) fn signer(&self, label: &'static str) -> Signer {
        Signer::new(&self.inner.tokens, label)
    }

    /// Sets another largest file, for starts from now on.
    pub fn set_file_size_bytes_max(&self, bytes: u64) {
        self.inner.file_size_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// The session a token opens.
    ///
    /// # Errors
    /// `token_refused` without a token or with another session's; `session_not_found`.
    pub async fn authorize(&self, id: SessionId, token: Option<&str>) -> Result<Versioned> {
        let token = token.ok_or_else(|| {
            UploadError::new(
                ErrorCode::TokenRefused,
                "the upload token is missing: send the one that the start answered in the header `Upload-Token`",
            )
        })?;
        let found = self.load(id).await?;
        if !self
            .inner
            .tokens
            .is_valid(token, id, found.session.token_generation)
        {
            return Err(UploadError::new(
                ErrorCode::TokenRefused,
                format!("the upload token is not that of session {id}"),
            ));
        }
        Ok(found)
    }

    async fn load(&self, id: SessionId) -> Result<Versioned> {
        let found = self.inner.sessions.get(id).await?;
        found.ok_or_else(|| UploadError::session_not_found(id))
    }

    /// Tells the sealer that there is something to do for a session.
    fn wake(&self, id: SessionId, wake: Wake) {
        // Nobody listens where no sealer runs; the next one to start finds the session in the store.
        let _ = self.inner.waking.send((id, wake));
    }

    pub(crate) fn now_ms(&self) -> i64 {
        ms_since_epoch(self.inner.clock.now())
    }

    /// Changes a session, reading it again as often as somebody else was first. `change` answers the
    /// new state, or `None` when there is nothing to do any more.
    async fn change(
        &self,
        mut current: Versioned,
        change: impl Fn(&Session) -> Result<Option<Session>> + Send,
    ) -> Result<Versioned> {
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let Some(next) = change(&current.session)? else {
                return Ok(current);
            };
            match self.inner.sessions.update(current.version, next).await {
                Ok(updated) => {
                    self.count_end(&current.session, &updated.session);
                    return Ok(updated);
                }
                Err(SessionStoreError::Conflict { id, .. }) => current = self.load(id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(UploadError::new(
            ErrorCode::SessionBusy,
            format!(
                "session {} was changed by others {UPDATE_ATTEMPTS_MAX} times",
                current.session.id
            ),
        ))
    }

    /// Counts what has just been completed or aborted. Being aborted is what counts, not the last of
    /// its leftovers; only a session that ends at the store is never being so.
    fn count_end(&self, before: &Session, after: &Session) {
        let ended = |session: &Session| !session.state.kind().takes_parts();
        if ended(before) {
            return;
        }
        match &after.state {
            SessionState::Completed(completed) => {
                self.inner.metrics.completed(after.mode, completed.size_bytes);
            }
            SessionState::Aborting { .. } | SessionState::Aborted => self.inner.metrics.aborted(after.mode),
            SessionState::Reserved | SessionState::Open | SessionState::Sealed { .. } => {}
        }
    }

    /// Renews the lease where that is due. A failure to do so fails nothing else.
    async fn renew(&self, current: Versioned) -> Versioned {
        let now = self.now_ms();
        if now - current.session.renewed_at_ms < RENEW_INTERVAL_MS {
            return current;
        }
        let renewed = self.change(current.clone(), |session| {
            let mut session = session.clone();
            session.renewed_at_ms = now;
            Ok(Some(session))
        });
        renewed.await.unwrap_or(current)
    }
}

/// Carries work to its end even when its caller goes away: a browser that closes its connection must
/// not leave a multipart upload half-completed.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let result = tokio::spawn(work).await;
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "a call ended in a panic");
        Err(UploadError::new(
            ErrorCode::Internal,
            "the call failed inside the server; its log says more",
        ))
    })
}

/// The session takes parts; otherwise the error that says why not.
fn check_takes_parts(session: &Session) -> Result<()> {
    match &session.state {
        SessionState::Reserved | SessionState::Open | SessionState::Sealed { .. } => Ok(()),
        SessionState::Completed(_) => Err(UploadError::new(
            ErrorCode::SessionCompleted,
            format!("session {} is complete: nothing more can be sent", session.id),
        )),
        SessionState::Aborting { .. } | SessionState::Aborted => Err(aborted(session)),
    }
}

fn aborted(session: &Session) -> UploadError {
    UploadError::new(
        ErrorCode::SessionAborted,
        format!(
            "session {} was aborted: start afresh with the next generation",
            session.id
        ),
    )
}

fn new_object(session: &Session) -> NewObject {
    NewObject {
        key: session.key.clone(),
        content_type: session.content_type.clone(),
        content_disposition: session.content_disposition.clone(),
        metadata: session.metadata.clone(),
        checksum: session.checksum,
    }
}
