//! The calls on upload sessions: reading requests, writing answers, nothing else.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use futures::stream::{self, StreamExt as _};
use upload_protocol::limits::{BATCH_LENGTH_MAX, SIGN_BATCH_PARTS_MAX};
use upload_protocol::{
    CompleteBatchItem, CompleteBatchRequest, CompleteBatchResponse, CompleteBatchResult, CompleteRequest,
    CompleteResponse, IdempotencyKey, Problem, ProgressRequest, SealRequest, SealResponse, SessionId,
    SessionResponse, SignPartsRequest, SignPartsResponse, StartBatchItem, StartBatchRequest,
    StartBatchResponse, StartBatchResult, StartRequest, StartResponse, UploadToken,
};

use crate::auth::Principal;
use crate::error::{Result, UploadError};
use crate::http::caller::{Caller, OptionalCaller};
use crate::http::extract::{Idempotent, Json, OptionalJson, SessionCall, read_key};
use crate::http::rate::Budget;
use crate::openapi::{
    AbortProblems, BatchProblems, CompleteBatchProblems, CompleteProblems, ProgressProblems, SealProblems,
    SignProblems, StartProblems, StatusProblems,
};
use crate::store::Versioned;
use crate::uploads::Uploads;

/// Starts or completes of one call that are worked on at once.
const BATCH_AT_ONCE_MAX: usize = 16;

// Every start of the longest batch gets the URL of its first part.
const _: () = assert!(BATCH_LENGTH_MAX <= SIGN_BATCH_PARTS_MAX);

/// Starts an upload session, or answers the one that was started with this key before.
#[utoipa::path(
    post,
    path = "/upload-sessions",
    tag = "sessions",
    params(("Idempotency-Key" = IdempotencyKey, Header, description = "Made once for this upload.")),
    security((), ("bearer" = [])),
    request_body = StartRequest,
    responses((status = 201, description = "The session.", body = StartResponse), StartProblems),
)]
pub(super) async fn start(
    State(uploads): State<Uploads>,
    Caller(principal): Caller,
    Idempotent(key): Idempotent,
    Json(request): Json<StartRequest>,
) -> Result<(StatusCode, JsonAnswer<StartResponse>)> {
    let started = uploads
        .start(&principal, key, &request, SIGN_BATCH_PARTS_MAX)
        .await?;
    Ok((StatusCode::CREATED, JsonAnswer(started)))
}

/// Starts many sessions, each answered by itself.
#[utoipa::path(
    post,
    path = "/upload-sessions/batch",
    tag = "sessions",
    security((), ("bearer" = [])),
    request_body = StartBatchRequest,
    responses((status = 200, description = "One result for each start, in the same order.", body = StartBatchResponse), BatchProblems),
)]
pub(super) async fn start_batch(
    State(uploads): State<Uploads>,
    Caller(principal): Caller,
    budget: Budget,
    Json(request): Json<StartBatchRequest>,
) -> Result<JsonAnswer<StartBatchResponse>> {
    let count = request.starts.len();
    check_count(count, "starts")?;
    budget.charge_more(count - 1)?;
    // A URL is some hundred bytes to 3 KB: those nobody asked for are as many as one start gets.
    let urls_max = SIGN_BATCH_PARTS_MAX / count;
    let results = stream::iter(request.starts)
        .map(|item| start_one(&uploads, &principal, item, urls_max))
        .buffered(BATCH_AT_ONCE_MAX)
        .collect()
        .await;
    Ok(JsonAnswer(StartBatchResponse { results }))
}

async fn start_one(
    uploads: &Uploads,
    principal: &Principal,
    item: StartBatchItem,
    urls_max: usize,
) -> StartBatchResult {
    let started = async {
        let key = read_key(&item.idempotency_key)?;
        uploads.start(principal, key, &item.start, urls_max).await
    };
    match started.await {
        Ok(session) => StartBatchResult::Session(Box::new(session)),
        Err(error) => StartBatchResult::Problem(problem_of_one(uploads, &error)),
    }
}

/// Signs a URL for each part named.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/parts",
    tag = "sessions",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    request_body = SignPartsRequest,
    responses((status = 200, description = "One URL for each part, in the same order.", body = SignPartsResponse), SignProblems),
)]
pub(super) async fn sign_parts(
    State(uploads): State<Uploads>,
    call: SessionCall,
    Json(request): Json<SignPartsRequest>,
) -> Result<JsonAnswer<SignPartsResponse>> {
    let found = authorized(&uploads, &call).await?;
    uploads.sign_parts(found, &request).await.map(JsonAnswer)
}

/// Tells where the session stands and what the store holds.
#[utoipa::path(
    get,
    path = "/upload-sessions/{id}",
    tag = "sessions",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    responses((status = 200, description = "The truth.", body = SessionResponse), StatusProblems),
)]
pub(super) async fn status(
    State(uploads): State<Uploads>,
    OptionalCaller(owner): OptionalCaller,
    call: SessionCall,
) -> Result<JsonAnswer<SessionResponse>> {
    if let Some(owner) = owner {
        let found = uploads.authorize_owner(&owner, call.id).await?;
        return uploads.inspect(found).await.map(JsonAnswer);
    }
    let found = authorized(&uploads, &call).await?;
    uploads.status(found).await.map(JsonAnswer)
}

