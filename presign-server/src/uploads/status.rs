//! The truth about a session, asked of the store.

use jsonwebtoken::jwk::JwkSet;
use upload_protocol::{
    CompleteResponse, Crc64Nvme, ErrorCode, Receipt, SessionResponse, StoredPart, UploadMode,
};
use upload_storage::{ListedPart, StorageError, StoredObject};

use super::Uploads;
use crate::clock::rfc3339;
use crate::error::{Result, UploadError};
use crate::session::{Completed, Session, SessionState, StateKind};
use crate::store::Versioned;

impl Uploads {
    /// Status and what the store holds. What it finds ended at the store (completed by an operator,
    /// aborted by a lifecycle rule) is written down and stays so.
    pub async fn status(&self, found: Versioned) -> Result<SessionResponse> {
        let found = self.renew(found).await;
        self.inspect(found).await
    }

    /// The same without renewing the lease: who only watches a session does not keep it alive.
    pub async fn inspect(&self, found: Versioned) -> Result<SessionResponse> {
        let (found, parts) = match &found.session.state {
            SessionState::Open | SessionState::Sealed { .. } => self.look(found).await?,
            _ => (found, Vec::new()),
        };
        Ok(self.session_response(&found.session, parts))
    }

    async fn look(&self, found: Versioned) -> Result<(Versioned, Vec<StoredPart>)> {
        let session = &found.session;
        match (session.mode, &session.multipart_upload_id) {
            (UploadMode::Single, _) => {
                let object = self.inner.storage.head(&session.key).await?;
                if let Some(object) = &object {
                    self.publish_object(session, object);
                }
                let part = object.map(|object| StoredPart {
                    part_number: upload_protocol::PartNumber::FIRST,
                    size_bytes: object.size_bytes,
                    checksum_crc64nvme: object.checksum_crc64nvme,
                });
                Ok((found, part.into_iter().collect()))
            }
            (UploadMode::Multipart, None) => Ok((found, Vec::new())),
            (UploadMode::Multipart, Some(upload_id)) => {
                match self.inner.storage.list_parts(&session.key, upload_id).await {
                    Ok(parts) => {
                        self.publish_parts(session, &parts);
                        let parts = parts.iter().map(stored_part).collect();
                        Ok((found, parts))
                    }
                    Err(StorageError::NoSuchUpload) => {
                        let _lock = self.inner.locks.lock(session.id).await;
                        let current = self.load(session.id).await?;
                        Ok((self.settle_ended(current).await?, Vec::new()))
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The store has no such multipart upload: the object at the key says whether it was completed or
    /// aborted. The key has a UUID of this session alone in it, so what is there is this session's,
    /// unless it doesn't fit. Call with the session's lock held.
    ///
    /// # Errors
    /// `key_taken` when the object there is of another size or checksum.
    pub(super) async fn settle_ended(&self, found: Versioned) -> Result<Versioned> {
        let session = &found.session;
        if !matches!(session.state, SessionState::Open | SessionState::Sealed { .. }) {
            return Ok(found);
        }
        let object = self.inner.storage.head(&session.key).await?;
        let size_bytes = session.layout.size_bytes();
        let expected = match &session.state {
            SessionState::Sealed { crc } if session.checksum => Some(*crc),
            _ => None,
        };
        let state = match object {
            Some(object) if object.is(size_bytes, expected) => self.completed_state(&object),
            Some(object) => return Err(other_object(&object, size_bytes, expected)),
            None => SessionState::Aborted,
        };
        tracing::info!(session = %session.id, state = state.kind().as_str(), "ended at the store");
        self.end(found, state).await
    }

    /// Writes down how a session ended, unless it has ended already. What is being aborted can't be
    /// completed any more: whoever aborts it deletes the object.
    pub(super) async fn end(&self, found: Versioned, state: SessionState) -> Result<Versioned> {
        let completes = matches!(state, SessionState::Completed(_));
        let abort_was_told = matches!(found.session.state, SessionState::Aborting { .. });
        let changed = self.change(found, |session| {
            match session.state {
                SessionState::Completed(_) | SessionState::Aborted => return Ok(None),
                SessionState::Aborting { .. } if completes => return Ok(None),
                _ => {}
            }
            let mut ended = session.clone();
            ended.state = state.clone();
            if let (SessionState::Completed(completed), SessionState::Sealed { crc }) =
                (&mut ended.state, &session.state)
            {
                completed.told_crc = Some(*crc);
            }
            Ok(Some(ended))
        });
        let ended = changed.await?;
        if !abort_was_told {
            self.publish_end(&ended.session);
        }
        if ended.session.state.kind() == StateKind::Announcing {
            // Nobody listens where no announcer runs; the next one to start finds it in the store.
            let _ = self.inner.announcing.send(ended.session.id);
        }
        Ok(ended)
    }

    pub(super) fn completed_state(&self, object: &StoredObject) -> SessionState {
        SessionState::Completed(Completed {
            size_bytes: object.size_bytes,
            crc: object.checksum_crc64nvme,
            told_crc: None,
            at_ms: self.now_ms(),
            announcement: self.news(),
        })
    }

    pub(super) fn complete_response(&self, session: &Session, completed: &Completed) -> CompleteResponse {
        CompleteResponse {
            key: session.key.clone(),
            size_bytes: completed.size_bytes,
            checksum_crc64nvme: completed.crc,
            completed_at: rfc3339(completed.at_ms),
            receipt: Some(self.receipt(session, completed)),
        }
    }

    /// What is known of the object, signed. The same whenever it is asked for.
    pub(super) fn receipt(&self, session: &Session, completed: &Completed) -> String {
        let receipts = &self.inner.receipts;
        receipts.sign(&Receipt {
            iss: receipts.issuer().to_owned(),
            upload_session_id: session.id,
            key: session.key.clone(),
            bucket: Some(self.inner.storage.bucket().to_owned()),
            size_bytes: completed.size_bytes,
            checksum_crc64nvme: completed.crc,
            completed_at: rfc3339(completed.at_ms),
        })
    }

    /// The public key of its receipts.
    pub fn receipt_keys(&self) -> JwkSet {
        self.inner.receipts.keys()
    }

    fn session_response(&self, session: &Session, parts: Vec<StoredPart>) -> SessionResponse {
        let completed = match &session.state {
            SessionState::Completed(completed) => Some(self.complete_response(session, completed)),
            _ => None,
        };
        SessionResponse {
            upload_session_id: session.id,
            status: session.state.status(),
            key: session.key.clone(),
            upload_id: session.multipart_upload_id.clone(),
            mode: session.mode,
            size_bytes: session.layout.size_bytes(),
            part_size_bytes: session.layout.part_size_bytes(),
            part_count: session.layout.part_count(),
            parts,
            completed,
        }
    }
}

/// Neither completed nor aborted is true of a session at whose key somebody else's object stands.
fn other_object(object: &StoredObject, size_bytes: u64, expected: Option<Crc64Nvme>) -> UploadError {
    let checksum =
        |crc: Option<Crc64Nvme>| crc.map_or_else(String::new, |crc| format!(" with checksum {crc}"));
    UploadError::new(
        ErrorCode::KeyTaken,
        format!(
            "the store's object at the key is {} bytes{} where {size_bytes} bytes{} were declared: abort the session to remove it",
            object.size_bytes,
            checksum(object.checksum_crc64nvme),
            checksum(expected)
        ),
    )
}

fn stored_part(part: &ListedPart) -> StoredPart {
    StoredPart {
        part_number: part.part_number,
        size_bytes: part.size_bytes,
        checksum_crc64nvme: part.checksum_crc64nvme,
    }
}
