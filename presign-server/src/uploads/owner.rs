//! What the owner's own credentials open, without a session's token: the list, a look, an end, a new
//! token.

use upload_protocol::limits::{SESSION_LIST_LENGTH_DEFAULT, SESSION_LIST_LENGTH_MAX};
use upload_protocol::{
    ErrorCode, ListedSession, RevokeResponse, SessionId, SessionListResponse, SessionStatus,
};
use uuid::Uuid;

use super::Uploads;
use crate::auth::Principal;
use crate::clock::rfc3339;
use crate::error::{Result, UploadError};
use crate::session::{Session, StateKind};
use crate::store::Versioned;

/// Sessions that one call looks through at most. Those of others are passed over, so a page may be
/// empty; its cursor leads on.
const LOOKED_THROUGH_MAX: usize = 2000;

/// Sessions that are read from the store at once.
const READ_LENGTH: usize = 250;

/// Which sessions are listed, from where, and how many.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// Only those of one status.
    pub status: Option<SessionStatus>,
    /// What the page before answered as `nextCursor`.
    pub cursor: Option<String>,
    /// Sessions a page: 1 to 1,000, 100 where left out.
    pub limit: Option<usize>,
}

/// Where a list goes on: states are gone through in their order, in each state sessions by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    state: StateKind,
    after: Option<SessionId>,
}

impl Uploads {
    /// The session, where it is the caller's.
    ///
    /// # Errors
    /// `session_not_found` when there is none, and in the same words when it is somebody else's: that it
    /// exists is no news for others.
    pub async fn authorize_owner(&self, principal: &Principal, id: SessionId) -> Result<Versioned> {
        let found = self.load(id).await?;
        if principal.may_see(&found.session.owner, &found.session.client) {
            return Ok(found);
        }
        Err(UploadError::session_not_found(id))
    }

    /// The sessions that the caller may see, by state and id, some at a time. One that changes its state
    /// between two pages is told at least once.
    ///
    /// # Errors
    /// `invalid_request` naming the value.
    pub async fn list(&self, principal: &Principal, query: &SessionQuery) -> Result<SessionListResponse> {
        let limit = query.limit.unwrap_or(SESSION_LIST_LENGTH_DEFAULT);
        if !(1..=SESSION_LIST_LENGTH_MAX).contains(&limit) {
            return Err(UploadError::invalid(format!(
                "limit {limit} is outside 1 to {SESSION_LIST_LENGTH_MAX}"
            )));
        }
        let states: Vec<StateKind> = StateKind::ALL
            .into_iter()
            .filter(|state| query.status.is_none_or(|status| state.status() == status))
            .collect();
        let mut position = match &query.cursor {
            Some(cursor) => Position::read(cursor, &states)?,
            None => Position::of(states[0]),
        };
        let mut sessions = Vec::new();
        let mut looked = 0;
        // Whether the last session passed is the caller's: only then may the cursor name it.
        let mut own = true;
        while looked < LOOKED_THROUGH_MAX {
            let length = READ_LENGTH.min(LOOKED_THROUGH_MAX - looked);
            let page = self.inner.sessions.list(position.state, position.after, length);
            let page = page.await?;
            let ended = page.len() < length;
            for found in page {
                if sessions.len() == limit {
                    return Ok(page_of(sessions, Some(position.write(own))));
                }
                let session = found.session;
                looked += 1;
                position.after = Some(session.id);
                own = principal.may_see(&session.owner, &session.client);
                if own {
                    sessions.push(listed(&session));
                }
            }
            if ended {
                let mut later = states.iter().skip_while(|state| **state != position.state);
                match later.nth(1) {
                    Some(state) => position = Position::of(*state),
                    None => return Ok(page_of(sessions, None)),
                }
            }
        }
        Ok(page_of(sessions, Some(position.write(own))))
    }

    /// Gives the session a new token; the one before is refused from here on. URLs signed before live
    /// until they expire.
    pub async fn revoke(&self, found: Versioned) -> Result<RevokeResponse> {
        let revoked = self.change(found, |session| {
            let mut session = session.clone();
            session.token_generation = session
                .token_generation
                .checked_add(1)
                .ok_or_else(|| UploadError::new(ErrorCode::Internal, "the token was revoked too often"))?;
            Ok(Some(session))
        });
        let session = revoked.await?.session;
        tracing::info!(session = %session.id, "its token was revoked");
        Ok(RevokeResponse {
            upload_session_id: session.id,
            token: self.inner.tokens.make(session.id, session.token_generation),
        })
    }
}

impl Position {
    fn of(state: StateKind) -> Self {
        Self { state, after: None }
    }

    /// The cursor; `own` where the session it stands at is the caller's.
    fn write(self, own: bool) -> String {
        let after = self
            .after
            .map(|id| if own { id } else { blurred(id) }.to_string());
        format!("{}.{}", self.state.as_str(), after.unwrap_or_default())
    }

    fn read(cursor: &str, states: &[StateKind]) -> Result<Self> {
        let read = || {
            let (state, after) = cursor.split_once('.')?;
            let state = *states.iter().find(|known| known.as_str() == state)?;
            let after = match after {
                "" => None,
                id => Some(SessionId::parse(id)?),
            };
            Some(Self { state, after })
        };
        read().ok_or_else(|| {
            UploadError::invalid(
                "the cursor is none that this list answered: begin without one, and keep `status` the same",
            )
        })
    }
}

fn page_of(sessions: Vec<ListedSession>, next_cursor: Option<String>) -> SessionListResponse {
    SessionListResponse {
        sessions,
        next_cursor,
    }
}

/// A place just before somebody else's session: its second half, which is random, is not for the
/// caller. The next page reads that session once more.
fn blurred(id: SessionId) -> SessionId {
    let high = id.as_uuid().as_u128() >> 64 << 64;
    SessionId::new(Uuid::from_u128(high))
}

fn listed(session: &Session) -> ListedSession {
    ListedSession {
        upload_session_id: session.id,
        status: session.state.status(),
        owner: session.owner.clone(),
        key: session.key.clone(),
        file_name: session.file_name.clone(),
        size_bytes: session.layout.size_bytes(),
        created_at: rfc3339(session.created_at_ms),
        renewed_at: rfc3339(session.renewed_at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_reads_back_where_it_was_and_nothing_else_does() {
        let id = SessionId::new(Uuid::from_u128(7));
        for after in [None, Some(id)] {
            let position = Position {
                state: StateKind::Open,
                after,
            };
            assert_eq!(
                Position::read(&position.write(true), &StateKind::ALL).unwrap(),
                position
            );
        }
        for cursor in ["", ".", "open", "open.x", "ajar.", "Open.", &format!("{id}")] {
            assert!(Position::read(cursor, &StateKind::ALL).is_err(), "{cursor}");
        }
        assert!(Position::read("open.", &[StateKind::Sealed]).is_err());
    }

    #[test]
    fn blurred_id_comes_before_its_own_and_hides_half_of_it() {
        let id = SessionId::new(Uuid::from_u128(u128::MAX - 5));
        let place = blurred(id);
        assert!(place.as_uuid() < id.as_uuid());
        assert_eq!(place.as_uuid().as_u128() << 64, 0);
    }
}
