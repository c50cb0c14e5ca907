//! The HTTP server in front of the operations.

mod answer;
mod cors;
mod drain;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{EmbeddedS3Config, OpenError};
use crate::disk::Layout;
use crate::s3::Api;
use crate::store::Store;

pub(crate) use cors::{EXPOSED_HEADERS, PREFLIGHT_SECONDS};

use cors::Cors;

/// How long requests under way may take to finish at shutdown. Those cut off are as after a kill.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept (out of file descriptors, mostly), so as not to spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// An open store, ready to be served. Clones share it; its folder stays locked until the last is
/// dropped.
#[derive(Debug, Clone)]
pub struct EmbeddedS3 {
    service: Arc<Service>,
}

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener is reachable from other machines; bind 127.0.0.1 or `[::1]` instead.
    #[error("the embedded store listens on loopback addresses only, not on {address}: bind 127.0.0.1")]
    NotLoopback {
        /// Where the listener is bound.
        address: SocketAddr,
    },
    /// The listener could not say where it is bound.
    #[error("cannot read the listener's address")]
    Listener(#[source] io::Error),
}

#[derive(Debug)]
struct Service {
    s3: S3Service,
    cors: Cors,
}

impl EmbeddedS3 {
    /// Opens the folder of `config`: makes what is missing, sweeps what a killed process left
    /// half-written, and reads the manifest of every object.
    ///
    /// # Errors
    /// An empty key, a bucket name S3 would refuse, an origin no header can hold, a folder in use by
    /// another process, or one that cannot be read and written.
    pub async fn open(config: EmbeddedS3Config) -> Result<Self, OpenError> {
        for (name, value) in [
            ("access key", &config.access_key),
            ("secret key", &config.secret_key),
        ] {
            if value.is_empty() {
                return Err(OpenError::EmptyKey { name });
            }
        }
        let cors = Cors::new(&config.allowed_origins)?;
        let layout = Layout::new(&config.data_dir, config.discard.clone());
        let buckets = config.buckets.clone();
        let opening = tokio::task::spawn_blocking(move || Store::open(layout, &buckets));
        let store = opening.await.map_err(|error| OpenError::Io {
            action: "open",
            path: config.data_dir.clone(),
            source: io::Error::other(error),
        })??;
        let api = Api {
            store: Arc::new(store),
            region: config.region,
            allowed_origins: config.allowed_origins,
        };
        let mut builder = S3ServiceBuilder::new(api);
        builder.set_auth(SimpleAuth::from_single(config.access_key, config.secret_key));
        Ok(Self {
            service: Arc::new(Service {
                s3: builder.build(),
                cors,
            }),
        })
    }

    /// Answers requests on `listener` until `shutdown` is ready, then lets those under way finish
    /// for at most 5 seconds.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`] when other machines could reach the listener.
    pub async fn serve<F>(&self, listener: TcpListener, shutdown: F) -> Result<(), ServeError>
    where
        F: Future<Output = ()> + Send,
    {
        let address = listener.local_addr().map_err(ServeError::Listener)?;
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback { address });
        }
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.spawn_connection(stream, &graceful),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
        drop(listener);
        if tokio::time::timeout(SHUTDOWN_WAIT, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests were still under way at shutdown and were cut off");
        }
        Ok(())
    }

    fn spawn_connection(&self, stream: TcpStream, graceful: &GracefulShutdown) {
        // Answers are small and awaited: Nagle's delay would only add to them.
        let _ = stream.set_nodelay(true);
        let service = Arc::clone(&self.service);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request: http::Request<Incoming>| {
                    let service = Arc::clone(&service);
                    async move { answer::answer(&service.s3, &service.cors, request).await }
                }),
            );
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
}
