//! Versity S3 Gateway as a process of its own: a real S3 server, none of this project's code in it.
//!
//! `bash scripts/setup.sh --for-tests` installs the program; nothing here does.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use tempfile::TempDir;
use uuid::Uuid;

/// Bucket that a started server has.
pub const BUCKET: &str = "holdfast";

/// The region that it is in.
pub const REGION: &str = "us-east-1";

const ACCESS_KEY: &str = "versitygw-test";

/// How long a server may take until it answers. A machine full of tests is slow.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Pause between two looks at a server that is starting.
const START_POLL: Duration = Duration::from_millis(50);

/// Free ports tried: another process may take one before the server does.
const PORTS_TRIED_MAX: u32 = 5;

/// Most of its log that an error shows.
const LOG_LENGTH_MAX: usize = 2000;

/// A running server with an empty bucket, on a loopback port of its own and over a folder of its own.
/// Killed, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Versitygw {
    process: Process,
    endpoint: String,
    secret_key: String,
    _folder: TempDir,
}

impl Versitygw {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When the program is not installed, says how to get it; when it does not answer, what it wrote.
    pub async fn start() -> io::Result<Self> {
        let program = program()?;
        let folder = tempfile::tempdir()?;
        // Its own for every server: whoever else took the port refuses it.
        let secret_key = Uuid::new_v4().to_string();
        let mut trouble = String::new();
        for _ in 0..PORTS_TRIED_MAX {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            let endpoint = format!("http://{address}");
            let mut process = Process::spawn(&program, folder.path(), &address, &secret_key)?;
            match process.create_bucket(&endpoint, &secret_key).await {
                Ok(()) => {
                    return Ok(Self {
                        process,
                        endpoint,
                        secret_key,
                        _folder: folder,
                    });
                }
                Err(error) => trouble = format!("{error}; its log: {}", log_end(folder.path())),
            }
        }
        Err(io::Error::other(format!(
            "versitygw did not start, tried {PORTS_TRIED_MAX} ports: {trouble}"
        )))
    }

    /// Where it is: `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Access key of its only account, which may do everything.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret of that key.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// The bucket that was made in it.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The region that it is in.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// Id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }
}

/// The process; killed when dropped.
#[derive(Debug)]
struct Process {
    child: Child,
}

impl Process {
    fn spawn(program: &Path, folder: &Path, address: &str, secret_key: &str) -> io::Result<Self> {
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        let log = File::create(folder.join("log"))?;
        let child = Command::new(program)
            .current_dir(folder)
            .env_clear()
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", secret_key)
            .args(["--region", REGION, "--port", address, "--quiet", "posix"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// Makes the bucket, which works once the server answers.
    async fn create_bucket(&mut self, endpoint: &str, secret_key: &str) -> io::Result<()> {
        let client = client(endpoint, secret_key);
        let begun = Instant::now();
        loop {
            let Err(error) = client.create_bucket().bucket(BUCKET).send().await else {
                return Ok(());
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}")));
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(io::Error::other(format!(
                    "no bucket after {} s: {}",
                    START_TIMEOUT.as_secs(),
                    DisplayErrorContext(error)
                )));
            }
            tokio::time::sleep(START_POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(endpoint: &str, secret_key: &str) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY, secret_key, None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// Where `scripts/setup.sh` puts the program.
fn program() -> io::Result<PathBuf> {
    let cache = env::var_os("HOLDFAST_CACHE_DIR").map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache/holdfast")));
    let program = cache.unwrap_or_default().join("bin/versitygw");
    if program.is_file() {
        return Ok(program);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "versitygw, the S3 server of the tests, is not at {}: run `bash scripts/setup.sh --for-tests`",
            program.display()
        ),
    ))
}

fn log_end(folder: &Path) -> String {
    let log = fs::read(folder.join("log")).unwrap_or_default();
    let start = log.len().saturating_sub(LOG_LENGTH_MAX);
    String::from_utf8_lossy(&log[start..]).trim().to_owned()
}
