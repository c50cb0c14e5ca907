//! A whole server in this process: the router, an embedded store on loopback, a client.
#![allow(unreachable_pub, reason = "used by the files beside it")]

pub mod identity;
pub mod logs;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use http_body_util::BodyExt as _;
use presign_server::session::{Session, StateKind};
use presign_server::store::{MemorySessionStore, SessionStore};
use presign_server::{
    AccessRules, AppState, Sealer, SealerTiming, TokenMaker, UploadPolicy, Uploads, UploadsBuilder, router,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use upload_protocol::{Crc64Nvme, MultipartUploadId, SessionId, SignedPart, StartResponse};
use upload_storage::{
    Capabilities, CompleteMultipart, Credentials, ListedPart, NewObject, ObjectStorage, PartStream,
    PartToSign, PutTarget, S3Storage, S3StorageConfig, SharedCredentialsProvider, SignedPut, StorageError,
    StoreProfile, StoredObject,
};
use uuid::Uuid;

pub const MIB: usize = 1 << 20;
/// Two parts: one of 5 MiB, one of 3 bytes.
pub const TWO_PARTS: usize = 5 * MIB + 3;
pub const HOST: &str = "127.0.0.1:4000";
pub const ACCESS_KEY: &str = "access";
pub const SECRET_KEY: &str = "secret-of-the-tests-store";

pub const SEALER_TIMING: SealerTiming = SealerTiming {
    delay_min: Duration::from_millis(20),
    delay_sending: Duration::from_millis(50),
    delay_failed_max: Duration::from_millis(200),
    delay_max: Duration::from_millis(200),
    search_interval: Duration::from_millis(200),
    lease_interval: Duration::from_millis(200),
};

/// Everything that runs for one test.
pub struct World {
    pub router: Router,
    pub uploads: Uploads,
    pub storage: Arc<LossyStorage>,
    pub sessions: Arc<dyn SessionStore>,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    _folder: TempDir,
}

/// An answer, its body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Asserts a problem of this code, complete with everything RFC 9457 asks for.
    #[track_caller]
    pub fn expect_problem(&self, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["type"], format!("urn:holdfast:error:{code}"));
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            problem["requestId"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }

    #[track_caller]
    pub fn expect<T: serde::de::DeserializeOwned>(&self, status: u16) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with_policy(UploadPolicy::default()).await
    }

    pub async fn with_policy(policy: UploadPolicy) -> Self {
        Self::build(policy, StoreProfile::Embedded, async |address| address).await
    }

    /// The same store, declared to be able to do what another one can.
    pub async fn over(profile: StoreProfile) -> Self {
        Self::build(UploadPolicy::default(), profile, async |address| address).await
    }

    /// With sessions kept elsewhere than in memory.
    pub async fn with_sessions(sessions: Arc<dyn SessionStore>) -> Self {
        let mut world = Self::start().await;
        world.reopen(sessions);
        world
    }

    /// As a new process is: another handle of the sessions, and nothing remembered beside.
    pub fn reopen(&mut self, sessions: Arc<dyn SessionStore>) {
        self.uploads = builder(self.storage.clone(), sessions.clone()).build();
        self.router = app(&self.uploads);
        self.sessions = sessions;
    }

    /// The store's address goes through `reach`, which may put something in front of it.
    pub async fn build(
        policy: UploadPolicy,
        profile: StoreProfile,
        reach: impl AsyncFnOnce(SocketAddr) -> SocketAddr,
    ) -> Self {
        Self::assemble(profile, reach, |uploads| uploads.policy(policy)).await
    }

    /// Uploads as the test sets them up.
    pub async fn set_up(uploads: impl FnOnce(UploadsBuilder) -> UploadsBuilder) -> Self {
        Self::assemble(StoreProfile::Embedded, async |address| address, uploads).await
    }

    async fn assemble(
        profile: StoreProfile,
        reach: impl AsyncFnOnce(SocketAddr) -> SocketAddr,
        set_up: impl FnOnce(UploadsBuilder) -> UploadsBuilder,
    ) -> Self {
        logs::record_this_process();
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let address = reach(start_store(&folder, &stop).await).await;
        let storage = Arc::new(LossyStorage::new(connect(address, profile).await));
        let sessions: Arc<dyn SessionStore> = Arc::new(MemorySessionStore::new());
        let uploads = set_up(builder(storage.clone(), sessions.clone())).build();
        Self {
            router: app(&uploads),
            uploads,
            storage,
            sessions,
            http: reqwest::Client::new(),
            stop,
            _folder: folder,
        }
    }

    /// Runs the sealer, quick enough for a test.
    pub fn run_sealer(&self) {
        self.run_sealer_at(SEALER_TIMING);
    }

    pub fn run_sealer_at(&self, timing: SealerTiming) {
        tokio::spawn(Sealer::new(self.uploads.clone(), timing).run(self.stop.clone()));
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(token) = token {
            request = request.header("upload-token", token);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn start_call(&self, key: &str, body: Value) -> Answer {
        let request = Request::post("/api/upload-sessions")
            .header("host", HOST)
            .header("idempotency-key", key)
            .header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// Starts an upload of these bytes with all its parts named.
    pub async fn start_upload(&self, name: &str, bytes: &[u8]) -> StartResponse {
        let body = start_body(name, bytes);
        self.start_call(&Uuid::new_v4().to_string(), body)
            .await
            .expect(201)
    }

    /// PUTs bytes to a signed URL as a browser would; answers status and body.
    pub async fn put(&self, part: &SignedPart, bytes: &[u8]) -> (u16, String) {
        // A browser sends the length of an empty body too; this client leaves it out.
        let length = bytes.len().to_string();
        let request = self.http.put(part.url.expose()).header("content-length", length);
        let mut request = request.body(bytes.to_vec());
        for header in &part.headers {
            request = request.header(&header.name, &header.value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// PUTs every part that came with the start.
    pub async fn put_all(&self, started: &StartResponse, bytes: &[u8]) {
        let pieces = split(bytes, started.part_size_bytes);
        for (part, piece) in started.parts.iter().zip(pieces) {
            let (status, body) = self.put(part, piece).await;
            assert_eq!(status, 200, "part {}: {body}", part.part_number);
        }
    }

    pub async fn on(
        &self,
        started: &StartResponse,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let path = format!("/api/upload-sessions/{}{path}", started.upload_session_id);
        self.call(method, &path, Some(started.token.expose()), body).await
    }

    /// The object as any S3 client reads it.
    pub async fn download(&self, key: &str) -> aws_sdk_s3::operation::get_object::GetObjectOutput {
        let get = self.client().get_object().bucket("holdfast").key(key);
        get.send().await.unwrap()
    }

    /// Writes an object past the server, as an operator could.
    pub async fn write_object(&self, key: &str, bytes: &[u8]) {
        let put = self.client().put_object().bucket("holdfast").key(key);
        put.body(bytes.to_vec().into()).send().await.unwrap();
    }

    /// Keys of all objects there are.
    pub async fn all_keys(&self) -> Vec<String> {
        let list = self.client().list_objects_v2().bucket("holdfast");
        let listed = list.send().await.unwrap();
        let keys = listed.contents().iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }

    fn client(&self) -> aws_sdk_s3::Client {
        client_of(&self.storage.public_origin())
    }

    /// What the store says of an object.
    pub async fn read_object(&self, key: &str) -> Option<StoredObject> {
        self.storage.head(key).await.unwrap()
    }

    /// Changes a session as another process could.
    pub async fn change(&self, started: &StartResponse, change: impl FnOnce(&mut Session)) {
        let id = started.upload_session_id;
        let mut found = self.sessions.get(id).await.unwrap().unwrap();
        change(&mut found.session);
        self.sessions.update(found.version, found.session).await.unwrap();
    }

    /// Waits until the session is kept in a state.
    pub async fn wait_for_state(&self, started: &StartResponse, state: StateKind) {
        self.wait_for_state_of(started.upload_session_id, state).await;
    }

    /// The same by the session's id.
    pub async fn wait_for_state_of(&self, id: SessionId, state: StateKind) {
        for _ in 0..250 {
            let found = self.sessions.get(id).await.unwrap().unwrap();
            if found.session.state.kind() == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the session was not kept as {}", state.as_str());
    }

    /// Waits until the session has a status.
    pub async fn wait_for(&self, started: &StartResponse, status: &str) -> Value {
        for _ in 0..250 {
            let answer: Value = self.on(started, Method::GET, "", None).await.expect(200);
            if answer["status"] == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the session did not become {status}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn builder(storage: Arc<LossyStorage>, sessions: Arc<dyn SessionStore>) -> UploadsBuilder {
    Uploads::builder(storage, sessions, TokenMaker::new(&[7; 32]).unwrap())
}

fn app(uploads: &Uploads) -> Router {
    let mut access = AccessRules::of_listener(HOST.parse().unwrap());
    access.allow_origin("https://app.example.com").unwrap();
    router(AppState::new(uploads.clone(), access))
}

pub fn start_body(name: &str, bytes: &[u8]) -> Value {
    let part_size = 5 * MIB as u64;
    let parts: Vec<Value> = split(bytes, part_size)
        .enumerate()
        .map(|(index, piece)| {
            json!({"partNumber": index + 1, "sizeBytes": piece.len(), "checksumCrc64nvme": crc(piece)})
        })
        .collect();
    json!({
        "fileName": name, "sizeBytes": bytes.len(), "contentType": "video/mp4",
        "partSizeBytes": part_size, "checksumAlgorithm": "CRC64NVME", "parts": parts,
    })
}

/// The same, telling the checksum of the whole.
pub fn sealed_start_body(name: &str, bytes: &[u8]) -> Value {
    let mut body = start_body(name, bytes);
    body["checksumCrc64nvme"] = json!(crc(bytes));
    body
}

pub fn split(bytes: &[u8], part_size: u64) -> impl Iterator<Item = &[u8]> {
    let size = usize::try_from(part_size).unwrap();
    let count = bytes.len().div_ceil(size).max(1);
    (0..count).map(move |index| &bytes[index * size..bytes.len().min((index + 1) * size)])
}

pub fn crc(bytes: &[u8]) -> Crc64Nvme {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    Crc64Nvme(digest.sum64())
}

/// Bytes that differ everywhere.
pub fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from(state >> 56).unwrap()
        })
        .collect()
}

/// A client of the store at this endpoint.
pub fn client_of(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A port that was free a moment ago: for what must come back at the same one.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A store with the bucket `holdfast`, in this process.
pub async fn start_store(folder: &TempDir, stop: &CancellationToken) -> SocketAddr {
    let mut config = EmbeddedS3Config::new(folder.path().join("s3"), ACCESS_KEY, SECRET_KEY);
    config.buckets = vec!["holdfast".to_owned()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = EmbeddedS3::open(config).await.unwrap();
    let stop = stop.clone();
    tokio::spawn(async move { store.serve(listener, async move { stop.cancelled().await }).await });
    address
}

async fn connect(address: SocketAddr, profile: StoreProfile) -> S3Storage {
    let mut config = S3StorageConfig::new("holdfast");
    config.endpoint = Some(format!("http://{address}"));
    config.region = Some("us-east-1".to_owned());
    config.capabilities = profile.capabilities();
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    S3Storage::connect(config).await.unwrap()
}

/// The real store behind a wire that can lose an answer after the work was done.
#[derive(Debug)]
pub struct LossyStorage {
    inner: S3Storage,
    pub lose_create: AtomicBool,
    pub lose_complete: AtomicBool,
    pub refuse_abort: AtomicBool,
    /// HEADs and lists of parts so far.
    pub looks: AtomicUsize,
    /// Answers of complete wait for it.
    pub complete_gate: tokio::sync::Mutex<()>,
    /// Aborts wait for it.
    pub abort_gate: tokio::sync::Mutex<()>,
}

impl LossyStorage {
    fn new(inner: S3Storage) -> Self {
        Self {
            inner,
            lose_create: AtomicBool::new(false),
            lose_complete: AtomicBool::new(false),
            refuse_abort: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
            complete_gate: tokio::sync::Mutex::default(),
            abort_gate: tokio::sync::Mutex::default(),
        }
    }
}

fn lost() -> StorageError {
    StorageError::Unavailable {
        action: "Test",
        message: "the answer was lost".to_owned(),
    }
}

#[async_trait]
impl ObjectStorage for LossyStorage {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn bucket(&self) -> &str {
        self.inner.bucket()
    }
    fn public_origin(&self) -> String {
        self.inner.public_origin()
    }
    async fn create_multipart(&self, object: &NewObject) -> Result<MultipartUploadId, StorageError> {
        let created = self.inner.create_multipart(object).await;
        if self.lose_create.swap(false, Ordering::SeqCst) {
            Err(lost())
        } else {
            created
        }
    }
    async fn find_multipart(&self, key: &str) -> Result<Vec<MultipartUploadId>, StorageError> {
        self.inner.find_multipart(key).await
    }
    async fn presign_parts(
        &self,
        now: SystemTime,
        lifetime: Duration,
        key: &str,
        upload_id: &MultipartUploadId,
        parts: &[PartToSign],
    ) -> Result<Vec<SignedPut>, StorageError> {
        self.inner
            .presign_parts(now, lifetime, key, upload_id, parts)
            .await
    }
    async fn presign_single(
        &self,
        now: SystemTime,
        lifetime: Duration,
        object: &NewObject,
        part: &PartToSign,
    ) -> Result<SignedPut, StorageError> {
        self.inner.presign_single(now, lifetime, object, part).await
    }
    async fn put_part(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
        source: PartStream,
    ) -> Result<Option<String>, StorageError> {
        self.inner.put_part(now, target, part, source).await
    }
    async fn list_parts(&self, key: &str, id: &MultipartUploadId) -> Result<Vec<ListedPart>, StorageError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.list_parts(key, id).await
    }
    async fn complete(&self, request: CompleteMultipart<'_>) -> Result<StoredObject, StorageError> {
        let completed = self.inner.complete(request).await;
        drop(self.complete_gate.lock().await);
        if self.lose_complete.swap(false, Ordering::SeqCst) {
            Err(lost())
        } else {
            completed
        }
    }
    async fn abort(&self, key: &str, id: &MultipartUploadId) -> Result<(), StorageError> {
        drop(self.abort_gate.lock().await);
        if self.refuse_abort.swap(false, Ordering::SeqCst) {
            return Err(lost());
        }
        self.inner.abort(key, id).await
    }
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, StorageError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.inner.head(key).await
    }
    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.inner.delete(key).await
    }
    async fn ready(&self) -> Result<(), StorageError> {
        self.inner.ready().await
    }
}
