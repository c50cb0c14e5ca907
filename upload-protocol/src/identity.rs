//! Requests and answers about who may do what: grants, the list of sessions, revoking a token.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, UploadToken};
use crate::wire::SessionStatus;

/// `POST /api/grants`, by a product's backend with its API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantRequest {
    /// The user the grant is for, by the product's own id: at most 256 bytes, no control characters.
    pub scope: String,
    /// Folder of the user's keys, below the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes_max: Option<u64>,
    /// Content types that may be uploaded, such as `video/*`; empty leaves it to the client's own list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<String>,
    /// How many uploads may be started with it; without it any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_max: Option<u32>,
    /// How long it lives, in seconds; an hour where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct GrantResponse {
    /// What the browser sends as `Authorization: Bearer …`.
    pub grant: GrantToken,
    /// When it ends, RFC 3339 in UTC.
    pub expires_at: String,
}

/// The secret that lets one user start uploads for a while. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantToken(String);

impl GrantToken {
    /// Wraps a grant.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the request header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GrantToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantToken(…)")
    }
}

/// `GET /api/upload-sessions`: some of the sessions that the caller may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionListResponse {
    /// The sessions; may be none while there are more.
    pub sessions: Vec<ListedSession>,
    /// Where the next page begins; `null` when this is the last.
    pub next_cursor: Option<String>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ListedSession {
    /// The session.
    pub upload_session_id: SessionId,
    /// Where it stands, as far as the server knows: the store is not asked.
    pub status: SessionStatus,
    /// Who started it: the client, or `client/scope`.
    pub owner: String,
    /// The object's key.
    pub key: String,
    /// The file's name as the client gave it.
    pub file_name: String,
    /// The declared size in bytes.
    pub size_bytes: u64,
    /// When it was started, RFC 3339 in UTC.
    pub created_at: String,
    /// When its lease was last renewed, RFC 3339 in UTC.
    pub renewed_at: String,
}

/// `POST /api/upload-sessions/{id}/revoke`: the token before is refused from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RevokeResponse {
    /// The session.
    pub upload_session_id: SessionId,
    /// The token that continues it now.
    pub token: UploadToken,
}
