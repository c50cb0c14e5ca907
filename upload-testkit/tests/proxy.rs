//! The proxy between a plain client and a server that says what it got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use upload_testkit::proxy::{ConfigPatch, LogEntry, Proxy, ProxyOptions};

/// Answers each request with `got {body length}`, keeps the connection, and counts body bytes.
async fn server() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, Arc::clone(&counter)));
        }
    });
    (address, received)
}

async fn serve(mut stream: TcpStream, received: Arc<AtomicU64>) -> Option<()> {
    loop {
        let head = read_until_empty_line(&mut stream).await?;
        let length: u64 = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |value| value.parse().unwrap());
        let mut left = length;
        let mut buffer = vec![0; 16 * 1024];
        while left > 0 {
            let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
            received.fetch_add(read as u64, Ordering::SeqCst);
            left -= read as u64;
        }
        let body = format!("got {length}");
        let host = head.lines().find(|line| line.starts_with("host:"))?;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-{host}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn read_until_empty_line(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn proxied() -> (Proxy, Arc<AtomicU64>) {
    let (target, received) = server().await;
    let any = "127.0.0.1:0".parse().unwrap();
    let options = ProxyOptions {
        listen: any,
        targets: vec![target],
        control: any,
    };
    (Proxy::start(&options).await.unwrap(), received)
}

#[tokio::test]
async fn several_servers_are_asked_in_turn_and_one_that_is_gone_is_passed_over() {
    let (one, got_by_one) = server().await;
    let (two, got_by_two) = server().await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let options = ProxyOptions {
        listen: any,
        targets: vec![one, gone, two],
        control: any,
    };
    let proxy = Proxy::start(&options).await.unwrap();
    let mut stream = TcpStream::connect(proxy.listen_addr()).await.unwrap();
    for _ in 0..6 {
        let (status, answer) = put(&mut stream, 10).await.unwrap();
        assert!(status == 200 && answer.ends_with("got 10"), "{answer}");
    }
    // Whose turn it is when one is gone, the next one takes.
    assert_eq!(got_by_one.load(Ordering::SeqCst), 20);
    assert_eq!(got_by_two.load(Ordering::SeqCst), 40);
}

fn configure(proxy: &Proxy, json: &str) {
    let patch: ConfigPatch = serde_json::from_str(json).unwrap();
    proxy.configure(patch).unwrap();
}

fn head(length: usize) -> String {
    format!(
        "PUT /bucket/key?partNumber=3&uploadId=abc&X-Amz-Signature=secret HTTP/1.1\r\nhost: s3.example:9\r\n\
         origin: http://page.example\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// PUTs so many bytes on a connection and answers status and body; `None` when no whole answer came.
async fn put(stream: &mut TcpStream, length: usize) -> Option<(u16, String)> {
    stream.write_all(head(length).as_bytes()).await.ok()?;
    stream.write_all(&vec![7; length]).await.ok()?;
    let answer = read_until_empty_line(stream).await?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let length = answer
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some((status, answer + &String::from_utf8(body).ok()?))
}

async fn put_once(proxy: &Proxy, length: usize) -> Option<(u16, String)> {
    put(&mut connect(proxy).await, length).await
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.listen_addr()).await.unwrap()
}

/// Waits until nothing is in flight and answers the last entry.
async fn last_entry(proxy: &Proxy) -> LogEntry {
    eventually(|| proxy.in_flight().is_empty() && !proxy.log().is_empty()).await;
    proxy.log().last().unwrap().clone()
}

async fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "nothing happened for 10 s"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn requests_pass_unchanged_and_are_logged_to_the_byte() {
    let (proxy, received) = proxied().await;
    let mut stream = connect(&proxy).await;
    for length in [0, 1, 100_000] {
        let (status, answer) = put(&mut stream, length).await.unwrap();
        assert_eq!(status, 200);
        assert!(answer.contains("x-host: s3.example:9"), "{answer}");
        assert!(answer.ends_with(&format!("got {length}")), "{answer}");
    }
    let entry = last_entry(&proxy).await;
    assert_eq!(received.load(Ordering::SeqCst), 100_001);
    assert_eq!(proxy.log().len(), 3);
    assert_eq!(
        (entry.method.as_str(), entry.path.as_str()),
        ("PUT", "/bucket/key")
    );
    assert_eq!(
        (entry.part_number, entry.upload_id.as_deref()),
        (Some(3), Some("abc"))
    );
    assert_eq!(
        (entry.content_length, entry.body_bytes_forwarded),
        (Some(100_000), 100_000)
    );
    assert_eq!(
        (entry.status, entry.cut_off, entry.fault),
        (Some(200), false, None)
    );
    assert!(!format!("{entry:?}").contains("secret"));
}

#[tokio::test]
async fn rate_cap_is_shared_by_connections_and_can_be_lifted() {
    let (proxy, _) = proxied().await;
    configure(&proxy, r#"{"uploadBytesPerSecond": 400000}"#);
    let start = Instant::now();
    let (a, b) = tokio::join!(put_once(&proxy, 100_000), put_once(&proxy, 100_000));
    assert!(a.is_some() && b.is_some());
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(430) && took < Duration::from_millis(1500),
        "{took:?}"
    );

    configure(&proxy, r#"{"uploadBytesPerSecond": 1000}"#);
    let mut stream = connect(&proxy).await;
    let upload = tokio::spawn(async move { put(&mut stream, 1_000_000).await });
    eventually(|| {
        proxy
            .in_flight()
            .iter()
            .any(|entry| entry.body_bytes_forwarded > 0)
    })
    .await;
    assert!(proxy.in_flight()[0].body_bytes_forwarded < 10_000);
    configure(&proxy, r#"{"uploadBytesPerSecond": null}"#);
    assert_eq!(upload.await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn client_gone_mid_body_is_logged_with_what_the_server_really_got() {
    let (proxy, received) = proxied().await;
    let mut stream = connect(&proxy).await;
    stream.write_all(head(500_000).as_bytes()).await.unwrap();
    stream.write_all(&vec![1; 123_456]).await.unwrap();
    drop(stream);
    let entry = last_entry(&proxy).await;
    assert!(entry.cut_off);
    assert_eq!(entry.status, None);
    eventually(|| received.load(Ordering::SeqCst) == 123_456).await;
    assert_eq!(entry.body_bytes_forwarded, 123_456);
}

#[tokio::test]
async fn blocked_requests_stay_open_without_moving_until_unblocked() {
    let (proxy, received) = proxied().await;
    configure(&proxy, r#"{"block": {"method": "PUT"}}"#);
    let mut stream = connect(&proxy).await;
    let upload = tokio::spawn(async move { put(&mut stream, 50_000).await });
    eventually(|| proxy.in_flight().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!upload.is_finished());
    assert_eq!(received.load(Ordering::SeqCst), 0);
    configure(&proxy, r#"{"block": null}"#);
    assert_eq!(upload.await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn client_that_gives_up_while_blocked_is_noticed_though_its_bytes_are_unread() {
    let (proxy, received) = proxied().await;
    configure(&proxy, r#"{"block": {"partNumber": 3}}"#);
    let mut stream = connect(&proxy).await;
    stream.write_all(head(10_000).as_bytes()).await.unwrap();
    stream.write_all(&[1; 9_000]).await.unwrap();
    eventually(|| proxy.in_flight().len() == 1).await;
    drop(stream);
    let entry = last_entry(&proxy).await;
    assert!(entry.cut_off && entry.body_bytes_forwarded == 0);
    assert_eq!(received.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn store_errors_are_answered_without_reaching_the_server() {
    let (proxy, received) = proxied().await;
    for (fault, status, code, cors) in [
        (r#"{"kind": "slowDown"}"#, 503, "SlowDown", true),
        (
            r#"{"kind": "expiredUrl", "cors": true}"#,
            403,
            "Request has expired",
            true,
        ),
        (
            r#"{"kind": "expiredUrl", "cors": false}"#,
            403,
            "AccessDenied",
            false,
        ),
        (r#"{"kind": "forbidden"}"#, 403, "Access Denied", false),
        (r#"{"kind": "errorIn200"}"#, 200, "<Error>", true),
    ] {
        configure(
            &proxy,
            &format!(r#"{{"faults": [{{"fault": {fault}, "next": 1}}]}}"#),
        );
        let mut stream = connect(&proxy).await;
        let (got, answer) = put(&mut stream, 60_000).await.unwrap();
        assert_eq!(got, status);
        assert!(answer.contains(code), "{answer}");
        assert_eq!(
            answer.contains("access-control-allow-origin: http://page.example"),
            cors
        );
        assert_eq!(received.load(Ordering::SeqCst), 0);
        // The same connection goes on, and the fault is used up.
        assert!(put(&mut stream, 0).await.unwrap().1.ends_with("got 0"));
    }
    let faults: Vec<_> = proxy.log().iter().filter_map(|entry| entry.fault).collect();
    assert_eq!(
        faults,
        ["slowDown", "expiredUrl", "expiredUrl", "forbidden", "errorIn200"]
    );
}

#[tokio::test]
async fn url_is_refused_once_it_is_older_than_the_rule_allows() {
    let (proxy, received) = proxied().await;
    configure(
        &proxy,
        r#"{"faults": [{"match": {"urlOlderThanSeconds": 60}, "fault": {"kind": "expiredUrl", "cors": false}}]}"#,
    );
    let mut stream = connect(&proxy).await;
    for (date, status) in [
        ("", 200),
        ("&X-Amz-Date=20010101T000000Z", 403),
        ("&X-Amz-Date=29990101T000000Z", 200),
        ("&X-Amz-Date=yesterday", 200),
    ] {
        let head =
            format!("PUT /b/k?partNumber=1{date} HTTP/1.1\r\nhost: s\r\ncontent-length: 4\r\n\r\nbody");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until_empty_line(&mut stream).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{date}: {answer}"
        );
        let length = answer
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
    }
    assert_eq!(received.load(Ordering::SeqCst), 12);
    assert_eq!(proxy.stats().faults["expiredUrlWithoutCors"], 1);
}

#[tokio::test]
async fn stats_tell_how_often_each_kind_has_struck() {
    let (proxy, _) = proxied().await;
    for fault in [
        r#"{"kind": "delay", "ms": 1}"#,
        r#"{"kind": "slowDown"}"#,
        r#"{"kind": "expiredUrl", "cors": true}"#,
        r#"{"kind": "expiredUrl", "cors": false}"#,
        r#"{"kind": "forbidden"}"#,
        r#"{"kind": "errorIn200"}"#,
        r#"{"kind": "reset", "afterBytes": 10}"#,
        r#"{"kind": "loseAnswer"}"#,
        r#"{"kind": "truncateAnswer"}"#,
        r#"{"kind": "stall", "afterBytes": 10}"#,
    ] {
        assert!(proxy.stats().faults.values().any(|times| *times == 0));
        configure(
            &proxy,
            &format!(r#"{{"faults": [{{"fault": {fault}, "next": 1}}]}}"#),
        );
        let _ = tokio::time::timeout(Duration::from_millis(200), put_once(&proxy, 100)).await;
    }
    last_entry(&proxy).await;
    proxy.reset_log();
    let stats = proxy.stats();
    assert_eq!(stats.requests, 10);
    assert_eq!(stats.faults.len(), 10);
    assert!(stats.faults.values().all(|times| *times == 1), "{stats:?}");
    let answered = control(&proxy, "GET", "/stats", "").await;
    assert!(answered.contains(r#""expiredUrlWithoutCors":1"#), "{answered}");
}

#[tokio::test]
async fn connection_latency_is_paid_once_a_connection() {
    let (proxy, _) = proxied().await;
    configure(&proxy, r#"{"connectionLatencyMs": 150}"#);
    let mut stream = connect(&proxy).await;
    let start = Instant::now();
    put(&mut stream, 10).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(150));
    let start = Instant::now();
    put(&mut stream, 10).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(150));
}

#[tokio::test]
async fn reset_cuts_the_body_exactly_where_it_was_told_to() {
    let (proxy, received) = proxied().await;
    configure(
        &proxy,
        r#"{"faults": [{"match": {"method": "PUT"}, "fault": {"kind": "reset", "afterBytes": 40000}, "next": 1}]}"#,
    );
    assert_eq!(put_once(&proxy, 200_000).await, None);
    let entry = last_entry(&proxy).await;
    assert_eq!((entry.body_bytes_forwarded, entry.cut_off), (40_000, true));
    eventually(|| received.load(Ordering::SeqCst) == 40_000).await;
}

#[tokio::test]
async fn lost_and_truncated_answers_reach_the_server_whole() {
    let (proxy, received) = proxied().await;
    for (fault, total) in [("loseAnswer", 1_000), ("truncateAnswer", 2_000)] {
        configure(
            &proxy,
            &format!(r#"{{"faults": [{{"fault": {{"kind": "{fault}"}}, "next": 1}}]}}"#),
        );
        assert_eq!(put_once(&proxy, 1_000).await, None);
        let entry = last_entry(&proxy).await;
        assert_eq!((entry.fault, entry.cut_off), (Some(fault), true));
        assert_eq!(received.load(Ordering::SeqCst), total);
    }
}

#[tokio::test]
async fn stalled_request_moves_nothing_more_until_the_client_gives_up() {
    let (proxy, received) = proxied().await;
    configure(
        &proxy,
        r#"{"faults": [{"fault": {"kind": "stall", "afterBytes": 5000}, "next": 1}]}"#,
    );
    let given_up = tokio::time::timeout(Duration::from_millis(200), put_once(&proxy, 20_000)).await;
    assert!(given_up.is_err());
    let entry = last_entry(&proxy).await;
    assert_eq!((entry.body_bytes_forwarded, entry.cut_off), (5_000, true));
    eventually(|| received.load(Ordering::SeqCst) == 5_000).await;
}

#[tokio::test]
async fn faults_by_chance_are_the_same_for_the_same_seed() {
    let (proxy, _) = proxied().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        proxy.reset_log();
        configure(
            &proxy,
            r#"{"seed": 5, "faults": [{"fault": {"kind": "slowDown"}, "probability": 0.5}]}"#,
        );
        let mut stream = connect(&proxy).await;
        for _ in 0..20 {
            put(&mut stream, 10).await.unwrap();
        }
        last_entry(&proxy).await;
        runs.push(proxy.log().iter().map(|entry| entry.status).collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1]);
    let slowed = runs[0].iter().filter(|status| **status == Some(503)).count();
    assert!((3..18).contains(&slowed), "{slowed}");
}

#[tokio::test]
async fn control_api_answers_over_http() {
    let (proxy, _) = proxied().await;
    put_once(&proxy, 5).await.unwrap();
    let config = control(&proxy, "POST", "/config", r#"{"latencyMs": 30}"#).await;
    assert!(config.contains(r#""latencyMs":30"#), "{config}");
    let start = Instant::now();
    put_once(&proxy, 5).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    let log = control(&proxy, "GET", "/log", "").await;
    assert_eq!(log.matches(r#""bodyBytesForwarded":5"#).count(), 2, "{log}");
    assert_eq!(control(&proxy, "GET", "/in-flight", "").await, "[]");
    control(&proxy, "POST", "/reset-log", "").await;
    assert_eq!(control(&proxy, "GET", "/log", "").await, "[]");
    let refused = control(&proxy, "POST", "/config", r#"{"uploadBytesPerSecond": 0}"#).await;
    assert!(refused.contains("use at least 1"), "{refused}");
    let refused = control(&proxy, "POST", "/config", r#"{"uploadBytesPerSec": 5}"#).await;
    assert!(refused.contains("unknown field"), "{refused}");
}

async fn control(proxy: &Proxy, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(proxy.control_addr()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until_empty_line(&mut stream).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