/// Tells viewers how far the client is; the session itself is not changed.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/progress",
    tag = "live",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    request_body = ProgressRequest,
    responses((status = 204, description = "Viewers are told."), ProgressProblems),
)]
pub(super) async fn progress(
    State(uploads): State<Uploads>,
    call: SessionCall,
    Json(request): Json<ProgressRequest>,
) -> Result<StatusCode> {
    let found = authorized(&uploads, &call).await?;
    uploads.progress(found, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Seals the session: the server completes it by itself once the store holds every part.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/seal",
    tag = "sessions",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    request_body = SealRequest,
    responses((status = 200, description = "`sealed` or `completed`.", body = SealResponse), SealProblems),
)]
pub(super) async fn seal(
    State(uploads): State<Uploads>,
    call: SessionCall,
    Json(request): Json<SealRequest>,
) -> Result<JsonAnswer<SealResponse>> {
    let found = authorized(&uploads, &call).await?;
    uploads.seal(found, &request).await.map(JsonAnswer)
}

/// Completes the session now.
#[utoipa::path(
    post,
    path = "/upload-sessions/{id}/complete",
    tag = "sessions",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    request_body = Option<CompleteRequest>,
    responses((status = 200, description = "What the store says of the object.", body = CompleteResponse), CompleteProblems),
)]
pub(super) async fn complete(
    State(uploads): State<Uploads>,
    call: SessionCall,
    OptionalJson(request): OptionalJson<CompleteRequest>,
) -> Result<JsonAnswer<CompleteResponse>> {
    let found = authorized(&uploads, &call).await?;
    uploads.complete(found, request).await.map(JsonAnswer)
}

/// Completes many sessions, each answered by itself.
#[utoipa::path(
    post,
    path = "/upload-sessions/batch/complete",
    tag = "sessions",
    request_body = CompleteBatchRequest,
    responses((status = 200, description = "One result for each complete, in the same order.", body = CompleteBatchResponse), CompleteBatchProblems),
)]
pub(super) async fn complete_batch(
    State(uploads): State<Uploads>,
    budget: Budget,
    Json(request): Json<CompleteBatchRequest>,
) -> Result<JsonAnswer<CompleteBatchResponse>> {
    check_count(request.completes.len(), "completes")?;
    // The call itself, before anybody is looked up: the sessions pay for theirs.
    budget.charge_address(1)?;
    let results = stream::iter(request.completes)
        .map(|item| complete_one(uploads.clone(), budget.clone(), item))
        .buffered(BATCH_AT_ONCE_MAX)
        .collect()
        .await;
    Ok(JsonAnswer(CompleteBatchResponse { results }))
}

async fn complete_one(uploads: Uploads, budget: Budget, item: CompleteBatchItem) -> CompleteBatchResult {
    let completed = async {
        let found = charged(&uploads, &budget, item.upload_session_id, Some(&item.token)).await?;
        let checksum_crc64nvme = item.checksum_crc64nvme;
        uploads
            .complete(found, CompleteRequest { checksum_crc64nvme })
            .await
    };
    match completed.await {
        Ok(completed) => CompleteBatchResult::Completed(completed),
        Err(error) => CompleteBatchResult::Problem(problem_of_one(&uploads, &error)),
    }
}

/// The problem of one of many. The call as a whole is answered with success, so the log would not show it.
fn problem_of_one(uploads: &Uploads, error: &UploadError) -> Problem {
    let problem = error.to_problem();
    uploads.metrics().failed(problem.code);
    let (status, code, detail) = (problem.status, problem.code.as_str(), &problem.detail);
    if status >= 500 {
        tracing::error!(status, code, detail, "one of many failed");
    } else {
        tracing::info!(status, code, detail, "one of many failed");
    }
    problem
}

/// Aborts the session: nothing of it is left at the store.
#[utoipa::path(
    delete,
    path = "/upload-sessions/{id}",
    tag = "sessions",
    params(("id" = SessionId, Path, description = "The session."), ("Upload-Token" = UploadToken, Header, description = "The session's token.")),
    responses((status = 204, description = "It is aborted."), AbortProblems),
)]
pub(super) async fn abort(
    State(uploads): State<Uploads>,
    OptionalCaller(owner): OptionalCaller,
    call: SessionCall,
) -> Result<StatusCode> {
    let found = match owner {
        Some(owner) => uploads.authorize_owner(&owner, call.id).await?,
        None => authorized(&uploads, &call).await?,
    };
    uploads.abort(found).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The session, once its token was accepted and its budget allows the call.
async fn authorized(uploads: &Uploads, call: &SessionCall) -> Result<Versioned> {
    charged(uploads, &call.budget, call.id, call.token.as_ref()).await
}

/// The same for a session named anywhere: its budget pays, or, where the token is refused, the address.
async fn charged(
    uploads: &Uploads,
    budget: &Budget,
    id: SessionId,
    token: Option<&UploadToken>,
) -> Result<Versioned> {
    match uploads.authorize(id, token.map(UploadToken::expose)).await {
        Ok(found) => {
            budget.charge_session(id)?;
            Ok(found)
        }
        Err(error) => {
            budget.charge_address(1)?;
            Err(error)
        }
    }
}

fn check_count(count: usize, what: &str) -> Result<()> {
    if (1..=BATCH_LENGTH_MAX).contains(&count) {
        return Ok(());
    }
    Err(UploadError::invalid(format!(
        "{count} {what} in one call are outside 1 to {BATCH_LENGTH_MAX}"
    )))
}
