//! The public key that receipts are signed with.

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use axum::http::{HeaderName, HeaderValue};
use jsonwebtoken::jwk::JwkSet;

use crate::openapi::PublicProblems;
use crate::uploads::Uploads;

/// The public key that receipts are signed with, as a JSON Web Key Set.
///
/// <https://www.rfc-editor.org/rfc/rfc7517#section-5>. Public for every page, and soon forgotten by
/// caches: a new token secret is a new key.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "operations",
    responses(
        (status = 200, description = "The keys.", body = Object, content_type = "application/json"),
        PublicProblems,
    ),
)]
pub(super) async fn keys(State(uploads): State<Uploads>) -> ([(HeaderName, HeaderValue); 2], Json<JwkSet>) {
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    (headers, Json(uploads.receipt_keys()))
}
