//! Starting: a row first, then the store.

use std::sync::atomic::Ordering;

use upload_protocol::limits::{FILE_NAME_LENGTH_BYTES_MAX, SIGN_BATCH_PARTS_MAX};
use upload_protocol::{
    ChecksumAlgorithm, Crc64Nvme, ErrorCode, HashedPart, IdempotencyKey, LayoutError, MultipartUploadId,
    PartLayout, SessionId, SignedPart, StartRequest, StartResponse, UploadMode,
};
use uuid::Uuid;

use super::limits::{check_content_type, check_file_size, over_limit};
use super::{Uploads, Wake, aborted, new_object};
use crate::auth::Principal;
use crate::clock::date;
use crate::content::{attachment, check_metadata, stored_content_type};
use crate::error::{Result, UploadError};
use crate::key::{client_folder, object_key};
use crate::session::{Session, SessionState};
use crate::store::{Created, Versioned};

impl Uploads {
    /// Starts a session, or answers the one that this owner started with this key before.
    ///
    /// Contract: the row is kept before the store is asked for a multipart upload. A crash in between
    /// leaves a row that the repeated call finishes, with the upload the store may have made for it. A
    /// start that tells the whole file's checksum answers a sealed session, at no write more: the row
    /// is kept sealed at once, or when its upload is there.
    /// Where a pre-start hook is set, it is asked before.
    /// Parts named are answered with their URLs; a start that asks for no checksums, with those of its
    /// first `urls_max` parts.
    pub async fn start(
        &self,
        principal: &Principal,
        key: IdempotencyKey,
        request: &StartRequest,
        urls_max: usize,
    ) -> Result<StartResponse> {
        let session = self.ask_to_start(self.plan(principal, key, request)?).await?;
        // After the hook: what it refuses costs no allowance.
        self.claim_allowance(principal, &session).await?;
        let bytes_max = principal.limits.bytes_in_flight_max;
        let (found, fresh) = match self.inner.sessions.create(session, bytes_max).await? {
            Created::New(created) => {
                self.inner.metrics.started(created.session.mode);
                (created, true)
            }
            Created::Existing(existing) => {
                check_same_file(&existing.session, request)?;
                (existing, false)
            }
            Created::OverLimit { in_flight_bytes } => {
                return Err(over_limit(principal, request.size_bytes, in_flight_bytes));
            }
        };
        let opens = fresh || found.session.state == SessionState::Reserved;
        let found = match found.session.state {
            SessionState::Reserved => self.open(found, fresh, request.checksum_crc64nvme).await?,
            SessionState::Aborting { .. } | SessionState::Aborted => return Err(aborted(&found.session)),
            _ => found,
        };
        if opens {
            self.publish_start(&found.session);
        }
        let found = match request.checksum_crc64nvme {
            Some(crc) => self.sealed(found, crc).await?,
            None => found,
        };
        let found = self.renew(found).await;
        // The search finds what has just started; a client that comes back need not wait for a look
        // that was put off while nothing came.
        if !fresh && matches!(found.session.state, SessionState::Sealed { .. }) {
            self.wake(found.session.id, Wake::Later);
        }
        let parts = self.first_batch(&found.session, request, urls_max).await?;
        Ok(self.start_response(&found.session, parts))
    }

    fn plan(&self, principal: &Principal, key: IdempotencyKey, request: &StartRequest) -> Result<Session> {
        let policy = &self.inner.policy;
        let name_length = request.file_name.len();
        if name_length > FILE_NAME_LENGTH_BYTES_MAX {
            return Err(UploadError::invalid(format!(
                "file name of {name_length} bytes is above the {FILE_NAME_LENGTH_BYTES_MAX}-byte maximum"
            )));
        }
        if request.parts.len() > SIGN_BATCH_PARTS_MAX {
            return Err(UploadError::invalid(format!(
                "{} parts in one call are above the maximum of {SIGN_BATCH_PARTS_MAX}",
                request.parts.len()
            )));
        }
        let server_max = self.inner.file_size_bytes_max.load(Ordering::Relaxed);
        check_file_size(principal, server_max, request.size_bytes)?;
        check_metadata(&request.metadata).map_err(UploadError::invalid)?;
        let content_type = stored_content_type(&request.content_type).map_err(UploadError::invalid)?;
        check_content_type(principal, &request.content_type)?;
        let capabilities = self.inner.storage.capabilities();
        let part_size_bytes = request.part_size_bytes.unwrap_or(policy.part_size_bytes);
        let layout = PartLayout::choose(
            request.size_bytes,
            Some(part_size_bytes),
            capabilities.part_count_max,
        )
        .map_err(layout_error)?;
        let checksum = request.checksum_algorithm.is_some() && capabilities.checksum;
        let single = layout.is_single() && checksum && capabilities.conditional_write;
        let now = self.inner.clock.now();
        let now_ms = self.now_ms();
        let folder = principal.limits.key_prefix.as_deref();
        let (prefix, client) = client_folder(&policy.key_prefix, folder.unwrap_or(&principal.client));
        Ok(Session {
            id: SessionId::new(Uuid::new_v4()),
            owner: principal.owner(),
            client: principal.client.clone(),
            idempotency_key: key.to_string(),
            token_generation: 0,
            key: object_key(
                &prefix,
                &client,
                &date(now),
                Uuid::new_v4(),
                &request.file_name,
                capabilities.key_segment_length_bytes_max,
            ),
            file_name: request.file_name.clone(),
            content_type,
            content_disposition: attachment(&request.file_name),
            metadata: request.metadata.clone(),
            mode: if single {
                UploadMode::Single
            } else {
                UploadMode::Multipart
            },
            layout,
            checksum,
            multipart_upload_id: None,
            // One PUT needs nothing made at the store before.
            state: if single {
                opened_state(request.checksum_crc64nvme)
            } else {
                SessionState::Reserved
            },
            created_at_ms: now_ms,
            renewed_at_ms: now_ms,
        })
    }

