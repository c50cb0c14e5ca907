//! The calls of an owner's own credentials: the list of sessions, new tokens, grants.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use upload_protocol::{
    ErrorCode, GrantRequest, GrantResponse, RevokeResponse, SessionId, SessionListResponse, SessionStatus,
};

use crate::auth::GrantMaker;
use crate::error::{Result, UploadError};
use crate::http::caller::Caller;
use crate::http::extract::{Json, Query, SessionCall};
use crate::openapi::{GrantProblems, ListProblems, RevokeProblems};
use crate::uploads::{SessionQuery, Uploads};

/// `?status=&cursor=&limit=`, each of which may be left out or empty.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    #[serde(default)]
    status: String,
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    limit: String,
}

/// Lists the caller's sessions, page by page.
#[utoipa::path(
    get,
    path = "/upload-sessions",
    tag = "owners",
    security((), ("bearer" = [])),
    params(
        ("status" = Option<SessionStatus>, Query, description = "Only those of this status."),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most sessions of a page; 100 where left out."),
    ),
    responses((status = 200, description = "A page, which may be empty while there are more.", body = SessionListResponse), ListProblems),
)]
pub(super) async fn list(
    State(uploads): State<Uploads>,
    Caller(principal): Caller,
    Query(parameters): Query<ListParameters>,
) -> Result<JsonAnswer<SessionListResponse>> {
    let query = parameters.read()?;
    uploads.list(&principal, &query).await.map(JsonAnswer)
}

/// Gives a session another token; the one before is refused from here on.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/revoke",
    tag = "owners",
    security((), ("bearer" = [])),
    params(("id" = SessionId, Path, description = "The session.")),
    responses((status = 200, description = "The new token.", body = RevokeResponse), RevokeProblems),
)]
pub(super) async fn revoke(
    State(uploads): State<Uploads>,
    Caller(principal): Caller,
    call: SessionCall,
) -> Result<JsonAnswer<RevokeResponse>> {
    let found = uploads.authorize_owner(&principal, call.id).await?;
    uploads.revoke(found).await.map(JsonAnswer)
}

/// Gives a credential for one user's browser.
#[utoipa::path(
    post,
    path = "/grants",
    tag = "owners",
    security((), ("bearer" = [])),
    request_body = GrantRequest,
    responses((status = 201, description = "The grant.", body = GrantResponse), GrantProblems),
)]
pub(super) async fn grant(
    State(grants): State<Option<GrantMaker>>,
    Caller(principal): Caller,
    Json(request): Json<GrantRequest>,
) -> Result<(StatusCode, JsonAnswer<GrantResponse>)> {
    let grants = grants.ok_or_else(|| {
        UploadError::new(
            ErrorCode::Forbidden,
            "this server asks for no credentials, so it gives none: start it with --clients-file",
        )
    })?;
    let grant = grants.make(&principal, &request)?;
    Ok((StatusCode::CREATED, JsonAnswer(grant)))
}

impl ListParameters {
    fn read(self) -> Result<SessionQuery> {
        let status = match self.status.as_str() {
            "" => None,
            "open" => Some(SessionStatus::Open),
            "sealed" => Some(SessionStatus::Sealed),
            "completed" => Some(SessionStatus::Completed),
            "aborted" => Some(SessionStatus::Aborted),
            other => {
                let shown: String = other.chars().filter(|char| !char.is_control()).take(80).collect();
                return Err(UploadError::invalid(format!(
                    "status `{shown}` is none of `open`, `sealed`, `completed` and `aborted`"
                )));
            }
        };
        let limit = match self.limit.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                let shown: String = text.chars().filter(|char| !char.is_control()).take(80).collect();
                UploadError::invalid(format!("limit `{shown}` is no number"))
            })?),
        };
        Ok(SessionQuery {
            status,
            cursor: Some(self.cursor).filter(|cursor| !cursor.is_empty()),
            limit,
        })
    }
}
