//! Tickets: a browser can't send credentials with a WebSocket, so it shows one of these, once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use upload_protocol::{ErrorCode, TicketResponse};
use uuid::Uuid;

use super::{Live, Viewer};
use crate::error::{Result, UploadError};
use crate::store::{Claim, Claimed};

/// How long it is remembered that a ticket was used: longer than it lives by any replica's clock.
const USED_TTL: Duration = Duration::from_mins(10);

/// Furthest that replicas' clocks may differ.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    id: Uuid,
    until_ms: i64,
    viewer: Viewer,
}

/// A ticket that is genuine and in time.
#[derive(Debug)]
pub(crate) struct ValidTicket {
    id: Uuid,
    pub(crate) viewer: Viewer,
}

impl Live {
    /// A ticket for this viewer.
    pub(crate) fn ticket(&self, viewer: Viewer) -> TicketResponse {
        let lifetime = self.limits().ticket_lifetime;
        let ticket = self.tickets.sign(&Ticket {
            id: Uuid::new_v4(),
            until_ms: self.uploads.now_ms().saturating_add(ms(lifetime)),
            viewer,
        });
        TicketResponse {
            ticket,
            expires_in_seconds: lifetime.as_secs(),
        }
    }

    /// Whose ticket this is. It is not used by that.
    ///
    /// # Errors
    /// `ticket_refused` when it is forged or expired.
    pub(crate) fn read_ticket(&self, ticket: &str) -> Result<ValidTicket> {
        let Ticket { id, until_ms, viewer } = self
            .tickets
            .read(ticket)
            .ok_or_else(|| refused("the ticket is none of this server's"))?;
        let left_ms = until_ms.saturating_sub(self.uploads.now_ms());
        let left_ms_max = ms(self.limits().ticket_lifetime + CLOCK_DIFFERENCE_MAX);
        if !(0..=left_ms_max).contains(&left_ms) {
            return Err(refused("the ticket has expired: ask for another"));
        }
        Ok(ValidTicket { id, viewer })
    }

    /// Uses a ticket. Of any number of uses, at all replicas, one succeeds.
    ///
    /// # Errors
    /// `ticket_refused` when it was used before.
    pub(crate) async fn use_ticket(&self, ticket: &ValidTicket) -> Result<()> {
        let claim = Claim {
            set: &format!("live-ticket/{}", ticket.id),
            member: "used",
            members_max: 1,
            ttl: USED_TTL,
        };
        match self.uploads.sessions().claim(claim).await? {
            Claimed::New => Ok(()),
            Claimed::Known | Claimed::Full => {
                Err(refused("the ticket was used before: ask for one each time"))
            }
        }
    }
}

fn refused(detail: &str) -> UploadError {
    UploadError::new(ErrorCode::TicketRefused, detail)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
