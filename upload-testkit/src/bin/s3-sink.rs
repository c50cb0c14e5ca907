//! `s3-sink`: an S3 server that checks everything and keeps nothing. See [`upload_testkit::sink`].

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use upload_testkit::sink::{Sink, SinkOptions};

/// Takes uploads of any size, checks them as S3 does, and throws their bytes away.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address for S3; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the control API; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Folder for names, sizes and checksums; made when missing.
    #[arg(long)]
    data_dir: PathBuf,
    /// The bucket to have.
    #[arg(long, default_value = "holdfast")]
    bucket: String,
    /// The one access key.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_ACCESS_KEY", hide_env_values = true)]
    access_key: String,
    /// Its secret.
    #[arg(long, env = "HOLDFAST_EMBEDDED_S3_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let sink = Sink::start(&SinkOptions {
        listen: arguments.listen,
        control: arguments.control,
        data_dir: arguments.data_dir,
        bucket: arguments.bucket,
        access_key: arguments.access_key,
        secret_key: arguments.secret_key,
    })
    .await?;
    let ready = serde_json::json!({
        "listen": sink.listen_addr().to_string(),
        "control": sink.control_addr().to_string(),
    });
    let mut stdout = io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    std::future::pending().await
}
