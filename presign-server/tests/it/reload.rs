//! Limits that change while the real binary runs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::Client;
use serde_json::json;

use crate::process::{Server, start};

/// Rewrites the file as orchestrators do: whole, by a rename.
fn write(folder: &Path, yaml: &str) {
    std::fs::write(folder.join("new.yaml"), yaml).unwrap();
    std::fs::rename(folder.join("new.yaml"), folder.join("holdfast.yaml")).unwrap();
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

async fn wait_for_log(folder: &Path, words: &str) {
    for _ in 0..100 {
        if log(folder).contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the log does not say `{words}`: {}", log(folder));
}

/// How a start of so many bytes from a page of this origin is answered.
async fn start_status(server: &Server, size_bytes: u64, origin: &str) -> u16 {
    let request = Client::new()
        .post(format!("{}/api/upload-sessions", server.url))
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .header("origin", origin)
        .json(&json!({"fileName": "a", "sizeBytes": size_bytes}));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_count_without_a_restart_and_the_rest_is_said_to_wait_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "file_size_bytes_max: 1000");
    let server = start(folder, 0);
    let app = "https://app.example.com";
    assert_eq!(start_status(&server, 1001, &server.url).await, 413);
    assert_eq!(start_status(&server, 1000, app).await, 403);
    write(
        folder,
        "file_size_bytes_max: 2000\ncors_allowed_origin: ['https://app.example.com']\nlease_seconds: 700000",
    );
    wait_for_log(
        folder,
        "setting `lease_seconds` was changed and counts from the next start on",
    )
    .await;
    assert_eq!(start_status(&server, 2000, app).await, 201);
    assert_eq!(start_status(&server, 2001, app).await, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_file_is_refused_loudly_and_the_old_limits_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "file_size_bytes_max: 1000");
    let server = start(folder, 0);
    write(folder, "file_size_bytes_max: many");
    wait_for_log(folder, "the old ones stay").await;
    assert!(log(folder).contains("file_size_bytes_max"), "{}", log(folder));
    assert_eq!(start_status(&server, 1001, &server.url).await, 413);
    assert_eq!(start_status(&server, 1000, &server.url).await, 201);
    write(folder, "rate_limit_per_second: 1\nrate_limit_burst: 2");
    wait_for_log(
        folder,
        "setting `rate_limit_burst` was changed and counts from now on",
    )
    .await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(start_status(&server, 2000, &server.url).await);
    }
    assert!(statuses.contains(&429) && statuses.contains(&201), "{statuses:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn hangup_has_the_settings_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "file_size_bytes_max: 1000");
    let server = start(folder, 0);
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    wait_for_log(folder, "the settings were read again: none was changed").await;
    assert_eq!(start_status(&server, 1, &server.url).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_server_guards_its_host_though_its_file_asks_for_credentials_by_now() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "file_size_bytes_max: 1000");
    let server = start(folder, 0);
    let of_rebound_name = async || {
        let list = Client::new().get(format!("{}/api/upload-sessions", server.url));
        let answer = list.header("host", "rebound.example").send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(of_rebound_name().await, 421);
    write(folder, "file_size_bytes_max: 1000\nclients_file: clients.yaml");
    wait_for_log(
        folder,
        "setting `clients_file` was changed and counts from the next start on",
    )
    .await;
    assert_eq!(of_rebound_name().await, 421);
}
