//! Who asks, and what they may.

use std::fmt;

use async_trait::async_trait;

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
}

/// What a caller may beside starting uploads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    Uploader,
    /// See and end every session.
    Operator,
}

/// What a client's uploads may be; `None` leaves it to the server's own policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientLimits {
    /// First part of its keys, below the server's prefix.
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    pub file_size_bytes_max: Option<u64>,
    /// Bytes of all its unfinished uploads together.
    pub bytes_in_flight_max: Option<u64>,
    /// Content types it may store, such as `video/*` or `image/png`; empty allows all.
    pub content_types: Vec<String>,
}

/// Lets everybody in, as the client `local`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAuthorizer;

impl Principal {
    /// Everybody, where no credentials are asked for: may see and end every session too.
    pub fn local() -> Self {
        Self {
            client: "local".to_owned(),
            scope: None,
            role: Role::Operator,
            limits: ClientLimits::default(),
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
