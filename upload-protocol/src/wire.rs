//! Requests and answers of the server's API, version 1. Changed by adding optional fields only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checksum::Crc64Nvme;
use crate::error_code::ErrorCode;
use crate::ids::{MultipartUploadId, PartNumber, PresignedUrl, SessionId, UploadToken};

/// `POST /api/upload-sessions`, with the header `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartRequest {
    /// The file's name; the server makes the key of it and may shorten or clean it.
    #[cfg_attr(feature = "openapi", schema(max_length = 1024))]
    pub file_name: String,
    /// Exact size in bytes. The object will have this size or none.
    #[cfg_attr(feature = "openapi", schema(maximum = 50_000_000_000_000_u64))]
    pub size_bytes: u64,
    /// MIME type; empty means `application/octet-stream`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 255))]
    pub content_type: String,
    /// Wished part size in bytes; without it the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 5_242_880, maximum = 5_368_709_120_u64))]
    pub part_size_bytes: Option<u64>,
    /// User metadata of the object, at most 2 KB.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Checksum bound into each part's URL; without it none, and the first answer has all URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// Checksum of the whole file, where it is known already: the session starts sealed, as by
    /// [`SealRequest`]. A file of one part is hashed before it is started.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
    /// Parts hashed already: their URLs ride along in the answer. A part whose size isn't the one the
    /// server's layout gives it is passed over without an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 1000))]
    pub parts: Vec<HashedPart>,
    /// Each part answered is to have a [`relay_url`](SignedPart::relay_url) too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relay: bool,
}

/// The answer to a start. The same for every call with the same key but for fresh URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StartResponse {
    /// The session.
    pub upload_session_id: SessionId,
    /// The secret for every later call on it, sent as `Upload-Token`.
    pub token: UploadToken,
    /// The object's key in the bucket.
    pub key: String,
    /// S3's multipart upload id; `null` in mode `single`.
    pub upload_id: Option<MultipartUploadId>,
    /// One PUT or many.
    pub mode: UploadMode,
    /// Size in bytes of every part but the last.
    pub part_size_bytes: u64,
    /// Number of parts.
    pub part_count: u32,
    /// Checksum every part must carry; `null` when the client asked for none.
    pub checksum_algorithm: Option<ChecksumAlgorithm>,
    /// Where the session stands: `sealed` when the request told the whole file's checksum, further
    /// when an earlier call has brought it there.
    #[serde(default)]
    pub status: SessionStatus,
    /// The session is aborted when no call renews it for this many seconds.
    pub lease_seconds: u64,
    /// URLs of the parts named in the request.
    #[serde(default)]
    pub parts: Vec<SignedPart>,
}

/// Checksum algorithms a part URL can bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME over each part, combined over the whole object.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
}

/// How the object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum UploadMode {
    /// The file fits one part: one PUT that refuses to overwrite.
    Single,
    /// An S3 multipart upload.
    Multipart,
}

/// A part and its checksum, asking for a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct HashedPart {
    /// The part.
    pub part_number: PartNumber,
    /// Its size in bytes as the client cut it. Only a start needs it: the server's layout may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Its checksum; required in a session with checksums.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// A URL that takes exactly one part's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedPart {
    /// The part.
    pub part_number: PartNumber,
    /// Where to PUT its bytes.
    pub url: PresignedUrl,
    /// Headers to send, beside `content-length` which an HTTP client sets by itself.
    pub headers: Vec<SignedHeader>,
    /// Seconds from the answer until the URL is refused.
    pub expires_in_seconds: u32,
    /// Where to POST the bytes instead, once, for clients that can't reach the store: path and query,
    /// relative to the server. Only where it was asked for and the server relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_url: Option<PresignedUrl>,
}

/// A header that a signed URL demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedHeader {
    /// Lower-case name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// `POST /api/upload-sessions/{id}/parts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignPartsRequest {
    /// 1 to 1,000 parts.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 1000))]
    pub parts: Vec<HashedPart>,
    /// Each part is to have a [`relay_url`](SignedPart::relay_url) too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relay: bool,
}

/// The URLs that were asked for, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignPartsResponse {
    /// One for each part of the request.
    pub parts: Vec<SignedPart>,
}

