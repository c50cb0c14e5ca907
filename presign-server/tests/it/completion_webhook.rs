//! Telling of completions: at least once, whatever fails, under one id.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::process::{command, post, put_all, start_call, start_with};
use crate::receipts::run_documented;
use crate::support::{TWO_PARTS, World, content, crc, free_port, sealed_start_body, start_body};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use presign_server::hooks::{Hook, WebhookSecret};
use presign_server::receipt::verify_receipt;
use presign_server::session::{SessionState, StateKind};
use presign_server::{Announcer, AnnouncerTiming};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use upload_protocol::{CompleteResponse, HookEvent, StartResponse, UploadCompleted};
use uuid::Uuid;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const TIMING: AnnouncerTiming = AnnouncerTiming {
    delay_min: Duration::from_millis(100),
    delay_max: Duration::from_millis(100),
    given_up_after: Duration::from_mins(1),
    search_interval: Duration::from_millis(50),
};

/// The same, with attempts so far apart that none is repeated while another is under way.
const CALM: AnnouncerTiming = AnnouncerTiming {
    delay_min: Duration::from_mins(1),
    delay_max: Duration::from_mins(1),
    ..TIMING
};

/// A product's server, on loopback.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<VecDeque<Reply>>,
    default: Mutex<Option<Reply>>,
}

