//! The `OpenAPI` document, made of the routes themselves.
//!
//! To add a route to router and document at once: annotate its handler and list it with `routes!`.
//!
//! ```text
//! #[utoipa::path(
//!     post,
//!     path = "/upload-sessions/{id}/revoke", // as it is nested: below `/api` here
//!     tag = "sessions",
//!     params(("id" = SessionId, Path), ("Upload-Token" = UploadToken, Header)),
//!     request_body = RevokeRequest,
//!     responses((status = 200, body = RevokeResponse), SessionProblems),
//! )]
//! pub(super) async fn revoke(…) -> Result<JsonAnswer<RevokeResponse>> { … }
//! ```
//!
//! The summary is the first line of the handler's comment. What can fail stands in a set of
//! [`problems`], named by codes: statuses, bodies and headers follow from them. Bodies are types of
//! `upload-protocol` that derive `ToSchema` behind its feature `openapi`. The rest is done here, for
//! every route: what all answers carry, and the links from a start to the calls on its session.

mod problems;

use std::collections::BTreeMap;

use upload_protocol::{IdempotencyKey, Problem, SessionId, UploadToken};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::link::Link;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Response};
use utoipa::{Modify, OpenApi as _};

pub(crate) use problems::{
    AbortProblems, BatchProblems, CompleteBatchProblems, CompleteProblems, GrantProblems, ListProblems,
    LoginProblems, LogoutProblems, OperatorProblems, ProbeProblems, ProgressProblems, PublicProblems,
    ReadyProblems, RelayProblems, RevokeProblems, SealProblems, SignProblems, StartProblems, StatusProblems,
    TicketProblems, WatchProblems,
};

use crate::http::observe::REQUEST_ID;

/// What doesn't follow from the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Starts upload sessions, signs a URL for each part, and completes what the store holds. \
            The bytes go to the store, never through this server. Every call may be repeated.",
    ),
    tags(
        (name = "sessions", description = "Upload sessions: one attempt to bring one file to the store."),
        (name = "owners", description = "What an owner's credentials open: its sessions, and grants."),
        (name = "live", description = "Watching uploads as they go."),
        (name = "operations", description = "For those who run the server."),
    ),
    components(schemas(Problem, IdempotencyKey, SessionId, UploadToken)),
    modifiers(&Bearer),
)]
struct Skeleton;

/// The credentials of a client.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", bearer);
    }
}

/// The document of all routes.
pub(crate) fn document(routes: OpenApi) -> OpenApi {
    let mut document = Skeleton::openapi();
    document.merge(routes);
    let links = links_of_a_start(&document);
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.delete,
            &mut item.put,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            finish(operation, &links);
        }
    }
    document
}

fn finish(operation: &mut Operation, links: &BTreeMap<String, RefOr<Link>>) {
    let starts = operation.operation_id.as_deref() == Some("start");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        add_request_id(response);
        if starts && status == "201" {
            response.links.extend(links.clone());
        }
    }
}

fn add_request_id(response: &mut Response) {
    let header = text_header("Id of the request, as in the server's log.");
    response.headers.insert(REQUEST_ID.to_string(), header.into());
}

/// A header of text.
fn text_header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

/// Everything that can be called on a session takes its id and its token, which the start answered.
fn links_of_a_start(document: &OpenApi) -> BTreeMap<String, RefOr<Link>> {
    let mut links = BTreeMap::new();
    for item in document.paths.paths.values() {
        for operation in [&item.get, &item.post, &item.delete].into_iter().flatten() {
            let Some(id) = operation
                .operation_id
                .clone()
                .filter(|_| is_on_session(operation))
            else {
                continue;
            };
            let link = Link::builder()
                .operation_id(id.clone())
                .parameter("path.id", "$response.body#/uploadSessionId")
                .parameter("header.Upload-Token", "$response.body#/token")
                .build();
            links.insert(id, link.into());
        }
    }
    links
}

fn is_on_session(operation: &Operation) -> bool {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has = |place: &ParameterIn, name: &str| {
        parameters.iter().any(|parameter| match parameter {
            RefOr::T(one) => one.parameter_in == *place && one.name.eq_ignore_ascii_case(name),
            RefOr::Ref(_) => false,
        })
    };
    has(&ParameterIn::Path, "id") && has(&ParameterIn::Header, UploadToken::HEADER)
}
