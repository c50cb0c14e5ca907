//! What a caller may start.

use upload_protocol::ErrorCode;

use super::Uploads;
use crate::auth::{Principal, listed};
use crate::error::{Result, UploadError};
use crate::session::Session;
use crate::store::{Claim, Claimed};

impl Uploads {
    /// Counts a start against what its credential allows, where that is limited. A repeated one is known
    /// by its key and costs nothing.
    ///
    /// # Errors
    /// `grant_spent`.
    pub(super) async fn claim_allowance(&self, principal: &Principal, session: &Session) -> Result<()> {
        let Some(allowance) = &principal.allowance else {
            return Ok(());
        };
        let known = self.inner.sessions.find(&session.owner, &session.idempotency_key);
        if known.await?.is_some() {
            // Started before, perhaps with other credentials: it costs nothing now.
            return Ok(());
        }
        let member = format!("{} {}", session.idempotency_key, session.owner);
        let claimed = self.inner.sessions.claim(Claim {
            set: &allowance.name,
            member: &member,
            members_max: allowance.uploads_max,
            ttl: allowance.left,
        });
        match claimed.await? {
            Claimed::New | Claimed::Known => Ok(()),
            Claimed::Full => Err(UploadError::new(
                ErrorCode::GrantSpent,
                format!(
                    "all {} uploads that these credentials allow have been started: ask for new ones",
                    allowance.uploads_max
                ),
            )),
        }
    }
}

/// The smaller of the server's and the caller's own limit.
pub(super) fn check_file_size(principal: &Principal, server_max: u64, size_bytes: u64) -> Result<()> {
    let too_large = |whose: &str, max: u64| {
        Err(UploadError::new(
            ErrorCode::FileTooLarge,
            format!("file is {size_bytes} bytes, above {whose} {max}-byte maximum"),
        ))
    };
    if size_bytes > server_max {
        return too_large("this server's", server_max);
    }
    match principal.limits.file_size_bytes_max {
        Some(max) if size_bytes > max => too_large("these credentials'", max),
        _ => Ok(()),
    }
}

/// What the client says of its file, compared with the list: before a type that a browser would run is
/// made `application/octet-stream`, so that a list with that one lets no page in by another name.
pub(super) fn check_content_type(principal: &Principal, named: &str) -> Result<()> {
    let limits = &principal.limits;
    if limits.takes_content_type(named) {
        return Ok(());
    }
    let shown: String = named.chars().take(80).collect();
    let shown = if shown.trim().is_empty() { "none" } else { &shown };
    Err(UploadError::new(
        ErrorCode::ContentTypeRefused,
        format!(
            "content type `{shown}` is not among those that may be uploaded: {}",
            listed(&limits.content_types)
        ),
    ))
}

pub(super) fn over_limit(principal: &Principal, size_bytes: u64, in_flight_bytes: u64) -> UploadError {
    let max = principal.limits.bytes_in_flight_max.unwrap_or(u64::MAX);
    UploadError::new(
        ErrorCode::QuotaExceeded,
        format!(
            "{size_bytes} bytes beside the {in_flight_bytes} bytes in flight are above the {max}-byte maximum of client `{}`: wait until uploads end",
            principal.client
        ),
    )
}
