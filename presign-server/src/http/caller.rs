//! Who calls, by the header `Authorization`.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use upload_protocol::UploadToken;

use super::rate::Budget;
use crate::auth::{Authorizer, Principal};
use crate::error::UploadError;

/// Whose call it is, for the log: told once somebody has found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownClient(Arc<OnceLock<String>>);

impl KnownClient {
    pub(crate) fn tell(&self, client: &str) {
        // Who was found first stays: a call has one caller.
        let _ = self.0.set(client.to_owned());
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The caller whose credentials the [`Authorizer`] has accepted.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Principal);

/// The caller of a call that a session's token opens as well: known only where credentials are sent.
#[derive(Debug)]
pub(crate) struct OptionalCaller(pub(crate) Option<Principal>);

impl<S> FromRequestParts<S> for OptionalCaller
where
    S: Send + Sync,
    Arc<dyn Authorizer>: FromRef<S>,
{
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UploadError> {
        // The token alone is enough, whatever comes beside it.
        let has_token = parts.headers.contains_key(UploadToken::HEADER);
        if has_token || !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(None));
        }
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        Ok(Self(Some(principal)))
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<dyn Authorizer>: FromRef<S>,
{
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, UploadError> {
        let authorizer = Arc::<dyn Authorizer>::from_ref(state);
        let header = parts.headers.get(AUTHORIZATION);
        let bearer = header.and_then(|value| value.to_str().ok()).and_then(bearer);
        let budget = Budget::of(parts);
        let principal = match authorizer.authorize(bearer).await {
            Ok(principal) => principal,
            Err(error) => {
                budget.charge_address(1)?;
                return Err(error);
            }
        };
        if let Some(known) = parts.extensions.get::<KnownClient>() {
            known.tell(&principal.client);
        }
        // Where nobody shows who it is, everybody is the same client.
        if authorizer.is_open() {
            budget.charge_address(1)?;
        } else {
            budget.charge_client(&principal.client)?;
        }
        Ok(Self(principal))
    }
}

/// The credentials of `Bearer …`, <https://www.rfc-editor.org/rfc/rfc6750#section-2.1>.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credentials) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(credentials.trim())
        .filter(|credentials| !credentials.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_credentials_are_read() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "abc", "Bearer", "Bearer ", "Basic abc"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
