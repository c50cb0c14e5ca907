//! The relay of the real binary, over real connections: bytes, memory, clients that vanish.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::process::{Server, command, post, start_call, start_with};
use crate::support::{ACCESS_KEY, MIB, SECRET_KEY, World, content, crc};
use axum::body::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use upload_protocol::{CompleteResponse, StartResponse};
use upload_storage::ObjectStorage as _;
use uuid::Uuid;

const PART_SIZE_BYTES: usize = 64 * MIB;

/// A server whose store is in another process than it: this one.
fn serve(world: &World, folder: &TempDir) -> Server {
    let mut command = command(folder.path(), 0);
    command
        .args([
            "--s3-bucket",
            "holdfast",
            "--s3-profile",
            "embedded",
            "--s3-region",
            "us-east-1",
        ])
        .args(["--s3-endpoint", &world.storage.public_origin()])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    start_with(folder.path(), command)
}

async fn start(server: &Server, bytes: &Bytes) -> StartResponse {
    let body = json!({
        "fileName": "large.bin", "sizeBytes": bytes.len(), "partSizeBytes": PART_SIZE_BYTES,
        "checksumAlgorithm": "CRC64NVME", "relay": true,
        "parts": [
            {"partNumber": 1, "sizeBytes": PART_SIZE_BYTES, "checksumCrc64nvme": crc(&bytes[..PART_SIZE_BYTES])},
            {"partNumber": 2, "sizeBytes": 3, "checksumCrc64nvme": crc(&bytes[PART_SIZE_BYTES..])},
        ],
    });
    start_call(server, &Uuid::new_v4().to_string(), &body).await
}

/// Sends a part without a copy of it; with its length told or in chunks.
async fn relay(server: &Server, started: &StartResponse, index: usize, piece: Bytes, chunked: bool) -> u16 {
    let url = started.parts[index].relay_url.as_ref().unwrap().expose();
    let pieces: Vec<Result<Bytes, std::io::Error>> = (0..piece.len())
        .step_by(MIB)
        .map(|at| Ok(piece.slice(at..piece.len().min(at + MIB))))
        .collect();
    let mut request = reqwest::Client::new()
        .post(format!("{}{url}", server.url))
        .header("content-type", "text/plain");
    if !chunked {
        request = request.header("content-length", piece.len());
    }
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    request.body(body).send().await.unwrap().status().as_u16()
}

/// Resident memory of a process in KiB: now, and at its highest.
#[cfg(target_os = "linux")]
fn memory_kib(server: &Server) -> (u64, u64) {
    let path = format!("/proc/{}/status", server.child.id());
    let status = std::fs::read_to_string(path).unwrap();
    let read = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (read("VmRSS:"), read("VmHWM:"))
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn eight_large_parts_relayed_at_once_take_bounded_memory_and_arrive_whole() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&world, &folder);
    let bytes = Bytes::from(content(PART_SIZE_BYTES + 3));
    let mut uploads = Vec::new();
    for _ in 0..8 {
        uploads.push(start(&server, &bytes).await);
    }
    let before_kib = memory_kib(&server).0;
    let calls = uploads.iter().enumerate().map(async |(index, started)| {
        let first = relay(
            &server,
            started,
            0,
            bytes.slice(..PART_SIZE_BYTES),
            index % 2 == 0,
        );
        let last = relay(
            &server,
            started,
            1,
            bytes.slice(PART_SIZE_BYTES..),
            index % 2 == 1,
        );
        assert_eq!((first.await, last.await), (200, 200));
    });
    futures::future::join_all(calls).await;
    let grown_kib = memory_kib(&server).1.saturating_sub(before_kib);
    // 8 × 64 MiB have passed.
    assert!(grown_kib < 48 * 1024, "memory grew by {grown_kib} KiB");
    for started in &uploads {
        let completed = post(&server, started, "/complete", &json!({})).await;
        let completed: CompleteResponse = completed.json().await.unwrap();
        assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
    }
    let object = world.download(&uploads[0].key).await;
    let stored = object.body.collect().await.unwrap().into_bytes();
    assert!(stored == bytes, "other bytes came back");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_of_the_relay_hold_no_memory() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&world, &folder);
    let bytes = Bytes::from(content(PART_SIZE_BYTES + 3));
    let mut connections = Vec::new();
    let before_kib = memory_kib(&server).0;
    for _ in 0..16 {
        let started = start(&server, &bytes).await;
        connections.push(half_sent(&server, &started, &bytes[..PART_SIZE_BYTES / 4]));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown_kib = memory_kib(&server).1.saturating_sub(before_kib);
    // 16 × 16 MiB have come, and wait for the rest of their parts.
    assert!(grown_kib < 64 * 1024, "memory grew by {grown_kib} KiB");
}

/// A connection that has sent some of the first part's bytes.
fn half_sent(server: &Server, started: &StartResponse, sent: &[u8]) -> TcpStream {
    let url = started.parts[0].relay_url.as_ref().unwrap().expose();
    let host = server.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).unwrap();
    write!(
        connection,
        "POST {url} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {PART_SIZE_BYTES}\r\n\r\n"
    )
    .unwrap();
    connection.write_all(sent).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn client_gone_half_way_leaves_nothing_wrong_and_its_grant_is_spent() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = serve(&world, &folder);
    let bytes = Bytes::from(content(PART_SIZE_BYTES + 3));
    let started = start(&server, &bytes).await;
    // All but the last byte, and then the line is cut.
    drop(half_sent(&server, &started, &bytes[..PART_SIZE_BYTES - 1]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(relay(&server, &started, 0, bytes.slice(..1), true).await, 403);
    let body = json!({"relay": true, "parts": [
        {"partNumber": 1, "checksumCrc64nvme": crc(&bytes[..PART_SIZE_BYTES])},
        {"partNumber": 2, "checksumCrc64nvme": crc(&bytes[PART_SIZE_BYTES..])},
    ]});
    let held = post(&server, &started, "/complete", &json!({})).await;
    assert_eq!(held.json::<Value>().await.unwrap()["code"], "parts_missing");
    let mut again = started.clone();
    let signed: Value = post(&server, &started, "/parts", &body)
        .await
        .json()
        .await
        .unwrap();
    again.parts = serde_json::from_value(signed["parts"].clone()).unwrap();
    for (index, piece) in [bytes.slice(..PART_SIZE_BYTES), bytes.slice(PART_SIZE_BYTES..)]
        .into_iter()
        .enumerate()
    {
        assert_eq!(relay(&server, &again, index, piece, false).await, 200);
    }
    let completed = post(&server, &started, "/complete", &json!({})).await;
    assert_eq!(completed.status(), 200);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("/relay") && !log.contains("grant="), "{log}");
}
