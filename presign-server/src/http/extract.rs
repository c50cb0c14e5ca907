//! Reading a request, with our own words for what can't be read.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;
use upload_protocol::{ErrorCode, IdempotencyKey, SessionId, UploadToken};

use super::rate::Budget;
use crate::error::{Result, UploadError};

/// Largest request body in bytes: 1,000 parts to sign are 80 KB.
pub(crate) const BODY_LENGTH_BYTES_MAX: usize = 1024 * 1024;

/// Longest piece of a reader's message that is answered.
const MESSAGE_LENGTH_MAX: usize = 300;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// What stands after the `?`.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The session named in the path and the token in the header, if any.
#[derive(Debug)]
pub(crate) struct SessionCall {
    pub(crate) id: SessionId,
    pub(crate) token: Option<UploadToken>,
    pub(crate) budget: Budget,
}

/// The header `Idempotency-Key`.
#[derive(Debug)]
pub(crate) struct Idempotent(pub(crate) IdempotencyKey);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = UploadError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        check_json(&request)?;
        let body = read_body(request, state).await?;
        read_json(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = UploadError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let json = check_json(&request);
        let body = read_body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        json?;
        read_json(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|query| Self(query.0))
            .map_err(|error| UploadError::invalid(shortened(&format!("query: {}", error.body_text()))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionCall {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let token = header(parts, UploadToken::HEADER)?.map(UploadToken::new);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|error| UploadError::invalid(format!("path: {error}")))?;
        let id = SessionId::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().filter(|char| !char.is_control()).take(80).collect();
            UploadError::new(
                ErrorCode::SessionNotFound,
                format!("there is no upload session `{shown}`: its id is a UUID"),
            )
        })?;
        let budget = Budget::of(parts);
        Ok(Self { id, token, budget })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotent {
    type Rejection = UploadError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let key = header(parts, IdempotencyKey::HEADER)?.ok_or_else(|| {
            UploadError::invalid(
                "the header `Idempotency-Key` is missing: send a UUID made once for this upload",
            )
        })?;
        read_key(&key).map(Self)
    }
}

/// An idempotency key, wherever it stands.
pub(crate) fn read_key(text: &str) -> Result<IdempotencyKey> {
    text.parse()
        .map_err(|error| UploadError::invalid(shortened(&format!("{error}"))))
}

fn header(parts: &Parts, name: &str) -> Result<Option<String>> {
    let Some(value) = parts.headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| {
        UploadError::invalid(format!(
            "the header `{name}` has other characters than printable ASCII"
        ))
    })?;
    Ok(Some(text.to_owned()))
}

fn check_json(request: &Request) -> Result<()> {
    let value = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let shown: String = essence.chars().take(80).collect();
    Err(UploadError::invalid(format!(
        "the header `Content-Type` is `{shown}`: send `application/json`"
    )))
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return UploadError::new(
                    ErrorCode::RequestTooLarge,
                    format!(
                        "the request body is above the {BODY_LENGTH_BYTES_MAX}-byte maximum: split the call"
                    ),
                );
            }
            if is_timeout(&rejection) {
                return UploadError::new(
                    ErrorCode::Timeout,
                    "the request body paused for too long: send it again, in one go",
                );
            }
            UploadError::invalid("the request body ended early")
        })
}

/// Whether a body was given up because nothing of it came.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let words = without_values(&error.to_string());
        UploadError::invalid(shortened(&format!("request body: {words}")))
    })
}

/// What the reader says, without the text it quotes: a secret may stand where it does not belong, and this
/// is answered and logged.
fn without_values(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…{}", &message[..first], &message[last..])
        }
        _ => message.to_owned(),
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control())
        .take(MESSAGE_LENGTH_MAX)
        .collect()
}
