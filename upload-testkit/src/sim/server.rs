//! A model of the upload server: sessions, and what each call does to them.

use std::collections::BTreeMap;

use upload_protocol::{
    ChecksumAlgorithm, CompleteBatchItem, CompleteBatchResponse, CompleteBatchResult, CompleteResponse,
    Crc64Nvme, ErrorCode, HashedPart, IdempotencyKey, MultipartUploadId, PartLayout, Problem, SealResponse,
    SessionId, SessionResponse, SessionStatus, SignPartsResponse, SignedPart, StartBatchItem,
    StartBatchResponse, StartBatchResult, StartRequest, StartResponse, StoredPart, UploadMode, UploadToken,
};
use uuid::Uuid;

use super::content::{Bytes, combined};
use super::store::{Grant, Store, Target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Sealed(Crc64Nvme),
    Completed(Crc64Nvme),
    Aborted,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) idempotency_key: IdempotencyKey,
    pub(super) key: String,
    pub(super) layout: PartLayout,
    pub(super) state: State,
    /// `None`: one PUT writes the object.
    pub(super) multipart: Option<u64>,
    /// The store gave it up by itself.
    pub(super) lost_by_store: bool,
    file_name: String,
}

/// The server with the store behind it.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    pub(super) store: Store,
    sessions: Vec<Session>,
    by_key: BTreeMap<IdempotencyKey, usize>,
    pub(super) part_size_bytes: Option<u64>,
    pub(super) url_lifetime_s: u32,
    /// The store keeps and checks checksums.
    pub(super) checksum: bool,
}

pub(super) type Answer<T> = Result<T, ErrorCode>;

impl Backend {
    /// A server that cuts files as asked or, given a size, in its own way.
    pub(super) fn new(part_size_bytes: Option<u64>, url_lifetime_s: u32, checksum: bool) -> Self {
        Self {
            store: Store::default(),
            sessions: Vec::new(),
            by_key: BTreeMap::new(),
            part_size_bytes,
            url_lifetime_s,
            checksum,
        }
    }

