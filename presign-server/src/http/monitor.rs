//! Who calls on the monitor's behalf: by credentials, or by the cookie of a login.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::request::Parts;
use upload_protocol::ErrorCode;

use super::caller::Caller;
use crate::auth::{Authorizer, Principal};
use crate::error::UploadError;
use crate::live::Live;

/// A caller that may be a page somebody has logged in to. Only for calls that look, never for those that
/// start or change an upload.
#[derive(Debug)]
pub(crate) struct MonitorCaller(pub(crate) Principal);

impl<S> FromRequestParts<S> for MonitorCaller
where
    S: Send + Sync,
    Arc<dyn Authorizer>: FromRef<S>,
    Live: FromRef<S>,
{
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UploadError> {
        if !parts.headers.contains_key(AUTHORIZATION)
            && let Some(principal) =
                Live::from_ref(state).logged_in(&parts.headers, &*Arc::<dyn Authorizer>::from_ref(state))
        {
            check_page(parts)?;
            return Ok(Self(principal));
        }
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        Ok(Self(principal))
    }
}

/// A browser sends a cookie whoever has made it call. Every browser names the page's origin with a call
/// that does something, and that was checked before; what comes without is none.
fn check_page(parts: &Parts) -> Result<(), UploadError> {
    let looks = matches!(parts.method, Method::GET | Method::HEAD);
    if looks || parts.headers.contains_key(ORIGIN) {
        return Ok(());
    }
    Err(UploadError::new(
        ErrorCode::OriginRefused,
        "a call by cookie must name its page's origin in the header `Origin`",
    ))
}
