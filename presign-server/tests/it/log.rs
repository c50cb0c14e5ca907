//! What the log says of a call.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use crate::process::start;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_one_json_line_with_id_route_status_and_time() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("holdfast.yaml"), "log_format: json").unwrap();
    let server = start(folder.path(), 0);
    let id = "0b8f5c1e-6a0e-4d5c-9a3e-2f6c1d7b8a90";
    let sessions = format!("{}/api/upload-sessions", server.url);
    let post = Client::new()
        .post(&sessions)
        .header("x-request-id", "first-call")
        .header("authorization", "Bearer very-secret")
        .header("idempotency-key", id)
        .json(&json!({"fileName": "private-name", "sizeBytes": 1}));
    assert_eq!(post.send().await.unwrap().status(), 201);
    let get = Client::new().get(format!("{sessions}/{id}?token=very-secret"));
    assert_eq!(get.send().await.unwrap().status(), 403);
    let health = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert_eq!(health.status(), 200);
    // The answer can be here before its line is.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let calls: Vec<&Value> = lines
        .iter()
        .filter(|line| line["fields"]["method"].is_string())
        .collect();
    // Probes are not logged while all is well.
    assert_eq!(calls.len(), 2, "{log}");
    let (start, status) = (&calls[0]["fields"], &calls[1]["fields"]);
    assert_eq!(calls[0]["span"]["id"], "first-call");
    assert_eq!(
        (&start["method"], &start["status"]),
        (&json!("POST"), &json!(201))
    );
    assert_eq!(start["route"], "/api/upload-sessions");
    assert_eq!(start["client"], "local");
    assert!(start["ms"].is_u64());
    assert_eq!(status["route"], "/api/upload-sessions/{id}");
    assert_eq!(status["code"], "token_refused");
    for hidden in ["very-secret", "private-name"] {
        assert!(!log.contains(hidden), "{log}");
    }
}
