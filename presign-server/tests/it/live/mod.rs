//! The live view over real sockets: servers on loopback, viewers with a WebSocket client.

mod binary;
mod entrance;
mod limits;
mod messages;
mod replicas;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt as _, StreamExt as _};
use presign_server::auth::{Authorizer, Credential, OpenAuthorizer, Principal, Role};
use presign_server::events::EventBus;
use presign_server::{AccessRules, AppState, Live, LiveLimits, TokenMaker, UploadError, Uploads, router};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use upload_protocol::{ErrorCode, StartResponse};

use crate::support::{World, start_body};

/// How long a message may take.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

/// One server process: its address and what it works with.
struct Replica {
    address: SocketAddr,
    live: Live,
    http: reqwest::Client,
}

/// A viewer connected to one.
struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// Keys of two clients and an operator; one user of the first.
#[derive(Debug)]
struct TestKeys;

#[async_trait]
impl Authorizer for TestKeys {
    async fn authorize(&self, bearer: Option<&str>) -> presign_server::Result<Principal> {
        let (client, scope, role) = match bearer {
            Some("operator-key") => ("house", None, Role::Operator),
            Some("acme-key") => ("acme", None, Role::Uploader),
            Some("acme-anna") => ("acme", Some("anna".to_owned()), Role::Uploader),
            Some("other-key") => ("other", None, Role::Uploader),
            _ => return Err(UploadError::new(ErrorCode::Unauthorized, "no such key")),
        };
        Ok(Principal {
            client: client.to_owned(),
            scope,
            role,
            credential: Credential::ApiKey {
                key_id: client.to_owned(),
                expires_at_seconds: None,
            },
            ..Principal::local()
        })
    }
}

/// Uploads of their own over a world's two stores, as another process has them.
fn uploads_over(world: &World, events: Arc<dyn EventBus>) -> Uploads {
    let tokens = TokenMaker::new(&[7; 32]).unwrap();
    Uploads::builder(world.storage.clone(), world.sessions.clone(), tokens)
        .events(events)
        .build()
}

impl Replica {
    async fn start(uploads: Uploads) -> Self {
        Self::build(uploads, Arc::new(OpenAuthorizer), LiveLimits::default()).await
    }

    async fn build(uploads: Uploads, authorizer: Arc<dyn Authorizer>, limits: LiveLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut access = AccessRules::of_listener(address);
        access.allow_origin("https://app.example.com").unwrap();
        let live = Live::new(&uploads, limits);
        let mut state = AppState::new(uploads, access);
        state.live = live.clone();
        state.authorizer = authorizer;
        tokio::spawn(async move { axum::serve(listener, router(state)).await });
        Self {
            address,
            live,
            http: reqwest::Client::new(),
        }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> reqwest::Response {
        let mut request = self.http.post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn start_upload(&self, bearer: &str, bytes: &[u8]) -> StartResponse {
        let key = uuid::Uuid::new_v4().to_string();
        let bearer = format!("Bearer {bearer}");
        let headers = [("idempotency-key", &*key), ("authorization", &*bearer)];
        let body = start_body("a.mov", bytes);
        let answer = self.post("/api/upload-sessions", &headers, Some(body)).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    async fn on(&self, started: &StartResponse, path: &str, body: Option<Value>) -> reqwest::Response {
        let path = format!("/api/upload-sessions/{}{path}", started.upload_session_id);
        self.post(&path, &[("upload-token", started.token.expose())], body)
            .await
    }

    async fn progress(&self, started: &StartResponse, parts: &[u32]) {
        let parts: Vec<Value> = parts
            .iter()
            .map(|number| json!({"partNumber": number, "sizeBytes": size_of(started, *number)}))
            .collect();
        let answer = self
            .on(started, "/progress", Some(json!({ "parts": parts })))
            .await;
        assert_eq!(answer.status(), 204);
    }

    async fn complete(&self, started: &StartResponse) {
        let answer = self.on(started, "/complete", None).await;
        assert_eq!(answer.status(), 200);
    }

    async fn ticket(&self, headers: &[(&str, &str)], body: Value) -> String {
        let answer = self.post("/api/tickets", headers, Some(body)).await;
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["expiresInSeconds"], 30);
        answer["ticket"].as_str().unwrap().to_owned()
    }

    /// Connects, or answers the status and code of the refusal.
    async fn try_watch(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Viewer, (u16, String)> {
        let url = format!("ws://{}/ws{query}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Viewer { socket }),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = problem["code"].as_str().unwrap_or_default().to_owned();
                Err((response.status().as_u16(), code))
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn watch(&self, query: &str) -> Viewer {
        self.try_watch(query, &[]).await.unwrap()
    }

    async fn watch_run(&self, started: &StartResponse) -> Viewer {
        self.watch(&format!("?run={}", started.upload_session_id)).await
    }
}

impl Viewer {
    /// The next message as it came.
    async fn next(&mut self) -> Value {
        loop {
            let next = tokio::time::timeout(ARRIVAL_TIMEOUT, self.socket.next()).await;
            match next.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next so many messages as `session_start`, part numbers, error messages and `done:true`.
    async fn next_words(&mut self, count: usize) -> String {
        let mut words = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            let payload = &message["Payload"];
            words.push(match message["Type"].as_str().unwrap() {
                "part_done" => payload["part"].to_string(),
                "error" => payload["message"].as_str().unwrap().to_owned(),
                "session_done" => format!("done:{}", payload["success"]),
                other => other.to_owned(),
            });
        }
        words.join(" ")
    }

    async fn expect_silence(&mut self) {
        let deadline = tokio::time::Instant::now() + SILENCE;
        while let Ok(next) = tokio::time::timeout_at(deadline, self.socket.next()).await {
            assert!(
                matches!(next, Some(Ok(Message::Ping(_)))),
                "nothing was to come: {next:?}"
            );
        }
    }

    /// Code and reason that the server closes with.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            let next = tokio::time::timeout(ARRIVAL_TIMEOUT, self.socket.next()).await;
            match next.expect("a close in time") {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

fn size_of(started: &StartResponse, number: u32) -> u64 {
    // All tests here send two parts, or one.
    if number == started.part_count && started.part_count > 1 {
        crate::support::TWO_PARTS as u64 - started.part_size_bytes
    } else {
        started.part_size_bytes
    }
}
