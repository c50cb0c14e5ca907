//! The `OpenAPI` document.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use utoipa::openapi::OpenApi;

use crate::openapi::PublicProblems;

/// The document as it is sent, written once.
#[derive(Debug, Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &OpenApi) -> Self {
        // Only a map with other keys than text could not be written.
        Self(Bytes::from(serde_json::to_vec(document).unwrap_or_default()))
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operations",
    responses(
        (status = 200, description = "The OpenAPI document of this server.", body = Object, content_type = "application/json"),
        PublicProblems,
    ),
)]
pub(super) async fn openapi(State(document): State<Document>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (headers, document.0).into_response()
}
