//! The real binary: killed between calls, stopped gently, started wrongly.
#![allow(unreachable_pub, reason = "the files beside it use some of it")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{TWO_PARTS, content, crc, free_port, logs, split, start_body};
use serde_json::{Value, json};
use upload_protocol::{CompleteResponse, StartResponse};
use uuid::Uuid;

/// A running binary; killed when the test ends.
pub struct Server {
    pub child: Child,
    pub url: String,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        logs::keep(&self.log);
    }
}

pub fn command(data_dir: &Path, store_port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presign-server"));
    command
        .current_dir(data_dir)
        .env_clear()
        .env("RUST_LOG", "info")
        .args(["--listen", "127.0.0.1:0", "--data-dir", "data"])
        .args(["--embedded-s3-listen", &format!("127.0.0.1:{store_port}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub fn start(data_dir: &Path, store_port: u16) -> Server {
    start_with(data_dir, command(data_dir, store_port))
}

/// Starts the command and waits until it listens; its log goes to `log` in the folder.
pub fn start_with(data_dir: &Path, mut command: Command) -> Server {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(data_dir.join("log"))
        .unwrap();
    let mut child = command.stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line.trim().strip_prefix("Holdfast is at ").unwrap_or_else(|| {
        panic!(
            "{line:?}: {}",
            std::fs::read_to_string(data_dir.join("log")).unwrap()
        )
    });
    Server {
        child,
        url: url.to_owned(),
        log: data_dir.join("log"),
    }
}

pub async fn start_call(server: &Server, key: &str, body: &Value) -> StartResponse {
    let response = reqwest::Client::new()
        .post(format!("{}/api/upload-sessions", server.url))
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    response.json().await.unwrap()
}

pub async fn put_all(started: &StartResponse, bytes: &[u8]) {
    for (part, piece) in started.parts.iter().zip(split(bytes, started.part_size_bytes)) {
        let mut request = reqwest::Client::new().put(part.url.expose()).body(piece.to_vec());
        for header in &part.headers {
            request = request.header(&header.name, &header.value);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

pub async fn status(server: &Server, started: &StartResponse) -> Value {
    let response = reqwest::Client::new()
        .get(format!(
            "{}/api/upload-sessions/{}",
            server.url, started.upload_session_id
        ))
        .header("upload-token", started.token.expose())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

pub async fn post(server: &Server, started: &StartResponse, path: &str, body: &Value) -> reqwest::Response {
    reqwest::Client::new()
        .post(format!(
            "{}/api/upload-sessions/{}{path}",
            server.url, started.upload_session_id
        ))
        .header("upload-token", started.token.expose())
        .json(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_between_calls_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (port, bytes) = (free_port(), content(TWO_PARTS));
    let (key, body) = (Uuid::new_v4().to_string(), start_body("a.mov", &bytes));

    let mut server = start(folder.path(), port);
    let first = start_call(&server, &key, &body).await;
    server.child.kill().unwrap();
    drop(server);

    let server = start(folder.path(), port);
    let again = start_call(&server, &key, &body).await;
    assert_eq!(again.upload_session_id, first.upload_session_id);
    assert_eq!(
        (again.token.clone(), again.upload_id.clone()),
        (first.token.clone(), first.upload_id.clone())
    );
    put_all(&first, &bytes).await;
    drop(server);

    let server = start(folder.path(), port);
    let held = status(&server, &first).await;
    assert_eq!(held["parts"].as_array().unwrap().len(), 2);
    let completed = post(&server, &first, "/complete", &json!({})).await;
    let completed: CompleteResponse = completed.json().await.unwrap();
    assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
    drop(server);

    let server = start(folder.path(), port);
    assert_eq!(
        status(&server, &first).await["completed"]["completedAt"],
        completed.completed_at
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn session_sealed_before_a_kill_is_completed_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (port, bytes) = (free_port(), content(TWO_PARTS));
    let server = start(folder.path(), port);
    let started = start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;
    let sealed = post(
        &server,
        &started,
        "/seal",
        &json!({"checksumCrc64nvme": crc(&bytes)}),
    )
    .await;
    assert_eq!(sealed.status(), 200);
    put_all(&started, &bytes).await;
    drop(server);
    let server = start(folder.path(), port);
    for _ in 0..100 {
        if status(&server, &started).await["status"] == "completed" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody completed the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_holds_no_token_signature_or_secret() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(TWO_PARTS);
    let server = start(folder.path(), free_port());
    let started = start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;
    put_all(&started, &bytes).await;
    assert_eq!(
        post(&server, &started, "/complete", &json!({})).await.status(),
        200
    );
    drop(server);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("/complete"), "{log}");
    let secret = |name: &str| std::fs::read_to_string(folder.path().join("data").join(name)).unwrap();
    for hidden in [
        "X-Amz-Signature".to_owned(),
        started.token.expose().to_owned(),
        secret("token-secret"),
        secret("s3-secret-key"),
    ] {
        assert!(!log.contains(&hidden), "{log}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn terminated_server_ends_gently() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path(), free_port());
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    for _ in 0..100 {
        if let Some(status) = server.child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server did not end");
}

/// Runs a binary that should refuse to start; answers what it said.
fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), 0)
        .args(arguments)
        .envs(environment.iter().copied())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // Still running is what the assertion below finds.
    let _ = child.kill();
    let status = child.wait().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(
        !status.success() && status.code().is_some(),
        "{arguments:?} started: {text}"
    );
    text
}

/// Arguments, environment, and what the refusal says.
type Case = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static str,
);

#[test]
fn wrong_settings_are_refused_by_name_with_what_to_do() {
    let cases: [Case; 21] = [
        (
            &["--completion-webhook-url", "https://app.example.com/?key=secret@"],
            &[],
            "setting `completion_webhook_url` is (not shown)",
        ),
        (
            &["--pre-start-hook-url", "http://app.example.com/?key=secret@"],
            &[(
                "HOLDFAST_WEBHOOK_SECRET",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            )],
            "say --insecure-hooks",
        ),
        (
            &["--completion-webhook-url", "https://app.example.com/"],
            &[("HOLDFAST_WEBHOOK_SECRET", "secret@")],
            "setting `HOLDFAST_WEBHOOK_SECRET` is (not shown)",
        ),
        (
            &["--relay-concurrency-max", "10001"],
            &[],
            "setting `relay_concurrency_max` is 10001 (flag --relay-concurrency-max): expected at most 10000",
        ),
        (
            &["--session-store", "redis://:secret@x"],
            &[],
            "replicas that share a Redis must have one secret",
        ),
        (
            &["--session-store", "redis://:secret@x/secret@"],
            &[("HOLDFAST_TOKEN_SECRET", "0123456789abcdef")],
            "it names no Redis: Invalid database number",
        ),
        (
            &["--session-store", "mongodb://:secret@x"],
            &[],
            "begins with `mongodb://` where `redis://` or `rediss://` (TLS) is expected",
        ),
        (
            &["--session-store", "redis://x", "--redis-key-prefix", "{a}"],
            &[("HOLDFAST_TOKEN_SECRET", "0123456789abcdef")],
            "setting `redis_key_prefix` is {a}",
        ),
        (
            &["--session-store", "mongo"],
            &[],
            "expected `sqlite`, `memory` or a URL",
        ),
        (
            &["--embedded-s3-listen", "0.0.0.0:0"],
            &[],
            "loopback addresses only",
        ),
        (&["--part-size-bytes", "5"], &[], "setting `part_size_bytes` is 5"),
        (
            &[],
            &[("PART_SIZE_BYTES", "many")],
            "setting `PART_SIZE_BYTES` is many",
        ),
        (
            &[],
            &[("HOLDFAST_TOKEN_SECRET", "short")],
            "HOLDFAST_TOKEN_SECRET",
        ),
        (
            &["--s3-endpoint", "http://127.0.0.1:1"],
            &[],
            "it needs --s3-bucket",
        ),
        (
            &["--s3-bucket", "b", "--s3-endpoint", "nonsense"],
            &[],
            "`nonsense` is refused",
        ),
        (&["--cors-allowed-origin", "*"], &[], "`*` is no origin"),
        (&["--config", "none.yaml"], &[], "there is no such file"),
        (&["--tls-cert-file", "a.pem"], &[], "it needs --tls-key-file"),
        (&["--tls-key-file", "a.pem"], &[], "it needs --tls-cert-file"),
        (
            &["--tls-cert-file", "a.pem", "--tls-key-file", "b.pem"],
            &[],
            "cannot use the certificate \"a.pem\" with the key \"b.pem\"",
        ),
        (&["--connections-max", "0"], &[], "setting `connections_max` is 0"),
    ];
    for (arguments, environment, expected) in cases {
        let text = refusal(arguments, environment);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains("secret@"), "{text}");
    }
}

#[test]
fn address_in_use_is_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--embedded-s3-listen"] {
        let text = refusal(&[flag, &busy], &[]);
        assert!(
            text.contains(&busy) && text.contains("another process uses it"),
            "{text}"
        );
    }
}

#[test]
fn address_beyond_loopback_is_refused_without_saying_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_presign-server"))
        .current_dir(folder.path())
        .env_clear()
        .args(["--listen", "0.0.0.0:0", "--embedded-s3-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("--insecure-open"), "{text}");
}
