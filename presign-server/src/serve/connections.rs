//! A limit on how many connections there are, upgraded ones included.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum_server::accept::Accept;
use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// The limit is told about in the log no more often than this, in seconds.
const WARN_INTERVAL_SECONDS: u64 = 10;

/// Lets in so many connections at once; closes those above without reading from them.
#[derive(Debug, Clone)]
pub(super) struct AtMost<A> {
    inner: A,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    connections_max: usize,
    since: Instant,
    /// Seconds after `since` from which the log is told again.
    warn_at_seconds: AtomicU64,
    metrics: Metrics,
}

impl<A> AtMost<A> {
    pub(super) fn new(connections_max: usize, metrics: Metrics, inner: A) -> Self {
        // A semaphore counts to half of `usize` or less.
        let connections_max = connections_max.min(Semaphore::MAX_PERMITS);
        let places = Places {
            free: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            since: Instant::now(),
            warn_at_seconds: AtomicU64::new(0),
            metrics,
        };
        Self {
            inner,
            places: Arc::new(places),
        }
    }
}

impl Places {
    fn take(&self) -> io::Result<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            self.metrics.connections_refused().increment(1);
            let now = self.since.elapsed().as_secs();
            let warn_at = self.warn_at_seconds.load(Ordering::Relaxed);
            if now >= warn_at {
                self.warn_at_seconds
                    .store(now + WARN_INTERVAL_SECONDS, Ordering::Relaxed);
                tracing::warn!(
                    "all {} connections are in use and more are closed: raise --connections-max",
                    self.connections_max
                );
            }
            io::Error::new(io::ErrorKind::QuotaExceeded, "all connections are in use")
        })?;
        let gauge = self.metrics.connections();
        gauge.increment(1.0);
        Ok(Place {
            gauge,
            _permit: permit,
        })
    }
}

/// The place of one connection.
struct Place {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

impl<I, S, A> Accept<I, S> for AtMost<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Counted<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let place = self.places.take();
        let accepting = place.map(|place| (place, self.inner.accept(stream, service)));
        Box::pin(async move {
            let (place, accepting) = accepting?;
            let (inner, service) = accepting.await?;
            let counted = Counted { inner, _place: place };
            Ok((counted, service))
        })
    }
}

/// A stream that has its place as long as anybody keeps it: a `WebSocket` outlives its HTTP connection.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    _place: Place,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
