//! Grants: short JWTs that a client's backend asks for, each for one user's browser.

use std::fmt;
use std::time::SystemTime;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use upload_protocol::limits::{
    GRANT_LIFETIME_SECONDS_DEFAULT, GRANT_LIFETIME_SECONDS_MAX, GRANT_UPLOADS_MAX,
};
use upload_protocol::{ErrorCode, GrantRequest, GrantResponse, GrantToken};
use uuid::Uuid;

use super::clients::Clients;
use super::jwt::{LEEWAY_SECONDS, allowance_left, refusal};
use super::limits::Narrowing;
use super::{Allowance, Credential, Principal, Role, SCOPE_LENGTH_BYTES_MAX, is_scope};
use crate::clock::{ms_since_epoch, rfc3339};
use crate::error::{Result, UploadError};
use crate::token::TokenMaker;

/// What says in a token's header that it is one of ours. Its key is ours alone, so this only tells
/// which key to check it with. <https://www.rfc-editor.org/rfc/rfc8725#section-3.11>
const TYPE: &str = "holdfast-grant+jwt";

/// What the grants' key is derived for.
const KEY_LABEL: &str = "grant v1";

/// Makes and reads grants.
#[derive(Clone)]
pub struct GrantMaker {
    signing: EncodingKey,
    checking: DecodingKey,
}

/// What a grant says. Everything in it is checked again against the client when it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    jti: Uuid,
    exp: u64,
    sub: String,
    client: String,
    key_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_size_bytes_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    content_types: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uploads_max: Option<u32>,
}

impl GrantMaker {
    /// A maker whose key is derived from the token secret: replicas that agree on that secret read each
    /// other's grants.
    pub fn new(tokens: &TokenMaker) -> Self {
        let key = tokens.derived_key(KEY_LABEL);
        Self {
            signing: EncodingKey::from_secret(&key),
            checking: DecodingKey::from_secret(&key),
        }
    }

    /// Whether a JWT's header says that it is a grant.
    pub(crate) fn is_grant(header: &Header) -> bool {
        header.typ.as_deref() == Some(TYPE)
    }

    /// A grant for one user of the caller's client.
    ///
    /// # Errors
    /// `forbidden` to all but API keys; `invalid_request` naming a value that is outside its limits or
    /// beyond the client's own.
    pub fn make(&self, caller: &Principal, request: &GrantRequest) -> Result<GrantResponse> {
        let Credential::ApiKey {
            key_id,
            expires_at_seconds,
        } = &caller.credential
        else {
            return Err(UploadError::new(
                ErrorCode::Forbidden,
                "grants are given to API keys alone: ask with one of the client's",
            ));
        };
        let seconds = check(caller, request)?;
        let now_seconds = ms_since_epoch(SystemTime::now()) / 1000;
        let now_seconds = u64::try_from(now_seconds).unwrap_or(0);
        // It ends with the key it was asked for with, at the latest.
        let exp = (now_seconds + seconds).min(expires_at_seconds.unwrap_or(u64::MAX));
        let claims = Claims {
            jti: Uuid::new_v4(),
            exp,
            sub: request.scope.clone(),
            client: caller.client.clone(),
            key_id: key_id.clone(),
            key_prefix: request.key_prefix.clone(),
            file_size_bytes_max: request.file_size_bytes_max,
            content_types: request.content_types.clone(),
            uploads_max: request.uploads_max,
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        let grant = encode(&header, &claims, &self.signing).map_err(|error| {
            UploadError::new(ErrorCode::Internal, format!("a grant can't be signed: {error}"))
        })?;
        Ok(GrantResponse {
            grant: GrantToken::new(grant),
            expires_at: rfc3339(i64::try_from(exp.saturating_mul(1000)).unwrap_or(i64::MAX)),
        })
    }

    /// Who shows this grant: a user of its client, as the clients stand now.
    ///
    /// # Errors
    /// `unauthorized` when it is none, has ended, or its client or key is gone.
    pub(crate) fn read(&self, grant: &str, clients: &Clients) -> Result<Principal> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_aud = false;
        let claims = decode::<Claims>(grant, &self.checking, &validation)
            .map_err(|error| refusal("grant", &error))?
            .claims;
        let now = SystemTime::now();
        // The key's client, not the grant's: a key that was given to another client opens nothing.
        let (client, _) = clients
            .key(&claims.key_id)
            .filter(|(client, key)| client.name == claims.client && !key.is_expired(now))
            .ok_or_else(|| {
                UploadError::unauthorized(
                    "the grant is no longer good: the API key it was given to has ended or was revoked",
                )
            })?;
        let narrowing = Narrowing::read(
            claims.key_prefix.as_deref(),
            claims.file_size_bytes_max,
            None,
            &claims.content_types,
        );
        let limits = narrowing
            .ok()
            .and_then(|by| client.limits().narrowed(&client.name, &by))
            .ok_or_else(|| {
                UploadError::unauthorized(
                    "the grant is no longer good: its client may store none of its content types any more",
                )
            })?;
        Ok(Principal {
            client: client.name.clone(),
            scope: Some(claims.sub),
            // An operator's backend gives its users no more than uploads of their own.
            role: Role::Uploader,
            limits,
            credential: Credential::Grant,
            allowance: claims.uploads_max.map(|uploads_max| Allowance {
                name: format!("grant {}", claims.jti),
                uploads_max,
                left: allowance_left(claims.exp, now),
            }),
        })
    }
}

impl fmt::Debug for GrantMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantMaker(…)")
    }
}

/// Checks what is asked for; answers how long it is to live.
fn check(caller: &Principal, request: &GrantRequest) -> Result<u64> {
    if !is_scope(&request.scope) {
        return Err(UploadError::invalid(format!(
            "scope has {} bytes or a control character: expected 1 to {SCOPE_LENGTH_BYTES_MAX} bytes that name the user",
            request.scope.len()
        )));
    }
    let by = Narrowing::read(
        request.key_prefix.as_deref(),
        request.file_size_bytes_max,
        None,
        &request.content_types,
    )
    .map_err(UploadError::invalid)?;
    if let Some(what) = caller.limits.exceeded_by(&by) {
        return Err(UploadError::invalid(format!(
            "{what}: a grant can only allow less than its client, `{}`",
            caller.client
        )));
    }
    if let Some(uploads) = request.uploads_max
        && !(1..=GRANT_UPLOADS_MAX).contains(&uploads)
    {
        return Err(UploadError::invalid(format!(
            "uploadsMax {uploads} is outside 1 to {GRANT_UPLOADS_MAX}"
        )));
    }
    let seconds = request
        .expires_in_seconds
        .unwrap_or(GRANT_LIFETIME_SECONDS_DEFAULT);
    if !(1..=GRANT_LIFETIME_SECONDS_MAX).contains(&seconds) {
        return Err(UploadError::invalid(format!(
            "expiresInSeconds {seconds} is outside 1 to {GRANT_LIFETIME_SECONDS_MAX}"
        )));
    }
    Ok(seconds)
}
