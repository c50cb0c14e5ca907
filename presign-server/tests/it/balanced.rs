//! Two replicas over one Redis, behind a load balancer that sends each request to the other one.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use upload_protocol::{CompleteResponse, SignedPart, StartResponse};
use upload_testkit::proxy::{Proxy, ProxyOptions};
use upload_testkit::redis_server::RedisServer;
use uuid::Uuid;

use crate::support::{
    ACCESS_KEY, MIB, SECRET_KEY, TWO_PARTS, client_of, content, crc, free_port, logs, split, start_body,
    start_store,
};

/// Uploads of the test, a few of them of several parts.
const UPLOADS: usize = 200;

/// Uploads under way at a time.
const AT_ONCE: usize = 24;

/// How often a call is made before it is given up: a client of the product waits far longer.
const ATTEMPTS_MAX: u32 = 200;

/// Two replicas, their stores, and the balancer before them.
struct Replicas {
    balancer: Proxy,
    servers: Vec<Replica>,
    redis: RedisServer,
    store: SocketAddr,
    stop: CancellationToken,
    _folder: TempDir,
    http: reqwest::Client,
}

struct Replica {
    child: Child,
    log: std::path::PathBuf,
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        logs::keep(&self.log);
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Replicas {
    async fn start() -> Self {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let store = start_store(&folder, &stop).await;
        let redis = RedisServer::start();
        let addresses: Vec<SocketAddr> = (0..2)
            .map(|_| format!("127.0.0.1:{}", free_port()).parse().unwrap())
            .collect();
        let servers = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| start_replica(&folder, index, *address, store, &redis.url()))
            .collect();
        let any = "127.0.0.1:0".parse().unwrap();
        let options = ProxyOptions {
            listen: any,
            targets: addresses.clone(),
            control: any,
        };
        let replicas = Self {
            balancer: Proxy::start(&options).await.unwrap(),
            servers,
            redis,
            store,
            stop,
            _folder: folder,
            http: reqwest::Client::new(),
        };
        for address in addresses {
            replicas.wait_until_ready(address).await;
        }
        replicas
    }

