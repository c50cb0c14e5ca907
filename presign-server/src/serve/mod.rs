//! Connections: how many, how slow, plain or by TLS, and how they end.

mod connections;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use connections::AtMost;
use tls::Certificate;
pub use tls::{TlsError, TlsFiles};

/// How long calls under way may take once the server is told to stop.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Most headers of one request; hyper's own limit, said here.
const HEADER_COUNT_MAX: usize = 100;

/// Most bytes of one request's headers together.
const HEADER_LENGTH_BYTES_MAX: usize = 64 * 1024;

/// Most calls at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 200;

/// A client that was quiet for so long on HTTP/2 is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once, `WebSocket`s included; what comes above is closed unread.
    pub connections_max: usize,
    /// How long the headers of a request may take, from the connection's start or the last answer.
    pub header_timeout: Duration,
}

impl Default for ConnectionLimits {
    /// 10,000 connections, 15 seconds.
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout: Duration::from_secs(15),
        }
    }
}

/// An address that is listened on, and how its connections are to be treated.
#[derive(Debug)]
pub(crate) struct Front {
    listener: TcpListener,
    limits: ConnectionLimits,
    certificate: Option<Certificate>,
}

impl Front {
    /// Takes a listener, and the certificate where there is one.
    ///
    /// # Errors
    /// [`TlsError`] when certificate or key can't be used.
    pub(crate) async fn open(
        listener: TcpListener,
        limits: ConnectionLimits,
        tls: Option<TlsFiles>,
    ) -> Result<Self, TlsError> {
        let certificate = match tls {
            Some(files) => Some(Certificate::load(files).await?),
            None => None,
        };
        Ok(Self {
            listener,
            limits,
            certificate,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Answers until `stop`; then calls under way get 10 seconds and are cut off.
    pub(crate) async fn serve(
        self,
        router: Router,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let handle = Handle::new();
        let draining = tokio::spawn(drain(handle.clone(), stop.clone()));
        let bounded = bounded(Server::from_listener(self.listener), self.limits).handle(handle);
        let accept = AtMost::new(self.limits.connections_max, metrics, NoDelayAcceptor::new());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let served = match self.certificate {
            None => bounded.acceptor(accept).serve(service).await,
            Some(certificate) => {
                let tls = RustlsAcceptor::new(certificate.config())
                    .handshake_timeout(self.limits.header_timeout)
                    .acceptor(accept);
                let renewing = tokio::spawn(certificate.follow(stop));
                let served = bounded.acceptor(tls).serve(service).await;
                renewing.abort();
                served
            }
        };
        if draining.is_finished() {
            // A failure here would be a panic of the task, which has no such place.
            if draining.await.is_ok_and(|since| since.elapsed() >= DRAIN_TIMEOUT) {
                tracing::warn!("calls were still under way and are cut off");
            }
        } else {
            draining.abort();
        }
        served
    }
}

/// Begins the end when told so, and says when that was.
async fn drain(handle: Handle<SocketAddr>, stop: CancellationToken) -> Instant {
    stop.cancelled().await;
    tracing::info!("stopping: calls under way get {} s", DRAIN_TIMEOUT.as_secs());
    handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
    Instant::now()
}

fn bounded(mut server: Server<SocketAddr>, limits: ConnectionLimits) -> Server<SocketAddr> {
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADER_COUNT_MAX)
        .max_buf_size(HEADER_LENGTH_BYTES_MAX);
    builder
        .http2()
        .max_header_list_size(u32::try_from(HEADER_LENGTH_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    server
        .first_request_timeout(limits.header_timeout)
        .accept_error_handler(|peer, error| match peer {
            // Out of file descriptors, mostly: nobody new is let in until that ends.
            None => tracing::warn!(%error, "connections can't be accepted"),
            Some(peer) => tracing::debug!(%peer, %error, "a connection was given up"),
        })
}