/// `POST /api/upload-sessions/{id}/parts/{n}/relay?grant=…`: the part is at the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RelayResponse {
    /// The part.
    pub part_number: PartNumber,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its `ETag`, quotes included, where the store told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// `GET /api/upload-sessions/{id}`: the truth about a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionResponse {
    /// The session.
    pub upload_session_id: SessionId,
    /// Where it stands.
    pub status: SessionStatus,
    /// The object's key.
    pub key: String,
    /// S3's multipart upload id; `null` in mode `single`.
    pub upload_id: Option<MultipartUploadId>,
    /// One PUT or many.
    pub mode: UploadMode,
    /// The declared size in bytes.
    pub size_bytes: u64,
    /// Size in bytes of every part but the last.
    pub part_size_bytes: u64,
    /// Number of parts.
    pub part_count: u32,
    /// What the store holds, by part number, all pages. Empty once completed or aborted.
    pub parts: Vec<StoredPart>,
    /// What complete answered, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<CompleteResponse>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum SessionStatus {
    /// Takes parts.
    #[default]
    Open,
    /// Takes parts; the server completes it by itself once all are there.
    Sealed,
    /// The object is there, its size and checksum confirmed by the store.
    Completed,
    /// Nothing of it is left.
    Aborted,
}

/// A part that the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StoredPart {
    /// The part.
    pub part_number: PartNumber,
    /// Its size in bytes at the store.
    pub size_bytes: u64,
    /// Its checksum at the store, where the store keeps one.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// `POST /api/upload-sessions/{id}/seal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SealRequest {
    /// Checksum of the whole file.
    #[serde(rename = "checksumCrc64nvme")]
    pub checksum_crc64nvme: Crc64Nvme,
}

/// The session is sealed, or further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SealResponse {
    /// `sealed` or `completed`.
    pub status: SessionStatus,
}

/// `POST /api/upload-sessions/{id}/complete`. The body may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteRequest {
    /// Checksum of the whole file, compared with what the server combined itself.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
}

/// The object is there: what the store itself says of it. A repeated call answers the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompleteResponse {
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its checksum, where the session has checksums.
    #[serde(
        default,
        rename = "checksumCrc64nvme",
        skip_serializing_if = "Option::is_none"
    )]
    pub checksum_crc64nvme: Option<Crc64Nvme>,
    /// When the server saw it complete, RFC 3339 in UTC.
    pub completed_at: String,
    /// The same, signed: the claims are those of a [`Receipt`](crate::Receipt). An older server gives
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// An error answer, `application/problem+json`.
/// <https://www.rfc-editor.org/rfc/rfc9457>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:holdfast:error:{code}`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A few words, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What was wrong this time: the value, the limit, what to do.
    pub detail: String,
    /// The code by itself.
    pub code: ErrorCode,
    /// Id of the request, as in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// Its media type.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// A problem of one code with its own detail.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:holdfast:error:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.http_status(),
            detail: detail.into(),
            code,
            request_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_request_reads_the_documented_json() {
        let json = r#"{"fileName":"a.mov","sizeBytes":10,"contentType":"video/quicktime",
            "checksumAlgorithm":"CRC64NVME",
            "parts":[{"partNumber":1,"sizeBytes":10,"checksumCrc64nvme":"AAAAAAAAAAA="}]}"#;
        let request: StartRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.checksum_algorithm, Some(ChecksumAlgorithm::Crc64Nvme));
        assert_eq!(request.parts[0].part_number, PartNumber::FIRST);
        assert_eq!(request.part_size_bytes, None);
    }

    #[test]
    fn part_number_10001_is_refused_when_read() {
        let error = serde_json::from_str::<SignPartsRequest>(r#"{"parts":[{"partNumber":10001}]}"#);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("part number 10001 is outside 1 to 10000")
        );
    }

    #[test]
    fn unknown_fields_of_a_newer_client_are_ignored() {
        assert!(serde_json::from_str::<CompleteRequest>(r#"{"later":true}"#).is_ok());
    }

    #[test]
    fn problem_follows_rfc_9457() {
        let json = serde_json::to_value(Problem::new(ErrorCode::PartsMissing, "part 3")).unwrap();
        assert_eq!(json["type"], "urn:holdfast:error:parts_missing");
        assert_eq!(
            (&json["status"], &json["detail"]),
            (&409.into(), &"part 3".into())
        );
    }
}