    /// Takes a reserved session to open, or to sealed where the checksum is known. Several callers may
    /// do so at once: the first to write its upload id wins, the others abort theirs.
    async fn open(&self, reserved: Versioned, fresh: bool, checksum: Option<Crc64Nvme>) -> Result<Versioned> {
        let object = new_object(&reserved.session);
        let storage = &self.inner.storage;
        // Only a row left by an earlier call can have an upload at the store already.
        let left_behind = if fresh {
            Vec::new()
        } else {
            storage.find_multipart(&object.key).await?
        };
        let upload_id = match left_behind.into_iter().next() {
            Some(upload_id) => upload_id,
            None => storage.create_multipart(&object).await?,
        };
        let opened = self.change(reserved, |session| {
            if session.multipart_upload_id.is_some() || session.state != SessionState::Reserved {
                return Ok(None);
            }
            let mut session = session.clone();
            session.multipart_upload_id = Some(upload_id.clone());
            session.state = opened_state(checksum);
            Ok(Some(session))
        });
        let opened = opened.await?;
        if opened.session.multipart_upload_id.as_ref() != Some(&upload_id) {
            self.discard(&object.key, &upload_id).await;
        }
        match opened.session.state {
            SessionState::Aborting { .. } | SessionState::Aborted => Err(aborted(&opened.session)),
            _ => Ok(opened),
        }
    }

    async fn discard(&self, key: &str, upload_id: &MultipartUploadId) {
        if let Err(error) = self.inner.storage.abort(key, upload_id).await {
            // Its session goes on with another upload; the bucket's lifecycle rule ends this one.
            tracing::warn!(%error, key, "a multipart upload made twice was not aborted");
        }
    }

    async fn first_batch(
        &self,
        session: &Session,
        request: &StartRequest,
        urls_max: usize,
    ) -> Result<Vec<SignedPart>> {
        if matches!(session.state, SessionState::Completed(_)) {
            return Ok(Vec::new());
        }
        let layout = &session.layout;
        // Who asked for checksums has hashed what it names and signs the rest as it goes, also where the
        // store keeps none.
        let parts: Vec<HashedPart> = if session.checksum || request.checksum_algorithm.is_some() {
            let fits = |part: &&HashedPart| {
                layout.contains(part.part_number)
                    && (part.checksum_crc64nvme.is_some() || !session.checksum)
                    && part.size_bytes == Some(layout.range(part.part_number).size_bytes())
            };
            request.parts.iter().filter(fits).copied().collect()
        } else {
            let all = layout.parts().take(urls_max);
            let plain = all.map(|part_number| HashedPart {
                part_number,
                size_bytes: None,
                checksum_crc64nvme: None,
            });
            plain.collect()
        };
        self.sign(session, &parts, request.relay).await
    }

    fn start_response(&self, session: &Session, parts: Vec<SignedPart>) -> StartResponse {
        StartResponse {
            upload_session_id: session.id,
            token: self.inner.tokens.make(session.id, session.token_generation),
            key: session.key.clone(),
            upload_id: session.multipart_upload_id.clone(),
            mode: session.mode,
            part_size_bytes: session.layout.part_size_bytes(),
            part_count: session.layout.part_count(),
            checksum_algorithm: session.checksum.then_some(ChecksumAlgorithm::Crc64Nvme),
            status: session.state.status(),
            lease_seconds: self.inner.policy.lease.as_secs(),
            parts,
        }
    }
}

fn opened_state(checksum: Option<Crc64Nvme>) -> SessionState {
    checksum.map_or(SessionState::Open, |crc| SessionState::Sealed { crc })
}

/// The same key for another file is a client's mistake that must not pass unseen: its bytes would end
/// up under the first file's name.
fn check_same_file(session: &Session, request: &StartRequest) -> Result<()> {
    let size_bytes = session.layout.size_bytes();
    if session.file_name == request.file_name && size_bytes == request.size_bytes {
        return Ok(());
    }
    Err(UploadError::new(
        ErrorCode::IdempotencyConflict,
        format!(
            "idempotency key {} was used for a file of {size_bytes} bytes and another name or size; this one is {} bytes: use a new key",
            session.idempotency_key, request.size_bytes
        ),
    ))
}

fn layout_error(error: LayoutError) -> UploadError {
    let code = match error {
        LayoutError::PartSizeOutOfRange { .. } => ErrorCode::InvalidRequest,
        _ => ErrorCode::FileTooLarge,
    };
    UploadError::new(code, error.to_string())
}
