//! The real binary: its viewers when it stops, and its log.
#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;

use super::Viewer;
use crate::process::start;
use crate::support::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn terminated_server_tells_its_viewers_and_logs_no_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path(), free_port());
    let http = reqwest::Client::new();
    let post = async |path: &str| {
        let request = http
            .post(format!("{}{path}", server.url))
            .json(&json!({"key": "any"}));
        request.send().await.unwrap()
    };
    let answer = post("/api/login").await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let ticket: Value = post("/api/tickets").await.json().await.unwrap();
    let ticket = ticket["ticket"].as_str().unwrap();
    let url = format!("{}/ws?ticket={ticket}", server.url.replace("http", "ws"));
    let (socket, _) = connect_async(url).await.unwrap();
    let mut viewer = Viewer { socket };
    // Open where nothing else is asked for: no ticket is needed either.
    let (socket, _) = connect_async(format!("{}/ws", server.url.replace("http", "ws")))
        .await
        .unwrap();
    let mut second = Viewer { socket };
    let pid = server.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    for viewer in [&mut viewer, &mut second] {
        assert_eq!(viewer.closed().await.0, 1001);
    }
    let mut ended = None;
    for _ in 0..100 {
        ended = server.child.try_wait().unwrap();
        if ended.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ended.expect("the server ends").success());
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("/ws"), "{log}");
    let (_, login) = cookie.split_once('=').unwrap();
    for hidden in [ticket, login.split(';').next().unwrap()] {
        assert!(!log.contains(hidden), "{log}");
    }
}
