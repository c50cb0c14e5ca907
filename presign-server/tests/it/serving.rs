//! The front of the real server: slow, many and encrypted connections, and how they end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser as _;
use presign_server::config::{Args, Config, Environment};
use presign_server::run::Server;
use reqwest::{Certificate, Client, Version};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server in this process, with its sockets.
struct Running {
    address: SocketAddr,
    url: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(arguments: &[&str]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let fixed = [
        "presign-server",
        "--listen=127.0.0.1:0",
        "--embedded-s3-listen=127.0.0.1:0",
        "--session-store=memory",
        "--data-dir",
        data,
    ];
    let arguments = Args::parse_from([&fixed, arguments].concat());
    let config = Config::load(arguments, Environment::default()).unwrap();
    let server = Server::open(config).await.unwrap();
    let (address, url) = (server.address().unwrap(), server.url().unwrap());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    Running {
        address,
        url,
        stop,
        task: tokio::spawn(async move { server.run(stopping).await.unwrap() }),
        _folder: folder,
    }
}

/// Reads until the other side closes; how long that took.
async fn read_to_end(stream: &mut TcpStream) -> (String, Duration) {
    let (mut text, since) = (Vec::new(), Instant::now());
    // A reset is an end too.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text))
        .await
        .expect("the connection was kept");
    (String::from_utf8_lossy(&text).into_owned(), since.elapsed())
}

/// A certificate for 127.0.0.1 and localhost, written as PEM; what a client is to trust.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, Certificate) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    // The key first: a look between the two writes finds a pair that doesn't fit.
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    let trusted = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    (cert, key, trusted)
}

fn client(trusted: Certificate) -> Client {
    Client::builder().tls_certs_only([trusted]).build().unwrap()
}

#[tokio::test]
async fn client_that_trickles_headers_is_cut_off() {
    let server = start(&["--header-timeout-seconds", "1"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let trickling = tokio::spawn(async move {
        while writer.write_all(b"X-A: 1\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let (mut text, since) = (Vec::new(), Instant::now());
    let read = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut text)).await;
    // Closed or reset: either way it is over.
    let _ = read.expect("the connection was kept");
    assert!(since.elapsed() > Duration::from_millis(500));
    assert!(!String::from_utf8_lossy(&text).contains("200 OK"));
    trickling.abort();
}

#[tokio::test]
async fn client_that_says_nothing_is_cut_off() {
    let server = start(&["--header-timeout-seconds", "1"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (text, took) = read_to_end(&mut stream).await;
    assert_eq!(text, "");
    assert!(
        took > Duration::from_millis(500) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[tokio::test]
async fn body_that_pauses_is_answered_as_a_timeout() {
    let server = start(&["--body-timeout-seconds", "1"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/upload-sessions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\
        Idempotency-Key: 0b8f5c1e-6a0e-4d5c-9a3e-2f6c1d7b8a90\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (text, _) = read_to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("paused for too long"), "{text}");
}

#[tokio::test]
async fn headers_above_the_limits_are_refused() {
    let server = start(&[]).await;
    let many = "X-A: 1\r\n".repeat(101);
    let long = format!("X-A: {}\r\n", "x".repeat(70_000));
    for headers in [many, long] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        // It may hang up before all is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let (text, _) = read_to_end(&mut stream).await;
        assert!(!text.contains("200 OK"), "{text}");
    }
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_and_a_freed_place_is_given_again() {
    let server = start(&["--connections-max", "2"]).await;
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        kept.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    // It may be closed already.
    let _ = third.write_all(request).await;
    assert_eq!(read_to_end(&mut third).await.0, "");
    drop(kept.pop());
    for _ in 0..50 {
        let answer = reqwest::get(format!("{}/health", server.url)).await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place was not given again");
}

#[tokio::test]
async fn tls_speaks_both_versions_of_http_and_asks_browsers_to_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, trusted) = certificate(folder.path());
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = start(&["--tls-cert-file", cert, "--tls-key-file", key]).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let url = format!("{}/api/upload-sessions", server.url);
    let two = client(trusted.clone());
    let one = Client::builder()
        .tls_certs_only([trusted])
        .http1_only()
        .build()
        .unwrap();
    for (client, version) in [(two, Version::HTTP_2), (one, Version::HTTP_11)] {
        let answer = client
            .post(&url)
            .header("origin", &server.url)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
}

#[tokio::test]
async fn plain_http_promises_no_tls() {
    let server = start(&[]).await;
    let answer = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert!(!answer.headers().contains_key("strict-transport-security"));
}

#[tokio::test]
async fn renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, old) = certificate(folder.path());
    let paths = (
        cert.to_str().unwrap().to_owned(),
        key.to_str().unwrap().to_owned(),
    );
    let server = start(&["--tls-cert-file", &paths.0, "--tls-key-file", &paths.1]).await;
    let url = format!("{}/health", server.url);
    std::fs::write(&cert, "broken").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(client(old.clone()).get(&url).send().await.unwrap().status(), 200);
    let (_, _, new) = certificate(folder.path());
    for _ in 0..100 {
        // A new client each time: connections that are open keep what they were greeted with.
        if client(new.clone()).get(&url).send().await.is_ok() {
            assert!(client(old).get(&url).send().await.is_err());
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new certificate was not used");
}

#[tokio::test]
async fn call_under_way_when_the_server_is_told_to_stop_is_answered() {
    let server = start(&[]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/upload-sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 32\r\nIdempotency-Key: 0b8f5c1e-6a0e-4d5c-9a3e-2f6c1d7b8a90\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(TcpStream::connect(server.address).await.is_err());
    stream
        .write_all(br#"{"fileName":"a","sizeBytes":100}"#)
        .await
        .unwrap();
    let (text, _) = read_to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 201 "), "{text}");
    for _ in 0..100 {
        if server.task.is_finished() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server did not end");
}