/// What came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16, String),
    Redirect,
    Never,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let app = Router::new().fallback(receive).with_state(inner.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, inner }
    }

    pub(crate) fn hook(&self) -> Hook {
        Hook::new(&self.url, WebhookSecret::parse(SECRET).unwrap(), false).unwrap()
    }

    /// Answers the next messages so, and those after them with 200.
    pub(crate) fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.answers.lock().unwrap().extend(replies);
    }

    pub(crate) fn always(&self, reply: Reply) {
        *self.inner.default.lock().unwrap() = Some(reply);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub(crate) async fn wait_for(&self, count: usize, at_most: Duration) -> Vec<Seen> {
        let started = tokio::time::Instant::now();
        while started.elapsed() < at_most {
            let seen = self.seen();
            if seen.len() >= count {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} of {count} messages came", self.seen().len());
    }
}

impl Seen {
    pub(crate) fn event<T: serde::de::DeserializeOwned>(&self) -> HookEvent<T> {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Reads it as `docs/hooks.md` says, in Node.
    pub(crate) fn read_as_documented(&self, secret: &str) -> String {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<String, Value> = names
            .iter()
            .map(|name| ((*name).to_owned(), json!(self.header(name))))
            .collect();
        run_documented(
            "hook.mjs",
            "try { console.log(readHook(input.headers, input.body, input.secret).id) } catch (error) { console.log(error.message) }",
            &json!({"headers": headers, "body": self.body, "secret": secret}),
        )
    }
}

async fn receive(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let path = uri.path().to_owned();
    inner.seen.lock().unwrap().push(Seen { path, headers, body });
    let next = inner.answers.lock().unwrap().pop_front();
    let reply = next.or_else(|| inner.default.lock().unwrap().clone());
    match reply {
        None => StatusCode::OK.into_response(),
        Some(Reply::Status(status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Some(Reply::Redirect) => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Some(Reply::Never) => std::future::pending().await,
    }
}

fn failure() -> Reply {
    Reply::Status(500, String::new())
}

async fn told_to(receiver: &Receiver) -> World {
    World::set_up(|uploads| uploads.completion_hook(receiver.hook())).await
}

fn announce(world: &World, timing: AnnouncerTiming) {
    tokio::spawn(Announcer::new(world.uploads.clone(), timing).run(world.stop.clone()));
}

async fn complete(world: &World, bytes: &[u8]) -> StartResponse {
    let started = world.start_upload("a.mov", bytes).await;
    world.put_all(&started, bytes).await;
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    answer.expect::<CompleteResponse>(200);
    started
}

#[tokio::test]
async fn completion_by_the_server_itself_is_told_with_all_that_is_known_and_signed() {
    let receiver = Receiver::start().await;
    let world = told_to(&receiver).await;
    announce(&world, CALM);
    world.run_sealer();
    let bytes = content(TWO_PARTS);
    let mut body = sealed_start_body("ü 😀.mov", &bytes);
    body["metadata"] = json!({"album": "summer"});
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    world.put_all(&started, &bytes).await;
    let seen = receiver.wait_for(1, Duration::from_secs(10)).await;
    let event: HookEvent<UploadCompleted> = seen[0].event();
    let data = &event.data;
    assert_eq!(event.event_type, "upload.completed");
    assert_eq!((data.client.as_str(), &data.scope), ("local", &None));
    assert_eq!((&data.key, data.bucket.as_str()), (&started.key, "holdfast"));
    assert_eq!(data.size_bytes, bytes.len() as u64);
    assert_eq!(data.checksum_crc64nvme, Some(crc(&bytes)));
    assert_eq!(
        (data.file_name.as_str(), data.content_type.as_str()),
        ("ü 😀.mov", "video/mp4")
    );
    assert_eq!(data.metadata["album"], "summer");
    let receipt = verify_receipt(&data.receipt, &world.uploads.receipt_keys()).unwrap();
    assert_eq!(receipt.upload_session_id, started.upload_session_id);
    assert_eq!(
        (&receipt.completed_at, &event.time),
        (&data.completed_at, &data.completed_at)
    );
    assert_eq!(seen[0].header("webhook-id"), event.id);
    assert_eq!(seen[0].read_as_documented(SECRET), event.id);
    assert_eq!(
        seen[0].read_as_documented("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        "forged"
    );
    world.wait_for_state(&started, StateKind::Completed).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.seen().len(), 1, "it was told again");
}

#[tokio::test]
async fn receiver_that_fails_is_told_again_under_the_same_id_and_followed_nowhere() {
    let receiver = Receiver::start().await;
    receiver.answer([
        failure(),
        Reply::Redirect,
        Reply::Status(404, "no".repeat(100_000)),
    ]);
    let world = told_to(&receiver).await;
    announce(&world, TIMING);
    let started = complete(&world, b"abc").await;
    let seen = receiver.wait_for(4, Duration::from_secs(10)).await;
    world.wait_for_state(&started, StateKind::Completed).await;
    assert!(seen.iter().all(|seen| seen.path == "/hook"), "{seen:?}");
    let ids: std::collections::HashSet<&str> = seen.iter().map(|seen| seen.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    // The upload itself never waited for any of it.
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["status"], "completed");
}

#[tokio::test]
async fn completion_that_nobody_takes_is_given_up_and_the_upload_stays_complete() {
    let receiver = Receiver::start().await;
    receiver.always(failure());
    let world = told_to(&receiver).await;
    let timing = AnnouncerTiming {
        given_up_after: Duration::from_millis(1500),
        ..TIMING
    };
    announce(&world, timing);
    let started = complete(&world, b"abc").await;
    world.wait_for_state(&started, StateKind::Completed).await;
    let attempts = receiver.seen().len();
    assert!((2..=40).contains(&attempts), "{attempts} attempts");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        receiver.seen().len(),
        attempts,
        "it was told after it was given up"
    );
    let found = world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(found.session.state, SessionState::Completed(_)));
}

#[tokio::test]
async fn two_announcers_on_one_store_tell_each_completion_once() {
    let receiver = Receiver::start().await;
    let world = told_to(&receiver).await;
    let mut started = Vec::new();
    for index in 0..10_u8 {
        // Some wait in the store, some come while both are at work.
        if index == 5 {
            announce(&world, CALM);
            announce(&world, CALM);
        }
        started.push(complete(&world, &[index; 10]).await);
    }
    for started in &started {
        world.wait_for_state(started, StateKind::Completed).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut ids: Vec<String> = receiver
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.seen().len()), (10, 10));
}

#[tokio::test]
async fn completion_is_not_kept_for_telling_where_nobody_is_told() {
    let world = World::start().await;
    let started = complete(&world, b"abc").await;
    let found = world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.state.kind(), StateKind::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_whose_telling_was_cut_off_by_a_kill_is_told_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, port) = (Receiver::start().await, free_port());
    receiver.answer([Reply::Never]);
    let serve = || {
        let mut command = command(folder.path(), port);
        command
            .args(["--completion-webhook-url", &receiver.url])
            .env("HOLDFAST_WEBHOOK_SECRET", SECRET);
        start_with(folder.path(), command)
    };
    let mut server = serve();
    let bytes = content(TWO_PARTS);
    let started = start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;
    put_all(&started, &bytes).await;
    assert_eq!(
        post(&server, &started, "/complete", &json!({})).await.status(),
        200
    );
    receiver.wait_for(1, Duration::from_secs(10)).await;
    server.child.kill().unwrap();
    drop(server);
    let _server = serve();
    let seen = receiver.wait_for(2, Duration::from_mins(1)).await;
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    assert_eq!(seen[0].body, seen[1].body);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("whsec_") && !log.contains(&SECRET[6..]), "{log}");
}
