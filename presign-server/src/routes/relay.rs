//! A part's bytes as the body, on their way to the store.

use axum::Json as JsonAnswer;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use secrecy::SecretString;
use upload_protocol::{ErrorCode, PartNumber, RelayResponse, SessionId};

use crate::error::{Result, UploadError};
use crate::http::rate::Budget;
use crate::http::relayed::SharedBody;
use crate::openapi::RelayProblems;
use crate::uploads::{RelayCall, Uploads};

/// Passes a part's bytes on to the store, for who can't reach it.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/parts/{number}/relay",
    tag = "sessions",
    params(
        ("id" = SessionId, Path, description = "The session."),
        ("number" = PartNumber, Path, description = "The part."),
        ("grant" = String, Query, description = "As it stands in the `relayUrl` of the part: good for one body."),
    ),
    request_body(
        description = "The part's bytes, as many as the grant names.",
        content(("text/plain"), ("application/octet-stream")),
    ),
    responses((status = 200, description = "The store has the part.", body = RelayResponse), RelayProblems),
)]
pub(super) async fn relay(
    State(uploads): State<Uploads>,
    Path((session, part_number)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    budget: Budget,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer<RelayResponse>> {
    let body = SharedBody::new(body);
    let relayed = async {
        // A grant is nobody's name: whoever sends pays.
        budget.charge_address(1)?;
        let call = read_call(&session, &part_number, query.as_deref(), &headers)?;
        uploads.relay(&call, Box::pin(body.clone())).await
    };
    let relayed = relayed.await;
    // Who waits to be told to send need not send to be told no.
    if relayed.is_err() && !headers.contains_key(EXPECT) {
        body.drain().await;
    }
    relayed.map(JsonAnswer)
}

fn read_call(
    session: &str,
    part_number: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<RelayCall> {
    check_content_type(headers)?;
    let session = SessionId::parse(session).ok_or_else(|| {
        UploadError::new(
            ErrorCode::SessionNotFound,
            "there is no such upload session: its id is a UUID",
        )
    })?;
    let number = part_number.parse().ok();
    let part_number = number.and_then(|number| PartNumber::new(number).ok());
    let part_number = part_number
        .ok_or_else(|| UploadError::invalid("the part number in the path is outside 1 to 10000"))?;
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let grant = pairs.into_iter().find(|(name, _)| name == "grant");
    let (_, grant) = grant.ok_or_else(|| {
        UploadError::new(
            ErrorCode::RelayGrantRefused,
            "the grant is missing: POST to the `relayUrl` that was answered for the part",
        )
    })?;
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    Ok(RelayCall {
        session,
        part_number,
        grant: SecretString::from(grant.into_owned()),
        length_bytes: length.and_then(|length| length.parse().ok()),
    })
}

/// What a page may send to another origin unasked, what every HTTP client takes for bytes, or nothing.
fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if ["text/plain", "application/octet-stream"]
        .iter()
        .any(|plain| plain.eq_ignore_ascii_case(essence))
    {
        return Ok(());
    }
    let shown: String = essence.chars().take(80).collect();
    Err(UploadError::invalid(format!(
        "the header `Content-Type` is `{shown}`: send the part as `text/plain` or `application/octet-stream`"
    )))
}
