//! The thin binary: reads settings, starts the log, serves until told to stop.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use presign_server::config::{Args, Command, Config, Environment, KeysCommand, LogFormat};
use presign_server::keys;
use presign_server::run::Server;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` says nothing. The AWS SDK's own debug lines can hold credentials,
/// so it stays at warnings.
const LOG_FILTER: &str = "info,aws_config=warn,aws_smithy_runtime=warn,aws_sdk_s3=warn,hyper=warn,s3s=warn";

fn main() -> ExitCode {
    let mut args = Args::read();
    if let Some(Command::Keys(command)) = args.command.take() {
        return match run_keys(args, command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&*error),
        };
    }
    let print_config = args.print_config;
    let config = match Config::load(args, Environment::of_process()) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if print_config {
        return match std::io::stdout().write_all(config.shown().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    start_log(config.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn run_keys(args: Args, command: KeysCommand) -> Result<(), Box<dyn std::error::Error>> {
    let path = Config::clients_file(args)?;
    keys::run(command, path, &mut std::io::stdout(), &mut std::io::stderr())?;
    Ok(())
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let server = Server::open(config).await?;
    let url = server.url()?;
    let mut out = std::io::stdout();
    writeln!(out, "Holdfast is at {url}")?;
    out.flush()?;
    server.run(stop).await?;
    Ok(())
}

/// The first signal stops gently; a second one ends the process at once.
async fn stop_on_signal(stop: CancellationToken) {
    wait_for_signal().await;
    stop.cancel();
    wait_for_signal().await;
    std::process::exit(130);
}

async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be waited for: run until killed.
        std::future::pending::<()>().await;
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Says why with every cause, for a person.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\n  because: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // Nothing is left to tell when even this can't be written.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
