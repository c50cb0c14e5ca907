//! Certificate and key: read at start, and again whenever the files change.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use tokio_util::sync::CancellationToken;

use crate::files::Watched;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where certificate and key are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Certificate or key can't be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the certificate {cert:?} with the key {key:?}: both must be PEM, and the key the certificate's own, without a password"
)]
pub struct TlsError {
    cert: PathBuf,
    key: PathBuf,
    #[source]
    source: io::Error,
}

/// A certificate in use, and the files it came from.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    watched: Watched,
    config: RustlsConfig,
}

impl Certificate {
    pub(super) async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        // Looked at before they are read: what changes in between is read again.
        let watched = Watched::new([files.cert.clone(), files.key.clone()]);
        match RustlsConfig::from_pem_file(&files.cert, &files.key).await {
            Ok(config) => Ok(Self {
                files,
                watched,
                config,
            }),
            Err(source) => Err(TlsError {
                cert: files.cert,
                key: files.key,
                source,
            }),
        }
    }

    /// What new connections are greeted with, now and after each change.
    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Reads the files again when they change. While they don't fit together, as between two writes,
    /// the old certificate stays in use.
    pub(super) async fn follow(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
            .await
            .is_some()
        {
            if !self.watched.changed() {
                continue;
            }
            let read = self
                .config
                .reload_from_pem_file(&self.files.cert, &self.files.key);
            match read.await {
                Ok(()) => tracing::info!(cert = %self.files.cert.display(), "the certificate was read again"),
                Err(error) => {
                    tracing::error!(%error, cert = %self.files.cert.display(), "the changed certificate can't be used: the old one stays");
                }
            }
        }
    }
}
