//! Viewers connected: counted, bounded, and let go together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use upload_protocol::ErrorCode;

use super::{Live, LiveLimits};
use crate::error::{Result, UploadError};

#[derive(Debug, Clone)]
pub(super) struct Connections {
    limits: LiveLimits,
    places: Arc<Semaphore>,
    counts: Arc<Mutex<HashMap<String, u32>>>,
    stop: CancellationToken,
}

/// One viewer's place, kept as long as it lives.
#[derive(Debug)]
pub(crate) struct Connection {
    viewer: String,
    counts: Arc<Mutex<HashMap<String, u32>>>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Live {
    /// A place for one more connection of this viewer.
    ///
    /// # Errors
    /// `too_many_viewers`.
    pub(crate) fn enter(&self, viewer: &str) -> Result<Connection> {
        self.connections.enter(viewer)
    }
}

impl Connections {
    pub(super) fn new(limits: LiveLimits) -> Self {
        Self {
            limits,
            places: Arc::new(Semaphore::new(limits.connections_max as usize)),
            counts: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    fn enter(&self, viewer: &str) -> Result<Connection> {
        let too_many = |max: u32, whose: &str| {
            UploadError::new(
                ErrorCode::TooManyViewers,
                format!("{max} viewers{whose} are connected already, the most there may be"),
            )
        };
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| too_many(self.limits.connections_max, ""))?;
        let mut counts = lock(&self.counts);
        let count = counts.entry(viewer.to_owned()).or_default();
        if *count >= self.limits.connections_per_viewer_max {
            let max = self.limits.connections_per_viewer_max;
            return Err(too_many(max, " with these credentials"));
        }
        *count += 1;
        drop(counts);
        Ok(Connection {
            viewer: viewer.to_owned(),
            counts: self.counts.clone(),
            stop: self.stop.clone(),
            _place: place,
        })
    }

    pub(super) fn close(&self) {
        self.stop.cancel();
    }

    pub(super) async fn closed(&self) {
        // Never closed, so it only fails to be had while somebody has a place.
        let _ = self.places.acquire_many(self.limits.connections_max).await;
    }

    pub(super) fn count(&self) -> usize {
        self.limits.connections_max as usize - self.places.available_permits()
    }
}

impl Connection {
    /// Resolves when the server stops.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.viewer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.viewer);
            }
        }
    }
}

/// A panic of another call has left no count half-changed: the next one goes on.
fn lock(counts: &Mutex<HashMap<String, u32>>) -> MutexGuard<'_, HashMap<String, u32>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
