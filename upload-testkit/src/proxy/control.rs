//! The control API.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::config::ConfigPatch;
use super::http::read_head;

/// Longest body in bytes that is read.
const BODY_LENGTH_BYTES_MAX: u64 = 1024 * 1024;

/// Answers one request and closes.
pub(super) async fn connection(shared: &Shared, mut stream: TcpStream) {
    let mut body = Vec::new();
    let Ok(Some(head)) = read_head(&mut stream, &mut body).await else {
        return;
    };
    let length = head.content_length().unwrap_or(0);
    let (status, answer) = if length > BODY_LENGTH_BYTES_MAX {
        (413, problem("the body is longer than 1048576 bytes"))
    } else {
        let missing = length.saturating_sub(body.len() as u64);
        if (&mut stream).take(missing).read_to_end(&mut body).await.is_err() {
            return;
        }
        route(shared, &head.start[0], &head.start[1], &body)
    };
    reply(stream, status, &answer).await;
}

/// Sends a JSON answer and closes.
pub(crate) async fn reply(mut stream: TcpStream, status: u16, answer: &Value) {
    let text = answer.to_string();
    let reply = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        if status == 200 { "OK" } else { "Refused" },
        text.len(),
    );
    // The asker may have gone; then nobody needs the answer.
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn route(shared: &Shared, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    match (method, path) {
        ("GET", "/log") => (200, json!(shared.log.entries())),
        ("GET", "/in-flight") => (200, json!(shared.log.in_flight())),
        ("GET", "/stats") => (200, json!(shared.log.stats())),
        ("GET", "/config") => (200, json!(*shared.config.borrow())),
        ("POST", "/reset-log") => {
            shared.log.reset();
            (200, json!({}))
        }
        ("POST", "/config") => {
            let change = serde_json::from_slice::<ConfigPatch>(body).map_err(|error| error.to_string());
            match change.and_then(|change| shared.configure(change)) {
                Ok(()) => (200, json!(*shared.config.borrow())),
                Err(detail) => (400, problem(&detail)),
            }
        }
        _ => (
            404,
            problem("try GET /log, /in-flight, /stats, /config or POST /config, /reset-log"),
        ),
    }
}

fn problem(detail: &str) -> Value {
    json!({ "error": detail })
}
