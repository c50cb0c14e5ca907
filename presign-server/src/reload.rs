//! Limits that change while the server runs: read again when the file of settings changes, or on SIGHUP.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Reading};
use crate::http::access::SharedAccess;
use crate::http::rate::RateLimits;
use crate::uploads::Uploads;

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Settings that count at once; all others count from the next start on.
const LIVE: [&str; 5] = [
    "allowed_host",
    "cors_allowed_origin",
    "file_size_bytes_max",
    "rate_limit_burst",
    "rate_limit_per_second",
];

/// What can be changed.
#[derive(Debug)]
pub(crate) struct Reloadable {
    pub(crate) uploads: Uploads,
    pub(crate) access: SharedAccess,
    pub(crate) rate_limits: RateLimits,
    /// Whether the running server lets everybody start uploads: credentials count from the next start on.
    pub(crate) open: bool,
}

/// Follows the settings until `stop`.
pub(crate) async fn follow(
    mut reading: Reading,
    live: Reloadable,
    mut hangups: Hangups,
    stop: CancellationToken,
) {
    let mut watched = reading.watched();
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = hangups.recv() => true,
            () = tokio::time::sleep(LOOK_INTERVAL) => false,
        };
        if !watched.changed() && !asked {
            continue;
        }
        match reading.again() {
            Ok(config) => {
                live.apply(&reading, &config);
                reading = config.reading;
            }
            Err(error) => {
                tracing::error!(%error, "the changed settings can't be used: the old ones stay");
            }
        }
    }
}

impl Reloadable {
    fn apply(&self, old: &Reading, config: &Config) {
        let changed = old.changed(&config.reading);
        let mut access = config.access.clone();
        if self.open {
            // The file may ask for credentials by now; this server does not.
            access.guard_hosts();
        }
        self.access.set(access);
        self.rate_limits.set(config.rate_limit);
        self.uploads
            .set_file_size_bytes_max(config.policy.file_size_bytes_max);
        for name in &changed {
            if LIVE.contains(&name.as_str()) {
                tracing::info!("setting `{name}` was changed and counts from now on");
            } else {
                tracing::warn!("setting `{name}` was changed and counts from the next start on");
            }
        }
        if changed.is_empty() {
            tracing::info!("the settings were read again: none was changed");
        }
    }
}

/// Each SIGHUP, where it asks for the settings to be read again.
pub(crate) type Hangups = mpsc::Receiver<()>;

/// Takes SIGHUP for what it means to a service: read the settings again. Where there is no file, or the
/// server was started in a terminal, it keeps its first meaning, by which the closing of the terminal
/// ends the process.
pub(crate) fn hangups(reading: &Reading) -> Hangups {
    let (sender, receiver) = mpsc::channel(1);
    #[cfg(unix)]
    if reading.has_file() && !std::io::stderr().is_terminal() {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::hangup()) {
            Ok(mut signals) => drop(tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(()).await.is_ok() {}
            })),
            Err(error) => tracing::warn!(%error, "SIGHUP can't be waited for: the file is looked at alone"),
        }
    }
    #[cfg(not(unix))]
    drop(sender);
    receiver
}
