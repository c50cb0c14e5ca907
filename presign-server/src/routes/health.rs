//! Liveness and readiness.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::error::Result;
use crate::uploads::Uploads;

/// The process answers. Says nothing about the stores: restarting would not mend those.
pub(super) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Both stores answer.
pub(super) async fn ready(State(uploads): State<Uploads>) -> Result<Json<Value>> {
    uploads.sessions().ready().await?;
    uploads.storage().ready().await?;
    Ok(Json(json!({"status": "ready"})))
}
