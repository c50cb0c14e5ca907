//! Relaying: a part's bytes through this server, for those who can't reach the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use upload_protocol::{
    ErrorCode, HashedPart, PartNumber, PresignedUrl, RelayResponse, SessionId, UploadMode,
};
use upload_storage::{PartStream, PartToSign, PutTarget, SourceError, StorageError};
use uuid::Uuid;

use super::abort::LAST_PUT_MAX;
use super::grant::{self, Grant};
use super::{Uploads, Wake, new_object};
use crate::error::{Result, UploadError};
use crate::session::{Session, SessionState};
use crate::signed::Signer;
use crate::store::{Claim, Claimed};
use crate::token::TokenMaker;

/// How long the use of a grant is remembered beyond its life: replicas' clocks differ.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// How much is relayed.
#[derive(Debug, Clone, Copy)]
pub struct RelayLimits {
    /// Parts that pass at once; 0 switches the relay off.
    pub concurrency_max: usize,
    /// How long a client may send nothing.
    pub idle_timeout: Duration,
}

impl Default for RelayLimits {
    /// 64 at once, 30 s.
    fn default() -> Self {
        Self {
            concurrency_max: 64,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

/// A relay call without its bytes.
#[derive(Debug, Clone)]
pub struct RelayCall {
    /// The session in the path.
    pub session: SessionId,
    /// The part in the path.
    pub part_number: PartNumber,
    /// The grant.
    pub grant: SecretString,
    /// Number of bytes to come, where the client has said it.
    pub length_bytes: Option<u64>,
}

/// The parts passing through this process.
#[derive(Debug)]
pub(super) struct Relays {
    limits: RelayLimits,
    places: Semaphore,
    grants: Signer,
}

impl Relays {
    pub(super) fn new(tokens: &TokenMaker, limits: RelayLimits) -> Self {
        Self {
            limits,
            places: Semaphore::new(limits.concurrency_max.min(Semaphore::MAX_PERMITS)),
            grants: grant::signer(tokens),
        }
    }

    fn take_place(&self) -> Result<SemaphorePermit<'_>> {
        self.places.try_acquire().map_err(|_| {
            let max = self.limits.concurrency_max;
            let detail = if max == 0 {
                "this server relays no parts: send them to the store".to_owned()
            } else {
                format!("{max} parts are being relayed, as many as this server may: try again later")
            };
            UploadError::new(ErrorCode::RelayUnavailable, detail)
        })
    }
}

impl Uploads {
    /// Where a part may be sent to instead of the store: path and query below this server's origin.
    pub(super) fn relay_url(
        &self,
        session: &Session,
        part: &HashedPart,
        lifetime_seconds: u32,
    ) -> Option<PresignedUrl> {
        let relays = &self.inner.relays;
        if relays.limits.concurrency_max == 0 {
            return None;
        }
        let grant = relays.grants.sign(&Grant {
            session: session.id,
            token_generation: session.token_generation,
            part_number: part.part_number,
            size_bytes: session.layout.range(part.part_number).size_bytes(),
            crc: part.checksum_crc64nvme,
            expires_at_ms: self.now_ms().saturating_add(i64::from(lifetime_seconds) * 1000),
            nonce: Uuid::new_v4(),
        });
        Some(PresignedUrl::new(format!(
            "/api/upload-sessions/{}/parts/{}/relay?grant={grant}",
            session.id, part.part_number
        )))
    }

    /// Sends one part to the store as its bytes come.
    ///
    /// Contract: a grant is good for one call whose first byte has come. Exactly the bytes it was made
    /// for become the part, or none; none of them is kept here. A call that is dropped half-way leaves
    /// nothing at the store.
    ///
    /// # Errors
    /// `relay_grant_refused`; `relay_unavailable` when no place is free, the grant then stays good;
    /// `size_mismatch` and `checksum_mismatch`; `timeout` when the client sends nothing for too long.
    pub async fn relay(&self, call: &RelayCall, mut source: PartStream) -> Result<RelayResponse> {
        let grant = self.read_grant(call)?;
        let found = self.load(grant.session).await?;
        check_session(&found.session, &grant)?;
        check_length(&grant, call.length_bytes)?;
        let limits = self.inner.relays.limits;
        let first = match timeout(limits.idle_timeout, source.next()).await {
            Ok(first) => first.transpose().map_err(ended_early)?,
            Err(_) => return Err(idle(limits.idle_timeout)),
        };
        let _place = self.inner.relays.take_place()?;
        self.use_up(&grant).await?;
        let etag = self.send_relayed(&found.session, &grant, first, source).await?;
        let found = self.renew(found).await;
        if matches!(found.session.state, SessionState::Sealed { .. }) {
            self.wake(found.session.id, Wake::Later);
        }
        Ok(RelayResponse {
            part_number: grant.part_number,
            size_bytes: grant.size_bytes,
            etag,
        })
    }

    fn read_grant(&self, call: &RelayCall) -> Result<Grant> {
        let grant = self.inner.relays.grants.read(call.grant.expose_secret());
        let grant: Grant = grant.ok_or_else(|| refused("it was not made by this server"))?;
        if grant.session != call.session || grant.part_number != call.part_number {
            return Err(refused("it is another part's"));
        }
        if grant.expires_at_ms < self.now_ms() {
            return Err(refused("it has expired"));
        }
        Ok(grant)
    }

    /// Of all calls with one grant, at all replicas, one passes.
    async fn use_up(&self, grant: &Grant) -> Result<()> {
        let left_ms = grant.expires_at_ms.saturating_sub(self.now_ms());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let claim = Claim {
            set: &format!("relay:{}", grant.nonce),
            member: "used",
            members_max: 1,
            ttl: left.saturating_add(CLOCKS_DIFFER),
        };
        match self.inner.sessions.claim(claim).await? {
            Claimed::New => Ok(()),
            Claimed::Known | Claimed::Full => Err(refused("it was used before")),
        }
    }

    async fn send_relayed(
        &self,
        session: &Session,
        grant: &Grant,
        first: Option<Bytes>,
        source: PartStream,
    ) -> Result<Option<String>> {
        let idle_timeout = self.inner.relays.limits.idle_timeout;
        let idled = Arc::new(AtomicBool::new(false));
        let rest = watched(source, idle_timeout, idled.clone());
        let source = stream::iter(first.map(Ok)).chain(rest);
        let object = new_object(session);
        let target = match (session.mode, &session.multipart_upload_id) {
            (UploadMode::Single, _) => PutTarget::Object(&object),
            (UploadMode::Multipart, Some(upload_id)) => PutTarget::Part {
                key: &session.key,
                upload_id,
            },
            (UploadMode::Multipart, None) => return Err(refused("its session is still being started")),
        };
        let part = PartToSign {
            part_number: grant.part_number,
            size_bytes: grant.size_bytes,
            checksum_crc64nvme: grant.crc,
        };
        let now = self.inner.clock.now();
        let sending = self.inner.storage.put_part(now, target, &part, Box::pin(source));
        // An aborted session's object is looked for no longer than this after its last URL.
        match timeout(LAST_PUT_MAX, sending).await {
            Ok(Err(StorageError::Source { .. })) if idled.load(Ordering::Acquire) => Err(idle(idle_timeout)),
            Ok(sent) => sent.map_err(UploadError::from),
            Err(_) => Err(UploadError::new(
                ErrorCode::Timeout,
                format!(
                    "the part took longer than {} s: nothing of it is kept",
                    LAST_PUT_MAX.as_secs()
                ),
            )),
        }
    }
}

/// Fails when nothing comes for too long.
fn watched(source: PartStream, idle_timeout: Duration, idled: Arc<AtomicBool>) -> PartStream {
    let pieces = stream::try_unfold(source, move |mut source| {
        let idled = idled.clone();
        async move {
            let piece = timeout(idle_timeout, source.next()).await.map_err(|_| {
                idled.store(true, Ordering::Release);
                SourceError {
                    message: "nothing came for too long".to_owned(),
                }
            })?;
            Ok(piece.transpose()?.map(|piece| (piece, source)))
        }
    });
    Box::pin(pieces)
}

fn check_session(session: &Session, grant: &Grant) -> Result<()> {
    if session.token_generation != grant.token_generation {
        return Err(refused("it was revoked"));
    }
    match session.state {
        SessionState::Open | SessionState::Sealed { .. } => Ok(()),
        _ => Err(refused("its session takes no parts any more")),
    }
}

fn check_length(grant: &Grant, length_bytes: Option<u64>) -> Result<()> {
    match length_bytes {
        Some(length) if length != grant.size_bytes => Err(UploadError::new(
            ErrorCode::SizeMismatch,
            format!(
                "the body is {length} bytes where part {} has {}",
                grant.part_number, grant.size_bytes
            ),
        )),
        _ => Ok(()),
    }
}

fn refused(why: &str) -> UploadError {
    UploadError::new(
        ErrorCode::RelayGrantRefused,
        format!("the grant is refused: {why}; ask for the part's URL again"),
    )
}

fn idle(idle_timeout: Duration) -> UploadError {
    UploadError::new(
        ErrorCode::Timeout,
        format!(
            "no byte came for {} ms: nothing of the part is kept",
            idle_timeout.as_millis()
        ),
    )
}

fn ended_early(error: SourceError) -> UploadError {
    StorageError::Source {
        message: error.message,
    }
    .into()
}
