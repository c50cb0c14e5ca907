//! Many starts or completes in one call, for many small files.

use serde::{Deserialize, Serialize};

use crate::checksum::Crc64Nvme;
use crate::ids::{SessionId, UploadToken};
use crate::wire::{CompleteResponse, Problem, StartRequest, StartResponse};

/// `POST /api/upload-sessions/batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartBatchRequest {
    /// 1 to 100 starts.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub starts: Vec<StartBatchItem>,
}

/// One start, with the key that its own call would carry as a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartBatchItem {
    /// As in the header `Idempotency-Key`.
    pub idempotency_key: String,
    /// The start.
    pub start: StartRequest,
}

/// One result for each start, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartBatchResponse {
    /// One for each start of the request.
    pub results: Vec<StartBatchResult>,
}

/// `{"session": …}` or `{"problem": …}`: one start failing fails no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum StartBatchResult {
    /// What its own call would have answered.
    Session(Box<StartResponse>),
    /// What its own call would have failed with.
    Problem(Problem),
}

/// `POST /api/upload-sessions/batch/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteBatchRequest {
    /// 1 to 100 completes.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 100))]
    pub completes: Vec<CompleteBatchItem>,
}

/// One complete, with the token that its own call would carry as a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteBatchItem {
    /// The session.
    pub upload_session_id: SessionId,
    /// As in the header `Upload-Token`.
    pub token: UploadToken,
    /// As in [`CompleteRequest`](crate::CompleteRequest).
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// One result for each complete, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteBatchResponse {
    /// One for each complete of the request.
    pub results: Vec<CompleteBatchResult>,
}

/// `{"completed": …}` or `{"problem": …}`: one complete failing fails no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum CompleteBatchResult {
    /// What its own call would have answered.
    Completed(CompleteResponse),
    /// What its own call would have failed with.
    Problem(Problem),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code::ErrorCode;

    #[test]
    fn batch_reads_and_writes_the_documented_json() {
        let json = r#"{"starts":[{"idempotencyKey":"k","start":{"fileName":"a","sizeBytes":1,
            "parts":[{"partNumber":1,"sizeBytes":1,"checksumCrc64nvme":"AAAAAAAAAAA="}]}}]}"#;
        let request: StartBatchRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.starts[0].start.size_bytes, 1);
        let result = StartBatchResult::Problem(Problem::new(ErrorCode::InvalidRequest, "no key"));
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(json["problem"]["code"], "invalid_request");
    }
}
