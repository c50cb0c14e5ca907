//! Reads on a body that its request was refused before reading.
//!
//! hyper closes a connection whose request body was left unread, and the reset may overtake the
//! answer: a browser in the middle of a PUT would see a network error where the store said 404.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Read on at most this much, then let the connection close: a part of the default size fits.
const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// A request body that is read to its end even when it is dropped before.
pub(super) struct DrainedBody {
    body: Option<Incoming>,
}

impl DrainedBody {
    /// With `expects_continue` the client waits for the answer before it sends the body; then there
    /// is nothing to drain.
    pub(super) fn new(body: Incoming, expects_continue: bool) -> Result<Self, Incoming> {
        if expects_continue {
            return Err(body);
        }
        Ok(Self { body: Some(body) })
    }
}

impl Body for DrainedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if body.size_hint().lower() > DRAIN_BYTES_MAX {
            return;
        }
        // Dropped outside a runtime only when the process is ending.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(DRAIN_TIME_MAX, async move {
            let mut left_bytes = DRAIN_BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let size_bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left_bytes.checked_sub(size_bytes) {
                    Some(left) => left_bytes = left,
                    None => break,
                }
            }
        }));
    }
}
