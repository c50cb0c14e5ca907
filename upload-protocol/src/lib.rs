//! What Holdfast's clients and servers agree on.
//!
//! Wire types, the three ids, error codes, S3's limits, the layout of parts, the CRC64NVME value and
//! the checkpoint format. This crate does no I/O, reads no clock, draws no randomness and computes no
//! checksum of bytes: it holds what both ends must read the same way.

mod batch;
mod checkpoint;
mod checksum;
mod error_code;
mod hooks;
mod identity;
mod ids;
mod layout;
pub mod limits;
mod live;
#[cfg(feature = "openapi")]
mod openapi;
mod receipt;
mod wire;

pub use batch::{
    CompleteBatchItem, CompleteBatchRequest, CompleteBatchResponse, CompleteBatchResult, StartBatchItem,
    StartBatchRequest, StartBatchResponse, StartBatchResult,
};
pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, CheckpointIntent, CheckpointSession, FileInfo};
pub use checksum::{Crc64Nvme, Crc64NvmeCombiner, InvalidCrc64Nvme};
pub use error_code::ErrorCode;
pub use hooks::{HookEvent, StartDecision, UploadCompleted, UploadStarting};
pub use identity::{
    GrantRequest, GrantResponse, GrantToken, ListedSession, RevokeResponse, SessionListResponse,
};
pub use ids::{
    ClientUploadId, IdempotencyKey, InvalidIdempotencyKey, InvalidPartNumber, MultipartUploadId, PartNumber,
    PresignedUrl, SessionId, UploadToken,
};
pub use layout::{ByteRange, LayoutError, PartLayout};
pub use live::{
    AllRuns, DonePayload, ErrorPayload, LiveEvent, LiveMessage, LoginRequest, LoginResponse, PartDonePayload,
    ProgressPart, ProgressRequest, RunSelection, StartPayload, TicketRequest, TicketResponse, ViewerRequest,
};
pub use receipt::Receipt;
pub use wire::{
    ChecksumAlgorithm, CompleteRequest, CompleteResponse, HashedPart, Problem, RelayResponse, SealRequest,
    SealResponse, SessionResponse, SessionStatus, SignPartsRequest, SignPartsResponse, SignedHeader,
    SignedPart, StartRequest, StartResponse, StoredPart, UploadMode,
};
