//! An S3 server that keeps no bytes, for sizes that no disk holds.
//!
//! It is the embedded store over a folder of sparse files: signatures, lengths and checksums are
//! checked as ever, parts are listed and completed, the whole object's checksum is compared; only
//! reading an object back gives zeros.
//!
//! `GET /__stats` at the control address answers with [`SinkStats`].

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use embedded_s3::{Discarded, EmbeddedS3, EmbeddedS3Config};
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::proxy::http::read_head;
use crate::proxy::reply;

/// Where to listen and for whom.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Address for S3; a loopback address, port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the control API; port 0 takes a free one.
    pub control: SocketAddr,
    /// Folder for names, sizes and checksums, and for files as large as the parts but without bytes.
    pub data_dir: PathBuf,
    /// The bucket to have.
    pub bucket: String,
    /// The one access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
}

/// What the sink has taken since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkStats {
    /// Bytes of bodies, those of refused and broken-off requests too.
    pub bytes: u64,
    /// Bodies that were read to their end.
    pub bodies: u64,
}

/// A running sink. It stops when dropped.
#[derive(Debug)]
pub struct Sink {
    listen: SocketAddr,
    control: SocketAddr,
    discarded: Discarded,
    tasks: [JoinHandle<()>; 2],
}

impl Sink {
    /// Listens on both addresses; it serves as soon as this returns.
    ///
    /// # Errors
    /// When an address can't be listened on, or the folder can't be used.
    pub async fn start(options: &SinkOptions) -> io::Result<Self> {
        if !options.listen.ip().is_loopback() {
            return Err(io::Error::other("the sink listens on loopback addresses only"));
        }
        let discarded = Discarded::default();
        let (access_key, secret_key) = (&options.access_key, &options.secret_key);
        let mut config = EmbeddedS3Config::new(&options.data_dir, access_key, secret_key);
        config.buckets = vec![options.bucket.clone()];
        config.discard = Some(discarded.clone());
        let store = EmbeddedS3::open(config).await.map_err(io::Error::other)?;
        let listener = TcpListener::bind(options.listen).await?;
        let control_listener = TcpListener::bind(options.control).await?;
        let (listen, control) = (listener.local_addr()?, control_listener.local_addr()?);
        let serve = tokio::spawn(async move {
            // Refused only when it is reachable from elsewhere, which was asked above.
            let _ = store.serve(listener, std::future::pending()).await;
        });
        let counts = discarded.clone();
        let serve_control = tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = control_listener.accept().await {
                    tokio::spawn(answer(stream, stats_of(&counts)));
                }
            }
        });
        Ok(Self {
            listen,
            control,
            discarded,
            tasks: [serve, serve_control],
        })
    }

    /// Where S3 is.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where the control API is.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// What it has taken so far.
    pub fn stats(&self) -> SinkStats {
        stats_of(&self.discarded)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn stats_of(discarded: &Discarded) -> SinkStats {
    SinkStats {
        bytes: discarded.bytes(),
        bodies: discarded.bodies(),
    }
}

async fn answer(mut stream: TcpStream, stats: SinkStats) {
    let Ok(Some(head)) = read_head(&mut stream, &mut Vec::new()).await else {
        return;
    };
    match (head.start[0].as_str(), head.start[1].as_str()) {
        ("GET", "/__stats") => reply(stream, 200, &json!(stats)).await,
        _ => reply(stream, 404, &json!({ "error": "try GET /__stats" })).await,
    }
}
