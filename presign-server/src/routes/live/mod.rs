//! The calls around the live view: login, tickets, and the WebSocket itself.

mod socket;

use axum::Json as JsonAnswer;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;
use upload_protocol::{
    ErrorCode, LoginRequest, LoginResponse, SessionId, TicketRequest, TicketResponse, UploadToken,
};

use super::ApiState;
use crate::auth::Role;
use crate::error::{Result, UploadError};
use crate::events::Audience;
use crate::http::caller::Caller;
use crate::http::extract::{Json, OptionalJson};
use crate::http::monitor::MonitorCaller;
use crate::http::rate::Budget;
use crate::live::{Viewer, cookie_to_clear, cookie_to_set};
use crate::openapi::{LoginProblems, LogoutProblems, TicketProblems, WatchProblems};

use socket::Watching;

/// What stands in the URL of the WebSocket.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Entrance {
    ticket: Option<String>,
    run: Option<String>,
}

/// Logs a monitor in by an API key, with a cookie.
#[utoipa::path(
    post,
    path = "/login",
    tag = "live",
    request_body = LoginRequest,
    responses((status = 200, description = "The cookie comes with this answer.", body = LoginResponse), LoginProblems),
)]
pub(super) async fn login(
    State(state): State<ApiState>,
    headers: HeaderMap,
    budget: Budget,
    Json(request): Json<LoginRequest>,
) -> Result<Response> {
    // Nobody is known yet, and whoever guesses keys is to be slow at it.
    budget.charge_address(1)?;
    let principal = state.authorizer.authorize(Some(&request.key)).await?;
    let lifetime = state.live.limits().login_lifetime;
    let cookie = cookie_to_set(&headers, &state.live.login(&principal)?, lifetime);
    let answer = LoginResponse {
        operator: principal.role == Role::Operator,
        expires_in_seconds: lifetime.as_secs(),
    };
    let cookie = cookie.map(|cookie| AppendHeaders([(SET_COOKIE, cookie)]));
    Ok((cookie, JsonAnswer(answer)).into_response())
}

/// Takes the cookie away.
#[utoipa::path(
    post,
    path = "/logout",
    tag = "live",
    responses((status = 204, description = "The cookie is gone."), LogoutProblems),
)]
pub(super) async fn logout() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for cookie in cookie_to_clear() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Gives a ticket for one WebSocket, since browsers can't send credentials with one.
#[utoipa::path(
    post,
    path = "/tickets",
    tag = "live",
    security((), ("bearer" = [])),
    params(("Upload-Token" = Option<UploadToken>, Header, description = "The token of the session named in the body, in place of credentials.")),
    request_body = Option<TicketRequest>,
    responses((status = 200, description = "The ticket.", body = TicketResponse), TicketProblems),
)]
pub(super) async fn ticket(
    State(state): State<ApiState>,
    headers: HeaderMap,
    budget: Budget,
    caller: Result<MonitorCaller>,
    OptionalJson(request): OptionalJson<TicketRequest>,
) -> Result<JsonAnswer<TicketResponse>> {
    let viewer = match (upload_token(&headers), request.upload_session_id) {
        (Some(token), Some(id)) => {
            budget.charge_address(1)?;
            viewer_of_token(&state, id, token).await?
        }
        (Some(_), None) => {
            return Err(UploadError::invalid(
                "`uploadSessionId` is missing: an `Upload-Token` opens one session, name it",
            ));
        }
        (None, None) => Viewer::of(&caller?.0),
        (None, Some(id)) => one_run_of(&state, Viewer::of(&caller?.0), id).await?,
    };
    Ok(JsonAnswer(state.live.ticket(viewer)))
}

/// A WebSocket of what happens.
///
/// A ticket comes first, then an `Upload-Token` with its run in the URL, then credentials; the cookie of a
/// login opens nothing here.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "live",
    security((), ("bearer" = [])),
    params(
        ("ticket" = Option<String>, Query, description = "A ticket, used once."),
        ("run" = Option<String>, Query, description = "The one session to watch, or `*`."),
        ("Upload-Token" = Option<UploadToken>, Header, description = "The token of the session in `run`."),
    ),
    responses((status = 101, description = "The WebSocket is open."), WatchProblems),
)]
pub(super) async fn watch(
    State(state): State<ApiState>,
    headers: HeaderMap,
    entrance: std::result::Result<Query<Entrance>, QueryRejection>,
    caller: Result<Caller>,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let upgrade =
        upgrade.map_err(|error| UploadError::invalid(format!("no WebSocket was asked for: {error}")))?;
    let Query(entrance) = entrance.map_err(|error| UploadError::invalid(error.to_string()))?;
    let run = entrance
        .run
        .as_deref()
        .filter(|run| *run != "*")
        .map(read_run)
        .transpose()?;
    let live = &state.live;
    let (viewer, ticket) = match (&entrance.ticket, upload_token(&headers), run) {
        (Some(ticket), _, _) => {
            let ticket = live.read_ticket(ticket)?;
            (ticket.viewer.clone(), Some(ticket))
        }
        (None, Some(token), Some(id)) => (viewer_of_token(&state, id, token).await?, None),
        (None, Some(_), None) => {
            return Err(UploadError::invalid(
                "`?run=` is missing: an `Upload-Token` opens one session, name it",
            ));
        }
        (None, None, _) => (Viewer::of(&caller?.0), None),
    };
    let connection = live.enter(&viewer.name)?;
    // Last, so that a ticket is not used up by a call that is refused for something else.
    if let Some(ticket) = &ticket {
        live.use_ticket(ticket).await?;
    }
    let watching = Watching::new(state.live.clone(), connection, viewer.audience, run);
    Ok(socket::accept(upgrade, watching))
}

async fn viewer_of_token(state: &ApiState, id: SessionId, token: &str) -> Result<Viewer> {
    let found = state.uploads.authorize(id, Some(token)).await?;
    Ok(Viewer {
        // One owner's sessions count together: it could start as many as it likes.
        name: format!("owner {}", found.session.owner),
        audience: Audience::Run(found.session.id),
    })
}

/// The viewer, for one of its runs alone.
async fn one_run_of(state: &ApiState, viewer: Viewer, id: SessionId) -> Result<Viewer> {
    let found = state.uploads.sessions().get(id).await?;
    let session = found.map(|found| found.session);
    match session.filter(|session| viewer.audience.may_see(id, &session.owner, &session.client)) {
        Some(_) => Ok(Viewer {
            audience: Audience::Run(id),
            ..viewer
        }),
        None => Err(UploadError::new(
            ErrorCode::SessionNotFound,
            format!("there is no upload session {id} of yours"),
        )),
    }
}

fn upload_token(headers: &HeaderMap) -> Option<&str> {
    // One that isn't ASCII is nobody's, and is refused as such.
    let value = headers.get(UploadToken::HEADER)?;
    Some(value.to_str().unwrap_or_default())
}

fn read_run(text: &str) -> Result<SessionId> {
    SessionId::parse(text).ok_or_else(|| {
        let shown: String = text.chars().filter(|char| !char.is_control()).take(80).collect();
        UploadError::invalid(format!(
            "`run` is `{shown}`: expected an upload session's id, or `*`"
        ))
    })
}
