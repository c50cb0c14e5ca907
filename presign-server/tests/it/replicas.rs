//! Two real processes that share a Redis: any of them answers any call.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use upload_protocol::CompleteResponse;
use upload_testkit::redis_server::RedisServer;
use uuid::Uuid;

use crate::process::{Server, command, post, put_all, start_call, start_with, status};
use crate::support::{TWO_PARTS, content, crc, free_port, start_body};

const TOKEN_SECRET: &str = "a secret of both replicas";

/// A process on this Redis: the first also runs the embedded store that both use.
fn replica(folder: &Path, redis_url: &str, store_port: u16, is_first: bool) -> Server {
    start_with(folder, replica_command(folder, redis_url, store_port, is_first))
}

fn replica_command(folder: &Path, redis_url: &str, store_port: u16, is_first: bool) -> Command {
    std::fs::create_dir_all(folder).unwrap();
    let mut command = command(folder, store_port);
    command
        .env("HOLDFAST_TOKEN_SECRET", TOKEN_SECRET)
        .env("HOLDFAST_SESSION_STORE", redis_url);
    if is_first {
        command
            .env("HOLDFAST_EMBEDDED_S3_ACCESS_KEY", "access")
            .env("HOLDFAST_EMBEDDED_S3_SECRET_KEY", "secret-key");
    } else {
        use_bucket(&mut command, store_port);
    }
    command
}

fn use_bucket(command: &mut Command, store_port: u16) {
    command
        .args([
            "--s3-bucket",
            "holdfast",
            "--s3-region",
            "us-east-1",
            "--s3-profile",
            "embedded",
        ])
        .args(["--s3-endpoint", &format!("http://127.0.0.1:{store_port}")])
        .env("AWS_ACCESS_KEY_ID", "access")
        .env("AWS_SECRET_ACCESS_KEY", "secret-key");
}

async fn readiness(server: &Server) -> (u16, Value) {
    let response = reqwest::get(format!("{}/ready", server.url)).await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn wait_until_ready(server: &Server) {
    for _ in 0..100 {
        if readiness(server).await.0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not ready: {:?}", readiness(server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_begun_at_one_replica_is_finished_at_another_after_the_first_was_killed() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let (port, bytes) = (free_port(), content(TWO_PARTS));
    let store = replica(&folder.path().join("store"), &redis.url(), port, true);
    let one = replica(&folder.path().join("one"), &redis.url(), port, false);
    let two = replica(&folder.path().join("two"), &redis.url(), port, false);
    let (key, body) = (Uuid::new_v4().to_string(), start_body("a.mov", &bytes));
    let started = start_call(&one, &key, &body).await;
    drop(one);

    let again = start_call(&two, &key, &body).await;
    assert_eq!(again.upload_session_id, started.upload_session_id);
    assert_eq!(
        (&again.token, &again.upload_id),
        (&started.token, &started.upload_id)
    );
    put_all(&started, &bytes).await;
    let completed = post(&two, &started, "/complete", &json!({})).await;
    assert_eq!(completed.status(), 200);
    let completed: CompleteResponse = completed.json().await.unwrap();
    assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
    // The third one knows it too.
    assert_eq!(status(&store, &started).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_goes_on_where_it_was_when_redis_was_killed_and_started_again() {
    let (folder, mut redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let bytes = content(TWO_PARTS);
    let server = replica(folder.path(), &redis.url(), free_port(), true);
    let started = start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;
    put_all(&started, &bytes).await;
    redis.kill();
    let refused = post(&server, &started, "/complete", &json!({})).await;
    assert_eq!(refused.status(), 503);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "session_store_unavailable");
    redis.restart();
    let completed = post(&server, &started, "/complete", &json!({})).await;
    assert_eq!(completed.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_before_its_redis_and_is_ready_once_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start_with(&["--requirepass", "hush-hush"]);
    redis.kill();
    let url = redis.url().replace("redis://", "redis://:hush-hush@");
    let server = replica(folder.path(), &url, free_port(), true);
    let (status, problem) = readiness(&server).await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("session_store_unavailable"))
    );
    let alive = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert_eq!(alive.status(), 200);
    redis.restart();
    wait_until_ready(&server).await;
    let bytes = content(10);
    start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;
    drop(server);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for said in ["REDIS DOES NOT ANSWER", "/ready says 503", "Redis is back"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(
        !log.contains("hush-hush") && !problem.to_string().contains("hush-hush"),
        "{log}"
    );
}

#[test]
fn help_does_not_show_the_address_of_the_environment() {
    let output = Command::new(env!("CARGO_BIN_EXE_presign-server"))
        .env("HOLDFAST_SESSION_STORE", "redis://:hush-hush@cache")
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("HOLDFAST_SESSION_STORE") && !text.contains("hush-hush"),
        "{text}"
    );
}

/// A certificate of an authority of its own for `localhost`; answers where the authority's stands.
fn write_certificates(folder: &Path) -> std::path::PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_path = folder.join("authority.pem");
    let certificate = authority.self_signed(&authority_key).unwrap();
    std::fs::write(&authority_path, certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("redis.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("redis.key"), key.serialize_pem()).unwrap();
    authority_path
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_by_tls_is_used_where_its_certificate_is_trusted_and_only_there() {
    let folder = tempfile::tempdir().unwrap();
    let authority = write_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let port = free_port().to_string();
    let (certificate, key) = (path("redis.pem"), path("redis.key"));
    let _redis = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        authority.to_str().unwrap(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ]);
    let url = format!("rediss://localhost:{port}");
    let folder_of = |name: &str| folder.path().join(name);
    let mut trusting = replica_command(&folder_of("trusting"), &url, free_port(), true);
    trusting.env("SSL_CERT_FILE", &authority);
    let server = start_with(&folder_of("trusting"), trusting);
    wait_until_ready(&server).await;
    let bytes = content(10);
    start_call(&server, &Uuid::new_v4().to_string(), &start_body("a", &bytes)).await;

    let server = replica(&folder_of("wary"), &url, free_port(), true);
    let (status, problem) = readiness(&server).await;
    assert_eq!(status, 503);
    assert!(
        problem["detail"].as_str().unwrap().contains("certificate"),
        "{problem}"
    );
}
