//! The monitor's login: an API key once, then a cookie that scripts can't read.
//!
//! The cookie says who logged in and until when, signed. It opens nothing but the monitor's own calls.

use std::time::Duration;

use axum::http::header::{COOKIE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use upload_protocol::ErrorCode;

use super::Live;
use crate::auth::{Authorizer, Credential, Principal, Role};
use crate::error::{Result, UploadError};

/// The cookie's name, and the one over https: browsers take a name with this prefix only if the cookie
/// is `Secure` and of this host alone.
/// <https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-__host-prefix>
const NAMES: [&str; 2] = ["holdfast_monitor", "__Host-holdfast_monitor"];

#[derive(Debug, Serialize, Deserialize)]
struct Login {
    client: String,
    scope: Option<String>,
    operator: bool,
    /// The API key that logged in, where one was asked for.
    #[serde(default)]
    key_id: Option<String>,
    until_ms: i64,
}

impl Live {
    /// What the cookie of this caller holds.
    ///
    /// # Errors
    /// `forbidden` with a grant or a JWT: those are short-lived, and a login would outlive them.
    pub(crate) fn login(&self, principal: &Principal) -> Result<String> {
        let key_id = match &principal.credential {
            Credential::Open => None,
            Credential::ApiKey { key_id, .. } => Some(key_id.clone()),
            Credential::Grant | Credential::Jwt => {
                return Err(UploadError::new(
                    ErrorCode::Forbidden,
                    "a login is by API key: grants and JWTs are for calls of their own",
                ));
            }
        };
        let lifetime = i64::try_from(self.limits().login_lifetime.as_millis()).unwrap_or(i64::MAX);
        Ok(self.logins.sign(&Login {
            key_id,
            client: principal.client.clone(),
            scope: principal.scope.clone(),
            operator: principal.role == Role::Operator,
            until_ms: self.uploads.now_ms().saturating_add(lifetime),
        }))
    }

    /// Who is logged in by a cookie of this request, if anybody: nobody whose key was revoked since.
    pub(crate) fn logged_in(&self, headers: &HeaderMap, authorizer: &dyn Authorizer) -> Option<Principal> {
        let now_ms = self.uploads.now_ms();
        let lines = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let cookies = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('='));
        let login = cookies
            .filter(|(name, _)| NAMES.contains(&name.trim()))
            .find_map(|(_, value)| self.logins.read::<Login>(value.trim()))
            .filter(|login| login.until_ms > now_ms)?;
        let in_force = match &login.key_id {
            Some(key_id) => authorizer.is_in_force(&login.client, key_id),
            None => authorizer.is_open(),
        };
        if !in_force {
            return None;
        }
        Some(Principal {
            client: login.client,
            scope: login.scope,
            role: if login.operator {
                Role::Operator
            } else {
                Role::Uploader
            },
            ..Principal::local()
        })
    }
}

/// The header that sets the cookie.
pub(crate) fn cookie_to_set(headers: &HeaderMap, value: &str, lifetime: Duration) -> Option<HeaderValue> {
    cookie(is_https(headers), value, lifetime.as_secs())
}

/// The headers that take it away.
pub(crate) fn cookie_to_clear() -> impl Iterator<Item = HeaderValue> {
    [false, true].into_iter().filter_map(|https| cookie(https, "", 0))
}

fn cookie(https: bool, value: &str, seconds: u64) -> Option<HeaderValue> {
    let name = NAMES[usize::from(https)];
    let secure = if https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).ok()
}

/// Whether the browser came by https, as its page's origin says, also behind a proxy that ends TLS.
fn is_https(headers: &HeaderMap) -> bool {
    let says = |name, starts: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.starts_with(starts))
    };
    says(ORIGIN.as_str(), "https://") || says("x-forwarded-proto", "https")
}
