//! Who may watch, and for how long.

mod connections;
mod login;
mod tickets;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::{Principal, Role};
use crate::events::Audience;
use crate::signed::Signer;
use crate::uploads::Uploads;

pub(crate) use connections::Connection;
pub(crate) use login::{cookie_to_clear, cookie_to_set};

use connections::Connections;

/// What the live view allows.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LiveLimits {
    /// Most viewers connected to this process.
    pub connections_max: u32,
    /// Most of them with the same credentials.
    pub connections_per_viewer_max: u32,
    /// How long a ticket may be used.
    pub ticket_lifetime: Duration,
    /// How long a login is good for.
    pub login_lifetime: Duration,
    /// How often a viewer is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long a viewer may say nothing at all, pongs included.
    pub silence_max: Duration,
    /// How long a viewer may take for what it is sent at once, some 20 KB.
    pub send_timeout: Duration,
    /// How long a connection may last: credentials are looked at when it begins.
    pub connection_age_max: Duration,
}

impl Default for LiveLimits {
    /// 1,000 and 50 viewers; 30 s; 12 h; 20 s; 60 s; 30 s; 12 h.
    fn default() -> Self {
        Self {
            connections_max: 1000,
            connections_per_viewer_max: 50,
            ticket_lifetime: Duration::from_secs(30),
            login_lifetime: Duration::from_hours(12),
            ping_interval: Duration::from_secs(20),
            silence_max: Duration::from_mins(1),
            send_timeout: Duration::from_secs(30),
            connection_age_max: Duration::from_hours(12),
        }
    }
}

/// The live view of one process: logins, tickets and the viewers connected.
#[derive(Debug, Clone)]
pub struct Live {
    pub(crate) uploads: Uploads,
    limits: LiveLimits,
    tickets: Signer,
    logins: Signer,
    connections: Connections,
}

/// Somebody who may watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Viewer {
    /// Whose connections are counted together.
    pub(crate) name: String,
    /// What it may see.
    pub(crate) audience: Audience,
}

impl Live {
    /// The live view of these uploads.
    pub fn new(uploads: &Uploads, limits: LiveLimits) -> Self {
        Self {
            limits,
            tickets: uploads.signer("holdfast/live-ticket/v1"),
            logins: uploads.signer("holdfast/live-login/v1"),
            connections: Connections::new(limits),
            uploads: uploads.clone(),
        }
    }

    /// What it allows.
    pub(crate) fn limits(&self) -> &LiveLimits {
        &self.limits
    }

    /// Says good-bye to all viewers and takes no more.
    pub fn close(&self) {
        self.connections.close();
    }

    /// Waits until the last viewer is gone.
    pub async fn closed(&self) {
        self.connections.closed().await;
    }

    /// Viewers connected now.
    pub fn connections(&self) -> usize {
        self.connections.count()
    }
}

impl Viewer {
    /// What credentials let see: operators everything, clients what is theirs.
    pub(crate) fn of(principal: &Principal) -> Self {
        let audience = match (principal.role, &principal.scope) {
            (Role::Operator, _) => Audience::All,
            (Role::Uploader, None) => Audience::Client(principal.client.clone()),
            (Role::Uploader, Some(_)) => Audience::Owner(principal.owner()),
        };
        Self {
            name: principal.owner(),
            audience,
        }
    }
}
