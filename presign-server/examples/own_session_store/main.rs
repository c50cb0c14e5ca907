//! A session store of one's own, and Holdfast mounted in an own axum app with it.
//!
//! `FileStore` keeps everything in one JSON file: enough for a small team, and the shape that a store on any
//! database has, with a transaction in place of the file's lock. `docs/session-stores.md` goes with it.
//!
//! `S3_BUCKET=… S3_ENDPOINT=… TOKEN_SECRET=… cargo run --example own_session_store`, then the uploads are at
//! <http://127.0.0.1:4001/uploads>.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use presign_server::{AccessRules, AppState, Sealer, SealerTiming, TokenMaker, Uploads, router};
use tokio_util::sync::CancellationToken;
use upload_storage::{S3Storage, S3StorageConfig};

mod file_store;

pub use file_store::FileStore;

/// An own app: its own pages, and the uploads below a path of their own. Give `/uploads` to
/// `createUploader({endpoint})`.
pub fn app(uploads: Uploads, listen: SocketAddr) -> Router {
    let state = AppState::new(uploads, AccessRules::of_listener(listen));
    Router::new()
        .route("/", get(async || "an app of one's own"))
        .nest("/uploads", router(state))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bucket = S3StorageConfig::new(std::env::var("S3_BUCKET")?);
    bucket.endpoint = std::env::var("S3_ENDPOINT").ok();
    let storage = Arc::new(S3Storage::connect(bucket).await?);
    let sessions = Arc::new(FileStore("sessions.json".into()));
    let tokens = TokenMaker::new(std::env::var("TOKEN_SECRET")?.as_bytes())?;
    let uploads = Uploads::builder(storage, sessions, tokens).build();

    // Completes what clients have sealed and left.
    let stop = CancellationToken::new();
    let sealer = tokio::spawn(Sealer::new(uploads.clone(), SealerTiming::default()).run(stop.clone()));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:4001").await?;
    let app = app(uploads, listener.local_addr()?);
    let stopping = async {
        // Where no signal can be waited for, it serves until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stopping)
        .await?;
    stop.cancel();
    sealer.await?;
    Ok(())
}
