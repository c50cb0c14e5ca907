//! A host played by hand: it shows the engine's actions and answers them when the test says so.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its own share"
)]

use std::collections::VecDeque;

use upload_engine::{
    Action, ActionId, Command, Engine, EngineConfig, Event, Failure, Input, Outcome, Output, SessionCall,
    SourceId, Timestamp, UploadSnapshot,
};
use upload_protocol::limits::MIB;
use upload_protocol::{
    ChecksumAlgorithm, ClientUploadId, CompleteBatchResponse, CompleteBatchResult, CompleteResponse,
    Crc64Nvme, Crc64NvmeCombiner, ErrorCode, FileInfo, HashedPart, MultipartUploadId, PartLayout, PartNumber,
    PresignedUrl, SealResponse, SessionId, SessionResponse, SessionStatus, SignPartsResponse, SignedPart,
    StartBatchResponse, StartBatchResult, StartRequest, StartResponse, StoredPart, UploadMode, UploadToken,
};
use uuid::Uuid;

pub const PART: u64 = 8 * MIB;

pub fn id(n: u128) -> ClientUploadId {
    ClientUploadId::new(Uuid::from_u128(n))
}

pub fn part(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap()
}

pub fn file(name: &str, size_bytes: u64) -> FileInfo {
    FileInfo {
        name: name.into(),
        size_bytes,
        content_type: String::new(),
        last_modified_ms: 1,
    }
}

/// The checksum that every host of these tests reads for a part of the file `seed`.
pub fn crc(seed: u64, part: PartNumber) -> Crc64Nvme {
    Crc64Nvme(seed << 32 | u64::from(part.value()))
}

pub struct Host {
    pub engine: Engine,
    pub now: Timestamp,
    pub actions: VecDeque<(ActionId, Action)>,
    pub events: Vec<Event>,
    pub cancelled: Vec<ActionId>,
    /// What the files behind a source contain.
    pub content: u64,
    pub size_bytes: u64,
    /// What the server cuts files into.
    pub part_size_bytes: u64,
    pub url_lifetime_seconds: u32,
    /// The store keeps checksums.
    pub checksum: bool,
    pub log: Vec<String>,
}

impl Host {
    pub fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub fn with(config: EngineConfig) -> Self {
        Self {
            engine: Engine::new(config, 7),
            now: Timestamp::from_millis(1_000),
            actions: VecDeque::new(),
            events: Vec::new(),
            cancelled: Vec::new(),
            content: 1,
            size_bytes: 0,
            part_size_bytes: PART,
            url_lifetime_seconds: 3600,
            checksum: true,
            log: Vec::new(),
        }
    }

    pub fn pick(&mut self, upload: ClientUploadId, name: &str, size_bytes: u64) {
        self.size_bytes = size_bytes;
        let file = file(name, size_bytes);
        self.command(Command::Pick {
            upload,
            source: SourceId(1),
            file,
            as_new: false,
        });
    }

