//! The embedded store as a process of its own.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// An S3 server over a folder, for one machine: it listens on loopback only.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_LISTEN", default_value = "127.0.0.1:9000")]
    listen: String,
    /// Folder that holds everything; made when missing.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_DATA_DIR", default_value = ".holdfast/s3")]
    data_dir: PathBuf,
    /// Bucket to make when it does not exist; may be given several times.
    #[arg(
        long,
        env = "HOLDFAST_EMBEDDED_S3_BUCKET",
        default_value = "holdfast",
        value_delimiter = ','
    )]
    bucket: Vec<String>,
    /// Region the store says it is in.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_REGION", default_value = "us-east-1")]
    region: String,
    /// Origin whose pages may read answers; may be given several times. Every origin by default.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_ALLOWED_ORIGIN", value_delimiter = ',')]
    allowed_origin: Vec<String>,
    /// Access key id that requests must be signed with.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_ACCESS_KEY", hide_env_values = true)]
    access_key: String,
    /// Its secret; better given by the environment, where other users cannot read it.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env()
        // s3s reports every refused request as an error; those are the client's affair.
        .unwrap_or_else(|_| EnvFilter::new("info,s3s=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            tracing::error!("{text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = EmbeddedS3Config::new(arguments.data_dir, arguments.access_key, arguments.secret_key);
    config.buckets = arguments.bucket;
    config.region = arguments.region;
    config.allowed_origins = arguments.allowed_origin;
    let store = EmbeddedS3::open(config).await?;
    let listener = TcpListener::bind(&arguments.listen).await?;
    // Tests and scripts that asked for port 0 read the address from this line.
    tracing::info!("listening on http://{}", listener.local_addr()?);
    store.serve(listener, stop_signal()).await?;
    Ok(())
}

/// Ready on Ctrl-C, and where there is one on SIGTERM.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
