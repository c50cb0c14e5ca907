//! Live progress: what clients report, what viewers are sent, and how a viewer gets in.
//!
//! The messages to viewers keep the names that such pages know: `Type`, `RunID`, `Payload`. A run is an
//! upload session.

use serde::{Deserialize, Serialize};

use crate::ids::{PartNumber, SessionId};

/// `POST /api/upload-sessions/{id}/progress`: 1 to 1,000 entries, parts and errors together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProgressRequest {
    /// Parts that the store has taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ProgressPart>,
    /// What went wrong, for whoever watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorPayload>,
}

/// A part that the store has taken, as its sender saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProgressPart {
    /// The part.
    pub part_number: PartNumber,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its `ETag`, where the client could read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// One message to a viewer: `{"Type": …, "RunID": …, "Payload": …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveMessage {
    /// The session it is about.
    #[serde(rename = "RunID")]
    pub run_id: SessionId,
    /// `Type` and `Payload`.
    #[serde(flatten)]
    pub event: LiveEvent,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Type", content = "Payload", rename_all = "snake_case")]
pub enum LiveEvent {
    /// The session takes parts. Always a run's first message.
    SessionStart(StartPayload),
    /// The store has taken a part. Once a part.
    PartDone(PartDonePayload),
    /// The session has ended. Always a run's last message.
    SessionDone(DonePayload),
    /// Something went wrong; the upload may go on all the same.
    Error(ErrorPayload),
}

/// Payload of `session_start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartPayload {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// S3's multipart upload id, or the session's id where the file goes by a single PUT.
    pub upload_id: String,
    /// Size of the file in bytes.
    pub total: u64,
    /// Size of every part but the last, in MiB: `ceil(total / (partMB * 1024 * 1024))` is the number of
    /// parts, but for an empty file, which has one.
    #[serde(rename = "partMB")]
    pub part_mb: f64,
}

/// Payload of `part_done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartDonePayload {
    /// The part.
    pub part: PartNumber,
    /// Its size in bytes.
    pub size: u64,
    /// Its `ETag` without quotes, empty where nobody has read it: browsers don't see it.
    pub etag: String,
}

/// Payload of `session_done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DonePayload {
    /// Whether the object is there; otherwise the session was aborted.
    pub success: bool,
    /// As in `session_start`.
    pub upload_id: String,
}

/// Payload of `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorPayload {
    /// For a person.
    pub message: String,
    /// The part it is about, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<PartNumber>,
}

/// What a viewer may say on its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ViewerRequest {
    /// Begin to send a run, its history first.
    Subscribe(RunSelection),
    /// Send it no longer.
    Unsubscribe(RunSelection),
}

/// `"*"` or a run's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunSelection {
    /// One run.
    Run(SessionId),
    /// Every run that the viewer may see.
    All(AllRuns),
}

/// `"*"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllRuns {
    /// The only value.
    #[serde(rename = "*")]
    All,
}

/// `POST /api/tickets`. The body may be left out by callers with credentials of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TicketRequest {
    /// The one session to watch; without it all that the caller may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_session_id: Option<SessionId>,
}

/// A ticket, to be used once: `/ws?ticket=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TicketResponse {
    /// The ticket.
    pub ticket: String,
    /// How long it may be used.
    pub expires_in_seconds: u64,
}

/// `POST /api/login`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginRequest {
    /// An API key.
    pub key: String,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginRequest(…)")
    }
}

/// The caller is logged in: the cookie came with this answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginResponse {
    /// Whether it sees every session, or its own only.
    pub operator: bool,
    /// How long the cookie is good for.
    pub expires_in_seconds: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn message_has_the_three_names_of_the_envelope_and_no_other() {
        let message = LiveMessage {
            run_id: SessionId::new(Uuid::nil()),
            event: LiveEvent::PartDone(PartDonePayload {
                part: PartNumber::FIRST,
                size: 5,
                etag: String::new(),
            }),
        };
        let written = serde_json::to_value(&message).unwrap();
        let expected = json!({
            "Type": "part_done",
            "RunID": "00000000-0000-0000-0000-000000000000",
            "Payload": {"part": 1, "size": 5, "etag": ""},
        });
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<LiveMessage>(written).unwrap(), message);
    }

    #[test]
    fn viewer_subscribes_to_everything_or_to_one_run() {
        let read = |text| serde_json::from_str::<ViewerRequest>(text);
        assert_eq!(
            read(r#"{"subscribe": "*"}"#).unwrap(),
            ViewerRequest::Subscribe(RunSelection::All(AllRuns::All))
        );
        assert_eq!(
            read(r#"{"unsubscribe": "00000000-0000-0000-0000-000000000000"}"#).unwrap(),
            ViewerRequest::Unsubscribe(RunSelection::Run(SessionId::new(Uuid::nil())))
        );
        for text in [
            r#"{"subscribe": "all"}"#,
            r#"{"watch": "*"}"#,
            r#"{"subscribe": null}"#,
            "{}",
            "*",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