    async fn wait_until_ready(&self, address: SocketAddr) {
        for _ in 0..300 {
            let ready = self.http.get(format!("http://{address}/ready")).send().await;
            if ready.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{address} is not ready: {}", self.logs());
    }

    fn logs(&self) -> String {
        let logs = self
            .servers
            .iter()
            .map(|server| std::fs::read_to_string(&server.log));
        logs.map(Result::unwrap_or_default).collect()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/upload-sessions{path}", self.balancer.listen_addr())
    }

    /// Makes a call until it is answered with something that waiting would not change.
    async fn call(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Response {
        for _ in 0..ATTEMPTS_MAX {
            match request().send().await {
                Ok(answer) if !is_passing(answer.status()) => return answer,
                // The replica was killed, or says that it can't just now.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("{ATTEMPTS_MAX} calls in vain: {}", self.logs());
    }

    async fn start_upload(&self, key: &str, name: &str, bytes: &[u8]) -> StartResponse {
        let body = start_body(name, bytes);
        let started = self.call(|| {
            let request = self.http.post(self.url("")).header("idempotency-key", key);
            request.json(&body)
        });
        let started = started.await;
        assert_eq!(started.status(), 201);
        started.json().await.unwrap()
    }

    async fn put(&self, part: &SignedPart, bytes: &[u8]) {
        let put = self.call(|| {
            let mut request = self.http.put(part.url.expose()).body(bytes.to_vec());
            for header in &part.headers {
                request = request.header(&header.name, &header.value);
            }
            request
        });
        assert_eq!(put.await.status(), 200);
    }

    async fn on(&self, started: &StartResponse, path: &str, body: &Value) -> Response {
        let url = self.url(&format!("/{}{path}", started.upload_session_id));
        self.call(|| {
            let request = self
                .http
                .post(&url)
                .header("upload-token", started.token.expose());
            request.json(body)
        })
        .await
    }

    /// A whole upload with a call for everything, so that several replicas have a hand in it.
    async fn upload(&self, index: usize) -> CompleteResponse {
        let bytes = bytes_of(index);
        let started = self
            .start_upload(&Uuid::new_v4().to_string(), &format!("{index}.bin"), &bytes)
            .await;
        let parts: Vec<Value> = split(&bytes, started.part_size_bytes)
            .zip(1..)
            .map(|(piece, number)| json!({"partNumber": number, "checksumCrc64nvme": crc(piece)}))
            .collect();
        let signed = self.on(&started, "/parts", &json!({"parts": parts})).await;
        let signed: Value = signed.json().await.unwrap();
        let signed: Vec<SignedPart> = serde_json::from_value(signed["parts"].clone()).unwrap();
        for (part, piece) in signed.iter().zip(split(&bytes, started.part_size_bytes)) {
            self.put(part, piece).await;
        }
        let completed = self.on(&started, "/complete", &json!({})).await;
        assert_eq!(completed.status(), 200, "{}", completed.text().await.unwrap());
        completed.json().await.unwrap()
    }

    /// Asserts that the store holds exactly the upload's bytes.
    async fn is_stored(&self, index: usize, completed: &CompleteResponse) {
        let client = client_of(&format!("http://{}", self.store));
        let object = client.get_object().bucket("holdfast").key(&completed.key);
        let stored = object
            .send()
            .await
            .unwrap()
            .body
            .collect()
            .await
            .unwrap()
            .into_bytes();
        assert!(stored == bytes_of(index), "{} holds other bytes", completed.key);
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

/// Every tenth has two parts.
fn bytes_of(index: usize) -> Vec<u8> {
    let mut bytes = content(if index.is_multiple_of(10) {
        TWO_PARTS
    } else {
        index * 311
    });
    for (byte, salt) in bytes.iter_mut().zip(index.to_be_bytes().iter().cycle()) {
        *byte ^= salt;
    }
    bytes
}

fn start_replica(
    folder: &TempDir,
    index: usize,
    listen: SocketAddr,
    store: SocketAddr,
    redis: &str,
) -> Replica {
    let data_dir = folder.path().join(format!("replica-{index}"));
    let log = folder.path().join(format!("replica-{index}.log"));
    let child = Command::new(env!("CARGO_BIN_EXE_presign-server"))
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("HOLDFAST_TOKEN_SECRET", "a secret that both replicas have")
        .env("HOLDFAST_SESSION_STORE", redis)
        .args(["--listen", &listen.to_string()])
        .args(["--s3-bucket", "holdfast", "--s3-region", "us-east-1"])
        .args(["--s3-endpoint", &format!("http://{store}")])
        .arg("--data-dir")
        .arg(data_dir)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    Replica { child, log }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_over_two_replicas_complete_byte_for_byte_though_one_is_killed() {
    let mut replicas = Replicas::start().await;
    let victim = replicas.servers.remove(0);
    let completed_count = Arc::new(AtomicUsize::new(0));
    let mut victim = Some(victim);
    let mut uploads = stream::iter(0..UPLOADS)
        .map(|index| {
            let (replicas, count) = (&replicas, Arc::clone(&completed_count));
            async move {
                let completed = replicas.upload(index).await;
                count.fetch_add(1, Ordering::SeqCst);
                (index, completed)
            }
        })
        .buffer_unordered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(done) = uploads.next().await {
        all.push(done);
        if all.len() == UPLOADS / 2
            && let Some(victim) = victim.take()
        {
            let log = std::fs::read_to_string(&victim.log).unwrap();
            assert!(log.contains("/complete"), "the replica had no hand in it: {log}");
            drop(victim);
        }
    }
    drop(uploads);
    assert_eq!(all.len(), UPLOADS);
    for (index, completed) in &all {
        replicas.is_stored(*index, completed).await;
    }
    assert!(replicas.logs().contains("/complete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_what_was_sent_survive_a_redis_that_is_killed_and_comes_back() {
    let mut replicas = Replicas::start().await;
    let bytes = content(TWO_PARTS);
    let key = Uuid::new_v4().to_string();
    let started = replicas.start_upload(&key, "redis.bin", &bytes).await;
    replicas.put(&started.parts[0], &bytes[..5 * MIB]).await;

    replicas.redis.kill();
    let asked = std::time::Instant::now();
    let url = replicas.url(&format!("/{}", started.upload_session_id));
    let answer = replicas
        .http
        .get(&url)
        .header("upload-token", started.token.expose());
    let answer = answer.send().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(answer.status(), 503);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "session_store_unavailable");

    replicas.redis.restart();
    let again = replicas.start_upload(&key, "redis.bin", &bytes).await;
    assert_eq!(again.upload_session_id, started.upload_session_id);
    assert_eq!(again.token, started.token);
    replicas.put(&started.parts[1], &bytes[5 * MIB..]).await;
    let completed = replicas.on(&started, "/complete", &json!({})).await;
    assert_eq!(completed.status(), 200);
    let completed: CompleteResponse = completed.json().await.unwrap();
    assert_eq!(completed.checksum_crc64nvme, Some(crc(&bytes)));
}
