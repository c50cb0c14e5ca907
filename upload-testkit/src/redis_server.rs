//! A real Redis of a test's own: Debian's `redis-server`, on its own port and folder.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a start may take, reading its file included.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running `redis-server` that syncs what it answers to disk; killed when dropped.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one with an empty folder.
    ///
    /// # Panics
    /// When there is none to start, saying what to install.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further arguments, as `redis-server` takes them.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            port: free_port(),
            folder: tempfile::tempdir().expect("a folder for Redis"),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        };
        server.restart();
        server
    }

    /// Further arguments of its next start, instead of those before.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Where it is, as `--session-store` takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it as a crash would (SIGKILL): what it has not written is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port with what its folder holds, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.spawn();
        let started = Instant::now();
        while !self.answers() {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok())
                .flatten()
            {
                panic!("redis-server ended with {status}: {}", self.log());
            }
            assert!(
                started.elapsed() < START_TIMEOUT,
                "redis-server does not answer after {} s: {}",
                START_TIMEOUT.as_secs(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again and does not wait.
    ///
    /// # Panics
    /// When there is none to start.
    pub fn spawn(&mut self) {
        self.kill();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log for Redis");
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(&self.arguments)
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server can't be started ({error}): install it by `bash scripts/setup.sh --for-tests`")
            });
        self.child = Some(child);
    }

    /// Stops it in the middle of whatever it does: it takes connections and answers nothing.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Goes on after [`freeze`](Self::freeze).
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// What it answers to a command without quotes and spaces in its words: a number, a line or a text.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection to Redis");
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .expect("a question");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        // `QUIT` is answered last; a text comes after its length.
        let answer = answer.strip_suffix("+OK\r\n").unwrap_or(&answer);
        let text = match answer.split_once("\r\n") {
            Some((length, text)) if length.starts_with('$') => text,
            _ => answer.trim_start_matches([':', '+']),
        };
        text.trim_end().to_owned()
    }

    fn signal(&self, signal: &str) {
        let id = self
            .child
            .as_ref()
            .expect("a running redis-server")
            .id()
            .to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill");
        assert!(status.success(), "kill {signal} {id}: {status}");
    }

    /// Whether it answers at all; that a password is wanted is an answer too.
    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"+PONG\r\n" || &answer == b"-NOAUTH")
        };
        ask().unwrap_or(false)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago: Redis must come back at the same one.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
