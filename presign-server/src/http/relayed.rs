//! A part's bytes as a request body: exempt from the limits of other calls, with limits of its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::Method;
use futures::{Stream, StreamExt as _};
use upload_storage::SourceError;

/// Longest relay call: an hour for the part, a minute for everything around it.
pub(crate) const DURATION_MAX: Duration = Duration::from_mins(61);

/// Bytes of a refused part that are read and thrown away. Most clients read no answer before they have
/// sent all: one whose connection is closed meanwhile would not learn why.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long that may take.
const DRAINING_MAX: Duration = Duration::from_secs(10);

/// Whether a request carries a part's bytes.
pub(crate) fn is_relay(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST && path.contains("/upload-sessions/") && path.ends_with("/relay")
}

/// A body that can be read on by whoever answers after its reader has given up.
#[derive(Debug, Clone)]
pub(crate) struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl SharedBody {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body.into_data_stream())))
    }

    /// Reads what is left, within limits.
    pub(crate) async fn drain(mut self) {
        let draining = async {
            let mut read_bytes = 0;
            while let Some(Ok(piece)) = self.next().await {
                read_bytes += piece.len();
                if read_bytes > DRAINED_BYTES_MAX {
                    break;
                }
            }
        };
        // Past it the connection is closed, and the client sees that.
        let _ = tokio::time::timeout(DRAINING_MAX, draining).await;
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = body.poll_next_unpin(context);
        piece.map_err(|_| SourceError {
            message: "the connection was cut".to_owned(),
        })
    }
}