    pub fn command(&mut self, command: Command) {
        self.engine.command(self.now, command);
        self.drain();
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    pub fn advance(&mut self, millis: u64) {
        self.now = self.now + millis;
        self.drain();
    }

    /// Goes to the engine's next deadline.
    pub fn wait(&mut self) {
        let at = self
            .engine
            .next_deadline()
            .expect("the engine waits for something");
        self.now = at.max(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll(self.now) {
            match output {
                Output::Action(_, Action::Cancel(id)) => {
                    self.cancelled.push(id);
                    self.actions.retain(|(other, _)| *other != id);
                }
                Output::Action(id, action) => {
                    self.log.push(kind(&action));
                    self.actions.push_back((id, action));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Takes the first waiting action of a kind, such as `put 2` or `sign`, without answering it.
    pub fn take(&mut self, wanted: &str) -> (ActionId, Action) {
        let found = self
            .actions
            .iter()
            .position(|(_, action)| kind(action).starts_with(wanted));
        let index = found.unwrap_or_else(|| panic!("no `{wanted}` among {:?}", self.kinds()));
        self.actions.remove(index).unwrap()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.actions.iter().map(|(_, action)| kind(action)).collect()
    }

    pub fn waits_for(&self, wanted: &str) -> bool {
        self.kinds().iter().any(|kind| kind.starts_with(wanted))
    }

    pub fn answer(&mut self, wanted: &str, outcome: Outcome) {
        let (id, _) = self.take(wanted);
        self.input(Input::Done(id, outcome));
    }

    pub fn fail(&mut self, wanted: &str, failure: Failure) {
        self.answer(wanted, Outcome::Failed(failure));
    }

    /// Answers the first waiting action of a kind as a world without faults would.
    pub fn succeed(&mut self, wanted: &str) {
        let (id, action) = self.take(wanted);
        let outcome = self.outcome(&action);
        self.input(Input::Done(id, outcome));
    }

    /// Answers everything, but for kinds that start with one of `held`, until nothing is left to do.
    pub fn run_but(&mut self, held: &[&str]) {
        for _ in 0..100_000 {
            let next = self.actions.iter().position(|(_, action)| {
                let kind = kind(action);
                !held.iter().any(|held| kind.starts_with(held))
            });
            let Some(index) = next else { return };
            let (id, action) = self.actions.remove(index).unwrap();
            let outcome = self.outcome(&action);
            self.input(Input::Done(id, outcome));
        }
        panic!("the engine never comes to rest: {:?}", self.kinds());
    }

    pub fn run(&mut self) {
        self.run_but(&[]);
    }

    fn outcome(&self, action: &Action) -> Outcome {
        match action {
            Action::HashPart { part, .. } => Outcome::Hashed(crc(self.content, *part)),
            Action::StagePart { part, .. } => Outcome::Staged(crc(self.content, *part)),
            Action::FreePart { .. } | Action::Forget { .. } | Action::SaveCheckpoint { .. } => Outcome::Done,
            Action::Start { request, .. } => Outcome::Started(Box::new(self.started(request))),
            Action::StartMany { request } => Outcome::StartedMany(StartBatchResponse {
                results: request
                    .starts
                    .iter()
                    .map(|item| StartBatchResult::Session(Box::new(self.started(&item.start))))
                    .collect(),
            }),
            Action::CompleteMany { request } => Outcome::CompletedMany(CompleteBatchResponse {
                results: request
                    .completes
                    .iter()
                    .map(|_| CompleteBatchResult::Completed(self.completed()))
                    .collect(),
            }),
            Action::Call { call, .. } => match call {
                SessionCall::Sign(request) => Outcome::Signed(SignPartsResponse {
                    parts: self.sign(&request.parts),
                }),
                SessionCall::Fetch => Outcome::Session(Box::new(self.session_with(&[]))),
                SessionCall::Seal(_) => Outcome::Sealed(SealResponse {
                    status: SessionStatus::Sealed,
                }),
                SessionCall::Complete(_) => Outcome::Completed(self.completed()),
                SessionCall::Abort => Outcome::Done,
            },
            Action::PutPart { .. } => Outcome::Put,
            Action::Cancel(_) => unreachable!("cancels are not answered"),
        }
    }

    pub fn started(&self, request: &StartRequest) -> StartResponse {
        let layout = PartLayout::from_parts(request.size_bytes, self.part_size_bytes).unwrap();
        let sealed = request.checksum_crc64nvme.is_some();
        StartResponse {
            upload_session_id: session(),
            token: UploadToken::new("token"),
            key: "key".into(),
            upload_id: Some(MultipartUploadId("m".into())),
            mode: UploadMode::Multipart,
            part_size_bytes: self.part_size_bytes,
            part_count: layout.part_count(),
            checksum_algorithm: self.checksum.then_some(ChecksumAlgorithm::Crc64Nvme),
            status: if sealed {
                SessionStatus::Sealed
            } else {
                SessionStatus::Open
            },
            lease_seconds: 1,
            parts: self.sign(&request.parts),
        }
    }

    /// The server's truth, with these parts at the store.
    pub fn session_with(&self, stored: &[u32]) -> SessionResponse {
        let layout = PartLayout::from_parts(self.size_bytes, self.part_size_bytes).unwrap();
        SessionResponse {
            upload_session_id: session(),
            status: SessionStatus::Open,
            key: "key".into(),
            upload_id: None,
            mode: UploadMode::Multipart,
            size_bytes: self.size_bytes,
            part_size_bytes: self.part_size_bytes,
            part_count: layout.part_count(),
            parts: stored
                .iter()
                .map(|number| StoredPart {
                    part_number: part(*number),
                    size_bytes: layout.range(part(*number)).size_bytes(),
                    checksum_crc64nvme: Some(crc(self.content, part(*number))),
                })
                .collect(),
            completed: None,
        }
    }

    pub fn completed(&self) -> CompleteResponse {
        let layout = PartLayout::from_parts(self.size_bytes, self.part_size_bytes).unwrap();
        let mut combiner = Crc64NvmeCombiner::default();
        for part in layout.parts() {
            combiner.append(crc(self.content, part), layout.range(part).size_bytes());
        }
        CompleteResponse {
            key: "key".into(),
            size_bytes: self.size_bytes,
            checksum_crc64nvme: self.checksum.then(|| combiner.crc()),
            completed_at: String::new(),
            receipt: None,
        }
    }

    fn sign(&self, parts: &[HashedPart]) -> Vec<SignedPart> {
        parts
            .iter()
            .map(|part| SignedPart {
                part_number: part.part_number,
                url: PresignedUrl::new("http://store/part?X-Amz-Signature=s"),
                headers: Vec::new(),
                expires_in_seconds: self.url_lifetime_seconds,
                relay_url: None,
            })
            .collect()
    }

    pub fn snapshot(&self, upload: ClientUploadId) -> UploadSnapshot {
        self.engine
            .snapshot(self.now, upload)
            .expect("the upload is listed")
    }

    /// How often an action of the kind was asked for.
    pub fn count(&self, wanted: &str) -> usize {
        self.log.iter().filter(|kind| kind.starts_with(wanted)).count()
    }
}

pub fn session() -> SessionId {
    SessionId::new(Uuid::from_u128(99))
}

pub fn store_error(status: u16, code: &str) -> Failure {
    Failure::Http {
        status,
        code: None,
        store_code: Some(code.into()),
        detail: "the store's words".into(),
        retry_after_seconds: None,
    }
}

pub fn server_error(code: ErrorCode) -> Failure {
    Failure::Http {
        status: code.http_status(),
        code: Some(code),
        store_code: None,
        detail: "the server's words".into(),
        retry_after_seconds: None,
    }
}

pub fn no_answer() -> Failure {
    Failure::Transport {
        detail: "no network".into(),
    }
}

fn kind(action: &Action) -> String {
    match action {
        Action::HashPart { part, .. } => format!("hash {part}"),
        Action::StagePart { part, .. } => format!("stage {part}"),
        Action::FreePart { part, .. } => format!("free {part}"),
        Action::Forget { .. } => "forget".into(),
        Action::SaveCheckpoint { .. } => "save".into(),
        Action::Start { key, .. } => format!("start {}", key.generation),
        Action::StartMany { request } => format!("start many {}", request.starts.len()),
        Action::CompleteMany { request } => format!("complete many {}", request.completes.len()),
        Action::Call { call, .. } => match call {
            SessionCall::Sign(_) => "sign",
            SessionCall::Fetch => "fetch",
            SessionCall::Seal(_) => "seal",
            SessionCall::Complete(_) => "complete",
            SessionCall::Abort => "abort",
        }
        .into(),
        Action::PutPart { part, .. } => format!("put {part}"),
        Action::Cancel(_) => "cancel".into(),
    }
}
