//! What can fail where, by code.

use std::collections::BTreeMap;

use upload_protocol::{ErrorCode, Problem};
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::problem::retry_after_seconds;
use ErrorCode as Code;

/// Whatever is asked for.
const EVERY: &[Code] = &[Code::Timeout, Code::Internal];

/// Where the host is checked: everywhere but at the probes.
const GUARDED: &[Code] = &[Code::HostRefused];

/// Below `/api`.
const API: &[Code] = &[Code::HostRefused, Code::OriginRefused];

/// Where a body is read.
const BODY: &[Code] = &[Code::InvalidRequest, Code::RequestTooLarge];

/// Where a caller shows who it is.
const CALLER: &[Code] = &[
    Code::Unauthorized,
    Code::Forbidden,
    Code::RateLimited,
    Code::IdentityUnavailable,
];

/// Where a session is named in the path.
const SESSION: &[Code] = &[
    Code::InvalidRequest,
    Code::TokenRefused,
    Code::SessionNotFound,
    Code::SessionBusy,
    Code::RateLimited,
    Code::SessionStoreUnavailable,
];

/// Where the object store is asked.
const STORE: &[Code] = &[Code::StoreUnavailable, Code::StoreRefused];

macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $name:ident: $($codes:expr),+;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses(&[EVERY, $($codes),+].concat())
                }
            }
        )+
    };
}

problems! {
    /// A probe that asks nobody.
    ProbeProblems: &[];
    /// A probe that asks both stores.
    ReadyProblems: STORE, &[Code::SessionStoreUnavailable];
    /// What anybody may see.
    PublicProblems: GUARDED;
    /// What only operators may see.
    OperatorProblems: GUARDED, CALLER;
    /// One start.
    StartProblems: API, BODY, CALLER, STORE, &[
        Code::ChecksumMismatch,
        Code::FileTooLarge,
        Code::IdempotencyConflict,
        Code::QuotaExceeded,
        Code::GrantSpent,
        Code::StartRefused,
        Code::HookUnavailable,
        Code::ContentTypeRefused,
        Code::KeyTaken,
        Code::SessionAborted,
        Code::SessionBusy,
        Code::SessionStoreUnavailable,
    ];
    /// Many starts: each fails by itself, inside the answer.
    BatchProblems: API, BODY, CALLER;
    /// Many completes: each fails by itself, inside the answer.
    CompleteBatchProblems: API, BODY, &[Code::RateLimited];
    /// Signing.
    SignProblems: API, BODY, SESSION, STORE, &[Code::SessionAborted, Code::SessionCompleted];
    /// Relaying a part.
    RelayProblems: API, STORE, &[
        Code::InvalidRequest,
        Code::RelayGrantRefused,
        Code::RelayUnavailable,
        Code::SessionNotFound,
        Code::SessionAborted,
        Code::SessionCompleted,
        Code::SessionStoreUnavailable,
        Code::SizeMismatch,
        Code::ChecksumMismatch,
        Code::KeyTaken,
    ];
    /// Asking where a session stands.
    StatusProblems: API, CALLER, SESSION, STORE, &[Code::KeyTaken];
    /// Sealing.
    SealProblems: API, BODY, SESSION, &[Code::ChecksumMismatch, Code::SessionAborted];
    /// Completing.
    CompleteProblems: API, BODY, SESSION, STORE, &[
        Code::ChecksumMismatch,
        Code::KeyTaken,
        Code::PartsMissing,
        Code::SessionAborted,
        Code::SizeMismatch,
    ];
    /// Aborting.
    AbortProblems: API, CALLER, SESSION, STORE, &[Code::SessionCompleted];
    /// Logging in.
    LoginProblems: API, BODY, CALLER;
    /// Logging out.
    LogoutProblems: API;
    /// Giving a ticket.
    TicketProblems: API, BODY, CALLER, &[
        Code::TokenRefused,
        Code::SessionNotFound,
        Code::SessionStoreUnavailable,
    ];
    /// Connecting a viewer.
    WatchProblems: API, CALLER, &[
        Code::InvalidRequest,
        Code::TicketRefused,
        Code::TokenRefused,
        Code::TooManyViewers,
        Code::SessionNotFound,
        Code::SessionStoreUnavailable,
    ];
    /// Reporting progress.
    ProgressProblems: API, BODY, SESSION;
    /// Listing.
    ListProblems: API, CALLER, &[Code::InvalidRequest, Code::SessionStoreUnavailable];
    /// Giving a session another token.
    RevokeProblems: API, CALLER, SESSION;
    /// Giving a grant.
    GrantProblems: API, BODY, CALLER;
}

/// One response a status, for all codes that have it.
fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let same = by_status.entry(code.http_status()).or_default();
        if !same.contains(code) {
            same.push(*code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(&codes).into()))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let words: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.title()))
        .collect();
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    let mut response = ResponseBuilder::new()
        .description(words.join("; "))
        .content(Problem::CONTENT_TYPE, problem.build())
        .build();
    if codes.iter().any(|code| retry_after_seconds(*code).is_some()) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("Seconds to wait before the call is repeated, at least."))
            .build();
        response.headers.insert("Retry-After".to_owned(), header.into());
    }
    response
}
