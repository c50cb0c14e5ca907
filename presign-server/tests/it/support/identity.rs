//! A server that asks for credentials, beside the one that doesn't.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use presign_server::auth::{ClientsFile, GrantMaker, Identity, IdentityConfig, JwtConfig, NewKey};
use presign_server::{AccessRules, AppState, TokenMaker, UploadPolicy, router};
use serde_json::Value;
use tempfile::TempDir;
use upload_protocol::StartResponse;
use uuid::Uuid;

use super::{Answer, HOST, World, start_body};

/// A world whose router asks for credentials.
pub struct Guarded {
    pub world: World,
    pub file: ClientsFile,
    _folder: TempDir,
}

impl Guarded {
    /// With a clients file, in which there are no clients yet.
    pub async fn start() -> Self {
        Self::with(UploadPolicy::default(), None).await
    }

    /// With one more way in.
    pub async fn with(policy: UploadPolicy, jwt: Option<JwtConfig>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = ClientsFile::new(folder.path().join("clients.yaml"));
        std::fs::write(file.path(), "clients: []\n").unwrap();
        let mut guarded = Self {
            world: World::with_policy(policy).await,
            file,
            _folder: folder,
        };
        guarded.serve(jwt);
        guarded
    }

    /// A replica of the server: the same stores, secret and file, read anew.
    pub fn serve(&mut self, jwt: Option<JwtConfig>) {
        let tokens = TokenMaker::new(&[7; 32]).unwrap();
        let grants = GrantMaker::new(&tokens);
        let config = IdentityConfig {
            clients_file: Some(self.file.path().to_path_buf()),
            jwt,
        };
        let identity = Arc::new(Identity::open(config, grants.clone()).unwrap());
        tokio::spawn(identity.clone().run(self.world.stop.clone()));
        let access = AccessRules::of_listener(HOST.parse().unwrap());
        let mut state = AppState::new(self.world.uploads.clone(), access);
        state.authorizer = identity;
        state.grants = Some(grants);
        self.world.router = router(state);
    }

    /// A new key, taken up by the server at once.
    pub fn key(&mut self, new: NewKey) -> String {
        let key = self.file.create_key(new).unwrap().expose();
        self.serve(None);
        key
    }

    /// A key of a client without limits.
    pub fn key_of(&mut self, client: &str) -> String {
        self.key(new_key(client))
    }

    pub async fn ask(&self, method: Method, path: &str, bearer: Option<&str>, body: Option<Value>) -> Answer {
        self.ask_with(method, path, bearer, &[], body).await
    }

    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        self.world.send(request.body(body).unwrap()).await
    }

    /// A start with an idempotency key.
    pub async fn start_as(&self, bearer: Option<&str>, key: &str, body: Value) -> Answer {
        let headers = [("idempotency-key", key)];
        let path = "/api/upload-sessions";
        self.ask_with(Method::POST, path, bearer, &headers, Some(body))
            .await
    }

    /// A start of a few bytes that must succeed.
    pub async fn started(&self, bearer: &str, name: &str) -> StartResponse {
        let body = start_body(name, b"some bytes");
        let answer = self
            .start_as(Some(bearer), &Uuid::new_v4().to_string(), body)
            .await;
        answer.expect(201)
    }

    pub async fn grant(&self, bearer: &str, body: Value) -> String {
        let answer = self
            .ask(Method::POST, "/api/grants", Some(bearer), Some(body))
            .await;
        let answer: Value = answer.expect(201);
        answer["grant"].as_str().unwrap().to_owned()
    }
}

pub fn new_key(client: &str) -> NewKey {
    NewKey {
        client: client.to_owned(),
        ..NewKey::default()
    }
}
