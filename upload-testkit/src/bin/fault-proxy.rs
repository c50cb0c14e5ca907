//! `fault-proxy`: a bad network in front of a server. See [`upload_testkit::proxy`].

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use upload_testkit::proxy::{Proxy, ProxyOptions};

/// Passes HTTP/1.1 through to a server, as slowly and unreliably as it is told to.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address for clients; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server to pass requests to; repeated, each request goes to the next of them
    #[arg(long, required = true)]
    target: Vec<SocketAddr>,
    /// Address of the control API; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let proxy = Proxy::start(&ProxyOptions {
        listen: arguments.listen,
        targets: arguments.target,
        control: arguments.control,
    })
    .await?;
    let ready = serde_json::json!({
        "listen": proxy.listen_addr().to_string(),
        "control": proxy.control_addr().to_string(),
    });
    let mut stdout = io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    std::future::pending().await
}
