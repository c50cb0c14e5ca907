//! The one [`Authorizer`] of the three ways in.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::api_key::{API_KEY_PREFIX, ApiKey};
use super::clients::Clients;
use super::clients_file::{ClientsFile, ClientsFileError};
use super::grants::GrantMaker;
use super::jwt::{JwtConfig, JwtConfigError, JwtVerifier};
use super::{Authorizer, Credential, Principal};
use crate::error::{Result, UploadError};

/// Longest credentials in bytes that are looked at.
const BEARER_LENGTH_BYTES_MAX: usize = 8192;

/// How often the clients file is looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Which credentials are taken. With neither, everybody is let in.
#[derive(Debug, Clone, Default)]
pub struct IdentityConfig {
    /// File of clients and their API keys.
    pub clients_file: Option<PathBuf>,
    /// Tokens of somebody else's making.
    pub jwt: Option<JwtConfig>,
}

/// What identity is configured with can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The clients file.
    #[error(transparent)]
    Clients(ClientsFileError),
    /// What checks JWTs.
    #[error(transparent)]
    Jwt(JwtConfigError),
}

/// Knows a caller by its API key, its grant or its JWT.
#[derive(Debug)]
pub struct Identity {
    clients: RwLock<Arc<Clients>>,
    file: Option<ClientsFile>,
    /// What the clients in force were read from.
    text: RwLock<String>,
    grants: GrantMaker,
    jwt: Option<JwtVerifier>,
}

impl IdentityConfig {
    /// Whether nothing is configured, so that everybody is let in.
    pub fn is_open(&self) -> bool {
        self.clients_file.is_none() && self.jwt.is_none()
    }
}

impl Identity {
    /// Reads the clients and the key; blocks for as long as a small file takes.
    ///
    /// # Errors
    /// [`IdentityError`], each with what to do.
    pub fn open(config: IdentityConfig, grants: GrantMaker) -> std::result::Result<Self, IdentityError> {
        let file = config.clients_file.map(ClientsFile::new);
        let (text, clients) = match &file {
            Some(file) => {
                let text = file.read().map_err(IdentityError::Clients)?;
                let clients = file.parse(&text).map_err(IdentityError::Clients)?;
                (text, clients)
            }
            None => (String::new(), Clients::default()),
        };
        if file.is_some() && clients.clients.iter().all(|client| client.keys.is_empty()) {
            tracing::warn!("the clients file has no API key: make one with `presign-server keys create`");
        }
        let jwt = match config.jwt {
            Some(config) => Some(JwtVerifier::open(config).map_err(IdentityError::Jwt)?),
            None => None,
        };
        Ok(Self {
            clients: RwLock::new(Arc::new(clients)),
            file,
            text: RwLock::new(text),
            grants,
            jwt,
        })
    }

    /// Takes up changes of the clients file until `stop`, and fetches published keys ahead of the first
    /// token. A file that can't be used is refused with an error in the log; the clients before stay in
    /// force.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if let Some(jwt) = &self.jwt {
            jwt.warm_up();
        }
        let Some(file) = self.file.clone() else {
            return;
        };
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            }
            let (identity, file) = (self.clone(), file.clone());
            let looked = tokio::task::spawn_blocking(move || identity.reload(&file)).await;
            // What is wrong is said once, not every second.
            match looked {
                Ok(Ok(())) => refused = None,
                Ok(Err(error)) => {
                    let words = error_words(&error);
                    if refused.as_ref() != Some(&words) {
                        tracing::error!("{words}; the clients before stay in force");
                        refused = Some(words);
                    }
                }
                Err(error) => tracing::error!(%error, "looking at the clients file ended in a panic"),
            }
        }
    }

    /// The clients as they are now.
    pub fn clients(&self) -> Arc<Clients> {
        self.clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the file; it is small, and its text is a better witness of a change than its times.
    fn reload(&self, file: &ClientsFile) -> std::result::Result<(), ClientsFileError> {
        let text = file.read()?;
        if *self.text.read().unwrap_or_else(PoisonError::into_inner) == text {
            return Ok(());
        }
        let clients = file.parse(&text)?;
        let (count, keys) = (
            clients.clients.len(),
            clients
                .clients
                .iter()
                .map(|client| client.keys.len())
                .sum::<usize>(),
        );
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(clients);
        *self.text.write().unwrap_or_else(PoisonError::into_inner) = text;
        tracing::info!(clients = count, keys, "took up the clients file");
        Ok(())
    }

    fn by_api_key(&self, bearer: &str) -> Result<Principal> {
        let clients = self.clients();
        let found = ApiKey::parse(bearer).and_then(|key| {
            let (client, kept) = clients.client_of(&key)?;
            Some((client.clone(), kept.clone()))
        });
        let (client, key) = found
            .ok_or_else(|| UploadError::unauthorized("the API key is not known here, or was revoked"))?;
        if key.is_expired(SystemTime::now()) {
            return Err(UploadError::unauthorized(format!(
                "the API key {} has expired: make another with `presign-server keys create`",
                key.id
            )));
        }
        let expires = key.expires.map(jiff::Timestamp::as_second);
        Ok(Principal {
            limits: client.limits(),
            client: client.name,
            scope: None,
            role: client.role,
            credential: Credential::ApiKey {
                key_id: key.id,
                expires_at_seconds: expires.and_then(|seconds| u64::try_from(seconds).ok()),
            },
            allowance: None,
        })
    }
}

#[async_trait]
impl Authorizer for Identity {
    async fn authorize(&self, bearer: Option<&str>) -> Result<Principal> {
        let bearer = bearer.ok_or_else(|| {
            UploadError::unauthorized(
                "credentials are missing: send an API key, a grant or a token as `Authorization: Bearer …`",
            )
        })?;
        if bearer.len() > BEARER_LENGTH_BYTES_MAX {
            return Err(UploadError::unauthorized(format!(
                "credentials of {} bytes are above the {BEARER_LENGTH_BYTES_MAX}-byte maximum",
                bearer.len()
            )));
        }
        if bearer.starts_with(API_KEY_PREFIX) {
            return self.by_api_key(bearer);
        }
        let header = jsonwebtoken::decode_header(bearer).map_err(|_| {
            UploadError::unauthorized("the credentials are neither an API key nor a JWT of a known algorithm")
        })?;
        let clients = self.clients();
        if GrantMaker::is_grant(&header) {
            return self.grants.read(bearer, &clients);
        }
        match &self.jwt {
            Some(jwt) => jwt.read(bearer, &header, &clients).await,
            None => Err(UploadError::unauthorized(
                "this server takes API keys and grants; JWTs of other issuers are not configured",
            )),
        }
    }

    fn is_in_force(&self, client: &str, key_id: &str) -> bool {
        let clients = self.clients();
        let kept = clients.key(key_id);
        kept.is_some_and(|(owner, key)| owner.name == client && !key.is_expired(SystemTime::now()))
    }
}

fn error_words(error: &ClientsFileError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
