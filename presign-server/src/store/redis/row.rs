//! A session as it stands in Redis: one JSON text, which scripts and people read as well.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::session::Session;
use crate::store::Versioned;

/// What this build writes. A row of a higher one was written by a newer build: it is neither understood
/// nor touched.
pub(super) const FORMAT: u32 = 1;

/// Why a row can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(
        "the session was written by a newer build (row of format {0}, this build knows {FORMAT}): start that build"
    )]
    Newer(u32),
    #[error("a row can't be read: {0}")]
    Unreadable(serde_json::Error),
}

/// `session.owner`, `session.idempotency_key` and `session.client` are read by the scripts.
#[derive(Serialize)]
struct RowToWrite<'a> {
    format: u32,
    version: u64,
    mark: Uuid,
    state: &'a str,
    in_flight_bytes: u64,
    session: &'a Session,
}

#[derive(Deserialize)]
struct Row {
    version: u64,
    state: String,
    session: Session,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// The row of a session; `mark` is that of the call that writes it.
pub(super) fn write(version: u64, mark: Uuid, session: &Session) -> Result<String, RowError> {
    let row = RowToWrite {
        format: FORMAT,
        version,
        mark,
        state: session.state.kind().as_str(),
        in_flight_bytes: session.in_flight_bytes(),
        session,
    };
    serde_json::to_string(&row).map_err(RowError::Unreadable)
}

/// A row's session, and the state it stands in the index under.
pub(super) fn read(text: &str) -> Result<(String, Versioned), RowError> {
    let head: Head = serde_json::from_str(text).map_err(RowError::Unreadable)?;
    if head.format > FORMAT {
        return Err(RowError::Newer(head.format));
    }
    let row: Row = serde_json::from_str(text).map_err(RowError::Unreadable)?;
    let versioned = Versioned {
        version: row.version,
        session: row.session,
    };
    Ok((row.state, versioned))
}
