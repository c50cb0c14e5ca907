//! Who asks, and what they may.
//!
//! Three ways in, behind one [`Authorizer`], which is [`Identity`]: API keys of clients in a file, JWTs
//! of a product's own sign-in, and grants, which a client's backend asks for with its API key.

mod api_key;
mod clients;
mod clients_file;
mod grants;
mod identity;
mod jwks;
mod jwt;
mod limits;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use api_key::ApiKey;
pub use clients::{Client, ClientKey, Clients, ClientsError};
pub use clients_file::{ClientsFile, ClientsFileError, NewKey};
pub use grants::GrantMaker;
pub use identity::{Identity, IdentityConfig, IdentityError};
pub use jwt::{HoldfastClaim, JwtConfig, JwtConfigError, JwtKeys};
pub(crate) use limits::listed;
pub use limits::{ClientLimits, ContentPattern, Narrowing};

use crate::error::Result;

/// Decides who a caller is.
///
/// Only calls that start, list or administrate come here: a session is continued by its own
/// `Upload-Token`.
#[async_trait]
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// The caller that presents this `Authorization: Bearer …`, or nothing.
    ///
    /// # Errors
    /// `unauthorized` when credentials are needed and missing, or wrong.
    async fn authorize(&self, bearer: Option<&str>) -> Result<Principal>;

    /// Whether an API key that was accepted before is one still. Asked by what remembers a caller.
    fn is_in_force(&self, _client: &str, _key_id: &str) -> bool {
        true
    }

    /// Whether everybody may start uploads. Such a server guards its Host header against DNS
    /// rebinding and listens on loopback only.
    fn is_open(&self) -> bool {
        false
    }
}

/// A caller, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The client it belongs to: a product, a team. Quotas and rates are counted by it.
    pub client: String,
    /// The client's own name for its user; two scopes never see each other's uploads.
    pub scope: Option<String>,
    /// What it may beside starting uploads.
    pub role: Role,
    /// What its uploads may be.
    pub limits: ClientLimits,
    /// What it came in with.
    pub credential: Credential,
    /// How many uploads may be started with its credential; `None` for any number.
    pub allowance: Option<Allowance>,
}

/// What a caller came in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: nothing is asked for.
    Open,
    /// A client's API key.
    ApiKey {
        /// Its id, which is no secret.
        key_id: String,
        /// When it ends, seconds since 1970.
        expires_at_seconds: Option<u64>,
    },
    /// A grant.
    Grant,
    /// A JWT of somebody else's making.
    Jwt,
}

/// How many uploads may be started with one credential, over all replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Name of the credential, the same each time it is shown.
    pub name: String,
    /// Uploads in all, at least 1.
    pub uploads_max: u32,
    /// How long it is good for from now on; what was started with it is remembered that long.
    pub left: Duration,
}

/// What a caller may beside starting uploads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing.
    #[default]
    Uploader,
    /// See and end every session.
    Operator,
}

/// Lets everybody in, as the client `local`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAuthorizer;

/// Longest scope in bytes.
pub const SCOPE_LENGTH_BYTES_MAX: usize = 256;

/// Longest name of a client in bytes.
pub const CLIENT_LENGTH_BYTES_MAX: usize = 64;

/// Whether a client can have this name: it stands in keys, in owners and in logs as it is.
pub(crate) fn is_client_name(name: &str) -> bool {
    (1..=CLIENT_LENGTH_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a user can be called so.
pub(crate) fn is_scope(scope: &str) -> bool {
    (1..=SCOPE_LENGTH_BYTES_MAX).contains(&scope.len()) && !scope.chars().any(char::is_control)
}

impl Role {
    /// Its name in files and tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploader => "uploader",
            Self::Operator => "operator",
        }
    }
}

impl Principal {
    /// Everybody, where no credentials are asked for: may see and end every session too.
    pub fn local() -> Self {
        Self {
            client: "local".to_owned(),
            scope: None,
            role: Role::Operator,
            limits: ClientLimits::default(),
            credential: Credential::Open,
            allowance: None,
        }
    }

    /// Whether it may see, end and revoke what this owner of this client has started: its own, for a
    /// client as a whole that of all its scopes, for an operator everything.
    pub fn may_see(&self, owner: &str, client: &str) -> bool {
        match (self.role, &self.scope) {
            (Role::Operator, _) => true,
            (Role::Uploader, None) => self.client == client,
            (Role::Uploader, Some(_)) => self.owner() == owner,
        }
    }

    /// Who owns what it starts: the client, or one scope of it.
    pub fn owner(&self) -> String {
        match &self.scope {
            Some(scope) => format!("{}/{scope}", self.client),
            None => self.client.clone(),
        }
    }
}

#[async_trait]
impl Authorizer for OpenAuthorizer {
    async fn authorize(&self, _bearer: Option<&str>) -> Result<Principal> {
        Ok(Principal::local())
    }

    fn is_open(&self) -> bool {
        true
    }
}