    pub(super) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().rev().find(|session| session.id == id)
    }

    pub(super) fn start(
        &mut self,
        idempotency_key: IdempotencyKey,
        request: &StartRequest,
        now_ms: u64,
    ) -> Answer<StartResponse> {
        let index = match self.by_key.get(&idempotency_key) {
            Some(index) => *index,
            None => self.open(idempotency_key, request)?,
        };
        let session = self.sessions[index].clone();
        if session.file_name != request.file_name || session.layout.size_bytes() != request.size_bytes {
            return Err(ErrorCode::IdempotencyConflict);
        }
        match (session.state, request.checksum_crc64nvme) {
            (State::Aborted, _) => return Err(ErrorCode::SessionAborted),
            (State::Open, Some(crc)) => self.sessions[index].state = State::Sealed(crc),
            (State::Sealed(known) | State::Completed(known), Some(crc)) if known != crc => {
                return Err(ErrorCode::ChecksumMismatch);
            }
            _ => {}
        }
        let session = self.sessions[index].clone();
        let parts = if matches!(session.state, State::Completed(_)) {
            Vec::new()
        } else {
            let fitting = request.parts.iter().filter(|part| {
                session.layout.contains(part.part_number)
                    && part.size_bytes == Some(session.layout.range(part.part_number).size_bytes())
            });
            fitting
                .filter_map(|part| self.sign_one(&session, part, now_ms))
                .collect()
        };
        Ok(StartResponse {
            upload_session_id: session.id,
            token: token(&session),
            key: session.key.clone(),
            upload_id: multipart_id(&session),
            mode: mode(&session),
            part_size_bytes: session.layout.part_size_bytes(),
            part_count: session.layout.part_count(),
            checksum_algorithm: self.checksum.then_some(ChecksumAlgorithm::Crc64Nvme),
            status: status(session.state),
            lease_seconds: 7 * 24 * 3600,
            parts,
        })
    }

    pub(super) fn start_many(&mut self, starts: &[StartBatchItem], now_ms: u64) -> StartBatchResponse {
        let results = starts.iter().map(|item| {
            let answer = item
                .idempotency_key
                .parse::<IdempotencyKey>()
                .map_err(|_| ErrorCode::InvalidRequest)
                .and_then(|key| self.start(key, &item.start, now_ms));
            match answer {
                Ok(session) => StartBatchResult::Session(Box::new(session)),
                Err(code) => StartBatchResult::Problem(Problem::new(code, code.title())),
            }
        });
        StartBatchResponse {
            results: results.collect(),
        }
    }

    fn open(&mut self, idempotency_key: IdempotencyKey, request: &StartRequest) -> Answer<usize> {
        let wished = self.part_size_bytes.or(request.part_size_bytes);
        let layout =
            PartLayout::choose(request.size_bytes, wished, 10_000).map_err(|_| ErrorCode::FileTooLarge)?;
        let index = self.sessions.len();
        let id = SessionId::new(Uuid::from_u128(0x5e55_0000_0000 + index as u128));
        self.sessions.push(Session {
            id,
            idempotency_key,
            key: format!("uploads/{index}"),
            layout,
            state: State::Open,
            multipart: (!layout.is_single()).then(|| self.store.create()),
            lost_by_store: false,
            file_name: request.file_name.clone(),
        });
        self.by_key.insert(idempotency_key, index);
        Ok(index)
    }

    fn sign_one(&mut self, session: &Session, part: &HashedPart, now_ms: u64) -> Option<SignedPart> {
        let target = match session.multipart {
            Some(multipart) => Target::Part {
                multipart,
                part: part.part_number,
            },
            None => Target::Object {
                key: session.key.clone(),
            },
        };
        let url = self.store.sign(Grant {
            target,
            size_bytes: session.layout.range(part.part_number).size_bytes(),
            crc: if self.checksum {
                Some(part.checksum_crc64nvme?)
            } else {
                None
            },
            expires_at_ms: now_ms + u64::from(self.url_lifetime_s) * 1000,
        });
        Some(SignedPart {
            part_number: part.part_number,
            url,
            headers: Vec::new(),
            expires_in_seconds: self.url_lifetime_s,
            relay_url: None,
        })
    }

    fn find(&mut self, id: SessionId, presented: &UploadToken) -> Answer<usize> {
        let index = self.sessions.iter().rposition(|session| session.id == id);
        let index = index.ok_or(ErrorCode::SessionNotFound)?;
        if token(&self.sessions[index]) != *presented {
            return Err(ErrorCode::TokenRefused);
        }
        Ok(index)
    }

    pub(super) fn sign(
        &mut self,
        id: SessionId,
        token: &UploadToken,
        parts: &[HashedPart],
        now_ms: u64,
    ) -> Answer<SignPartsResponse> {
        let index = self.find(id, token)?;
        let session = self.sessions[index].clone();
        match session.state {
            State::Aborted => return Err(ErrorCode::SessionAborted),
            State::Completed(_) => return Err(ErrorCode::SessionCompleted),
            State::Open | State::Sealed(_) => {}
        }
        let fits = |part: &&HashedPart| session.layout.contains(part.part_number);
        if parts.is_empty() || parts.len() > 1000 || !parts.iter().all(|part| fits(&part)) {
            return Err(ErrorCode::InvalidRequest);
        }
        let signed: Option<Vec<_>> = parts
            .iter()
            .map(|part| self.sign_one(&session, part, now_ms))
            .collect();
        let parts = signed.ok_or(ErrorCode::InvalidRequest)?;
        Ok(SignPartsResponse { parts })
    }

    pub(super) fn fetch(&mut self, id: SessionId, token: &UploadToken) -> Answer<SessionResponse> {
        let index = self.find(id, token)?;
        self.see_what_the_store_did(index);
        let session = &self.sessions[index];
        let status = status(session.state);
        let held = match status {
            SessionStatus::Open | SessionStatus::Sealed => self.held(session),
            _ => Vec::new(),
        };
        let parts = session
            .layout
            .parts()
            .zip(held)
            .filter_map(|(part_number, bytes)| {
                bytes.map(|bytes| StoredPart {
                    part_number,
                    size_bytes: bytes.size_bytes(),
                    checksum_crc64nvme: self.checksum.then(|| bytes.crc()),
                })
            });
        Ok(SessionResponse {
            upload_session_id: session.id,
            status,
            key: session.key.clone(),
            upload_id: multipart_id(session),
            mode: mode(session),
            size_bytes: session.layout.size_bytes(),
            part_size_bytes: session.layout.part_size_bytes(),
            part_count: session.layout.part_count(),
            parts: parts.collect(),
            completed: self.completed(session),
        })
    }

    /// What the store holds of each part, in order.
    pub(super) fn held(&self, session: &Session) -> Vec<Option<Bytes>> {
        match session.multipart {
            Some(multipart) => {
                let stored = self.store.parts(multipart);
                let held = |part| stored.and_then(|parts| parts.get(&part).copied());
                session.layout.parts().map(held).collect()
            }
            None => vec![
                self.store
                    .object(&session.key)
                    .and_then(|parts| parts.first().copied()),
            ],
        }
    }

    fn held_count(&self, session: &Session) -> usize {
        match session.multipart {
            Some(multipart) => self
                .store
                .parts(multipart)
                .map_or(0, std::collections::BTreeMap::len),
            None => usize::from(self.store.object(&session.key).is_some()),
        }
    }

    fn see_what_the_store_did(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let gone = session
            .multipart
            .is_some_and(|multipart| self.store.parts(multipart).is_none());
        if gone && matches!(session.state, State::Open | State::Sealed(_)) {
            session.state = State::Aborted;
        }
    }

    pub(super) fn seal(
        &mut self,
        id: SessionId,
        token: &UploadToken,
        crc: Crc64Nvme,
    ) -> Answer<SealResponse> {
        let index = self.find(id, token)?;
        match self.sessions[index].state {
            State::Open => self.sessions[index].state = State::Sealed(crc),
            State::Sealed(known) | State::Completed(known) if known != crc => {
                return Err(ErrorCode::ChecksumMismatch);
            }
            State::Sealed(_) | State::Completed(_) => {}
            State::Aborted => return Err(ErrorCode::SessionAborted),
        }
        let status = match self.try_complete(index, Some(crc)) {
            Ok(_) => SessionStatus::Completed,
            Err(ErrorCode::SessionAborted) => return Err(ErrorCode::SessionAborted),
            Err(_) => SessionStatus::Sealed,
        };
        Ok(SealResponse { status })
    }

    pub(super) fn complete(
        &mut self,
        id: SessionId,
        token: &UploadToken,
        crc: Option<Crc64Nvme>,
    ) -> Answer<CompleteResponse> {
        let index = self.find(id, token)?;
        self.try_complete(index, crc)
    }

    pub(super) fn complete_many(&mut self, items: &[CompleteBatchItem]) -> CompleteBatchResponse {
        let results = items.iter().map(|item| {
            match self.complete(item.upload_session_id, &item.token, item.checksum_crc64nvme) {
                Ok(completed) => CompleteBatchResult::Completed(completed),
                Err(code) => CompleteBatchResult::Problem(Problem::new(code, code.title())),
            }
        });
        CompleteBatchResponse {
            results: results.collect(),
        }
    }

    fn try_complete(&mut self, index: usize, asked: Option<Crc64Nvme>) -> Answer<CompleteResponse> {
        self.see_what_the_store_did(index);
        let session = self.sessions[index].clone();
        let sealed = match session.state {
            State::Completed(_) => return self.completed(&session).ok_or(ErrorCode::Internal),
            State::Aborted => return Err(ErrorCode::SessionAborted),
            State::Sealed(crc) => Some(crc),
            State::Open => None,
        };
        if self.held_count(&session) < session.layout.part_count() as usize {
            return Err(ErrorCode::PartsMissing);
        }
        let held: Option<Vec<Bytes>> = self.held(&session).into_iter().collect();
        let crc = combined(held.ok_or(ErrorCode::PartsMissing)?);
        // Without checksums the server knows nothing of the bytes but their number.
        let differs = |known: Option<Crc64Nvme>| self.checksum && known.is_some_and(|known| known != crc);
        if differs(asked) || differs(sealed) {
            return Err(ErrorCode::ChecksumMismatch);
        }
        if let Some(multipart) = session.multipart {
            self.store.complete(multipart, &session.key);
        }
        self.sessions[index].state = State::Completed(crc);
        let session = &self.sessions[index];
        self.completed(session).ok_or(ErrorCode::Internal)
    }

    pub(super) fn abort(&mut self, id: SessionId, token: &UploadToken) -> Answer<()> {
        let index = self.find(id, token)?;
        if let State::Completed(_) = self.sessions[index].state {
            return Err(ErrorCode::SessionCompleted);
        }
        self.sessions[index].state = State::Aborted;
        self.sweep(index);
        Ok(())
    }

    /// Deletes what an aborted session has at the store.
    fn sweep(&mut self, index: usize) {
        match self.sessions[index].multipart {
            Some(multipart) => self.store.abort(multipart),
            None => self.store.delete(&self.sessions[index].key),
        }
    }

    /// The janitor's round: completes sealed sessions, sweeps after aborted ones.
    pub(super) fn tick(&mut self) {
        for index in 0..self.sessions.len() {
            match self.sessions[index].state {
                // A session that can't be completed yet is looked at again in the next round.
                State::Sealed(_) => drop(self.try_complete(index, None)),
                State::Aborted => self.sweep(index),
                State::Open | State::Completed(_) => {}
            }
        }
    }

    /// The store forgets a multipart upload, as a lifecycle rule would make it.
    pub(super) fn lose(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        if let (Some(multipart), State::Open | State::Sealed(_)) = (session.multipart, session.state) {
            session.lost_by_store = true;
            self.store.abort(multipart);
        }
    }

    fn completed(&self, session: &Session) -> Option<CompleteResponse> {
        let State::Completed(crc) = session.state else {
            return None;
        };
        Some(CompleteResponse {
            key: session.key.clone(),
            size_bytes: session.layout.size_bytes(),
            checksum_crc64nvme: self.checksum.then_some(crc),
            completed_at: "2026-11-22T00:00:00Z".to_owned(),
            receipt: None,
        })
    }

    /// Anything of the session is still at the store that should not be.
    pub(super) fn is_orphan(&self, session: &Session) -> bool {
        match session.multipart {
            Some(multipart) => self.store.parts(multipart).is_some(),
            None => {
                !matches!(session.state, State::Completed(_)) && self.store.object(&session.key).is_some()
            }
        }
    }
}

fn status(state: State) -> SessionStatus {
    match state {
        State::Open => SessionStatus::Open,
        State::Sealed(_) => SessionStatus::Sealed,
        State::Completed(_) => SessionStatus::Completed,
        State::Aborted => SessionStatus::Aborted,
    }
}

fn token(session: &Session) -> UploadToken {
    UploadToken::new(format!("token-{}", session.id))
}

fn multipart_id(session: &Session) -> Option<MultipartUploadId> {
    session.multipart.map(|id| MultipartUploadId(id.to_string()))
}

fn mode(session: &Session) -> UploadMode {
    match session.multipart {
        Some(_) => UploadMode::Multipart,
        None => UploadMode::Single,
    }
}
