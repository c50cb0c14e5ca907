//! Asking before a start: the pre-start hook allows, refuses, or is not there.

use std::time::Duration;

use upload_protocol::{ErrorCode, HookEvent, StartDecision, UploadStarting};
use uuid::Uuid;

use super::Uploads;
use super::announce::scope_of;
use crate::clock::rfc3339;
use crate::content::check_metadata;
use crate::error::{Result, UploadError};
use crate::hooks::{ANSWER_LENGTH_BYTES_MAX, Hook, Message};
use crate::key::{chosen_key, is_unfit};
use crate::session::Session;

/// How long the hook may take: a person waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest reason that is passed on, in characters.
const REASON_LENGTH_MAX: usize = 200;

impl Uploads {
    /// Asks the pre-start hook, where one is set, about a session that is not kept yet, and puts into it
    /// what the hook chose. A start that was let in before is not asked about again.
    ///
    /// # Errors
    /// `start_refused` when the hook refuses; `hook_unavailable` when it says neither yes nor no: what
    /// nobody has allowed does not start.
    pub(super) async fn ask_to_start(&self, planned: Session) -> Result<Session> {
        let Some(hook) = &self.inner.start_hook else {
            return Ok(planned);
        };
        let sessions = &self.inner.sessions;
        if sessions
            .find(&planned.owner, &planned.idempotency_key)
            .await?
            .is_some()
        {
            return Ok(planned);
        }
        let decision = self.ask(hook, &planned).await?;
        if !decision.allow {
            return Err(refused(decision.reason.as_deref()));
        }
        decided(planned, decision)
            .map_err(|why| unavailable(hook, &format!("its answer can't be used: {why}")))
    }

    async fn ask(&self, hook: &Hook, planned: &Session) -> Result<StartDecision> {
        let now_ms = self.now_ms();
        let event = HookEvent {
            event_type: UploadStarting::TYPE.to_owned(),
            id: format!("starting_{}", Uuid::new_v4().simple()),
            time: rfc3339(now_ms),
            data: UploadStarting {
                client: planned.client.clone(),
                scope: scope_of(planned),
                file_name: planned.file_name.clone(),
                size_bytes: planned.layout.size_bytes(),
                content_type: planned.content_type.clone(),
                metadata: planned.metadata.clone(),
                idempotency_key: planned.idempotency_key.clone(),
            },
        };
        let body = serde_json::to_vec(&event).map_err(|error| unavailable(hook, &error.to_string()))?;
        let message = Message {
            id: &event.id,
            timestamp_seconds: now_ms / 1000,
            body: &body,
        };
        let answer = hook.post(message, ANSWER_TIMEOUT).await;
        let answer = answer.map_err(|error| unavailable(hook, &error.to_string()))?;
        if answer.status.as_u16() != 200 {
            return Err(unavailable(
                hook,
                &format!("it answered {}", answer.status.as_u16()),
            ));
        }
        if !answer.whole {
            let why = format!("its answer is above the {ANSWER_LENGTH_BYTES_MAX}-byte maximum");
            return Err(unavailable(hook, &why));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| unavailable(hook, &format!("its answer can't be read: {error}")))
    }
}

/// The session with what the hook chose in it.
fn decided(mut session: Session, decision: StartDecision) -> std::result::Result<Session, String> {
    if let Some(wished) = &decision.key {
        session.key = chosen_key(&session.key, wished)?;
    }
    session.metadata.extend(decision.metadata);
    check_metadata(&session.metadata)?;
    Ok(session)
}

fn refused(reason: Option<&str>) -> UploadError {
    let reason: String = reason
        .unwrap_or_default()
        .chars()
        .filter(|char| !is_unfit(*char))
        .take(REASON_LENGTH_MAX)
        .collect();
    let reason = match reason.trim() {
        "" => "this upload is not allowed",
        reason => reason,
    };
    UploadError::new(ErrorCode::StartRefused, reason)
}

/// What went wrong is for the log: the client is told no more than that it should come back.
fn unavailable(hook: &Hook, why: &str) -> UploadError {
    tracing::error!(
        hook = hook.origin(),
        why,
        "the pre-start hook gave no decision: nothing starts"
    );
    UploadError::new(
        ErrorCode::HookUnavailable,
        "whether this upload may start could not be decided: try again later",
    )
}
