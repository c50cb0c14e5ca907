//! Liveness and readiness.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Result;
use crate::openapi::{ProbeProblems, ReadyProblems};
use crate::uploads::Uploads;

/// What a probe answers when all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// The process answers. Says nothing about the stores: restarting would not mend those.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    responses((status = 200, description = "It answers.", body = Health), ProbeProblems),
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Both stores answer.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    responses((status = 200, description = "They do.", body = Health), ReadyProblems),
)]
pub(super) async fn ready(State(uploads): State<Uploads>) -> Result<Json<Health>> {
    uploads.sessions().ready().await?;
    uploads.storage().ready().await?;
    Ok(Json(Health { status: "ready" }))
}
