//! What must not work.

use crate::support::{HOST, MIB, TWO_PARTS, World, content, crc, start_body};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use upload_protocol::{PresignedUrl, StartResponse};
use uuid::Uuid;

const CALLS: [(Method, &str); 5] = [
    (Method::GET, ""),
    (Method::DELETE, ""),
    (Method::POST, "/parts"),
    (Method::POST, "/seal"),
    (Method::POST, "/complete"),
];

fn any_body() -> Value {
    json!({"checksumCrc64nvme": crc(b""), "parts": [{"partNumber": 1, "checksumCrc64nvme": crc(b"")}]})
}

#[tokio::test]
async fn session_without_its_token_or_with_anothers_is_refused_in_every_call() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let mine = world.start_upload("mine", &bytes).await;
    let other = world.start_upload("other", &bytes).await;
    let half = &mine.token.expose()[..20];
    for token in [None, Some(other.token.expose()), Some(""), Some("x"), Some(half)] {
        for (method, path) in CALLS {
            let path = format!("/api/upload-sessions/{}{path}", mine.upload_session_id);
            let body = (method == Method::POST).then(any_body);
            let answer = world.call(method, &path, token, body).await;
            answer.expect_problem("token_refused");
            assert_eq!(answer.status, 403);
        }
    }
    world.on(&mine, Method::GET, "", None).await.expect::<Value>(200);
}

#[tokio::test]
async fn unknown_session_and_what_is_no_id_are_not_found() {
    let world = World::start().await;
    for id in [
        Uuid::new_v4().to_string(),
        "x".to_owned(),
        "..%2f..".to_owned(),
        "%00".to_owned(),
    ] {
        let path = format!("/api/upload-sessions/{id}");
        let answer = world.call(Method::GET, &path, Some("token"), None).await;
        answer.expect_problem("session_not_found");
    }
}

#[tokio::test]
async fn part_numbers_outside_the_layout_are_refused() {
    let world = World::start().await;
    let started = world.start_upload("a", &content(TWO_PARTS)).await;
    for number in [
        json!(0),
        json!(3),
        json!(10_000),
        json!(10_001),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(4_294_967_297_u64),
    ] {
        let body = json!({"parts": [{"partNumber": number, "checksumCrc64nvme": crc(b"")}]});
        let answer = world.on(&started, Method::POST, "/parts", Some(body)).await;
        answer.expect_problem("invalid_request");
    }
    let none = json!({"parts": []});
    world
        .on(&started, Method::POST, "/parts", Some(none))
        .await
        .expect_problem("invalid_request");
    let many = json!({"parts": vec![json!({"partNumber": 1, "checksumCrc64nvme": crc(b"")}); 1001]});
    world
        .on(&started, Method::POST, "/parts", Some(many))
        .await
        .expect_problem("invalid_request");
    let bare = json!({"parts": [{"partNumber": 1}]});
    world
        .on(&started, Method::POST, "/parts", Some(bare))
        .await
        .expect_problem("invalid_request");
}

#[tokio::test]
async fn part_url_takes_only_the_bytes_it_was_signed_for() {
    let world = World::start().await;
    for length in [TWO_PARTS, 1000] {
        let bytes = content(length);
        let started = world.start_upload("a", &bytes).await;
        let part = &started.parts[0];
        let right = &bytes[..length.min(5 * MIB)];
        let mut flipped = right.to_vec();
        flipped[right.len() / 2] ^= 1;
        let mut longer = right.to_vec();
        longer.push(0);
        for (what, wrong) in [
            ("flipped", &flipped[..]),
            ("longer", &longer),
            ("shorter", &right[1..]),
        ] {
            let (status, body) = world.put(part, wrong).await;
            assert!((400..500).contains(&status), "{what}: {status} {body}");
        }
        let mut bare = part.clone();
        bare.headers
            .retain(|header| header.name != "x-amz-checksum-crc64nvme");
        assert!(
            (400..500).contains(&world.put(&bare, right).await.0),
            "no checksum header"
        );
        let mut lying = part.clone();
        for header in &mut lying.headers {
            if header.name == "x-amz-checksum-crc64nvme" {
                header.value = crc(&flipped).to_base64();
            }
        }
        assert!(
            (400..500).contains(&world.put(&lying, &flipped).await.0),
            "another checksum"
        );
        if length == TWO_PARTS {
            let mut moved = part.clone();
            moved.url = PresignedUrl::new(part.url.expose().replace("partNumber=1", "partNumber=2"));
            assert!(
                (400..500).contains(&world.put(&moved, right).await.0),
                "another part"
            );
        }
        let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
        assert_eq!(status["parts"], json!([]), "something was stored");
        assert_eq!(
            world.put(part, right).await.0,
            200,
            "the right bytes were refused"
        );
    }
}

#[tokio::test]
async fn names_that_would_escape_stay_inside_their_folder() {
    let world = World::start().await;
    for name in [
        "../../etc/passwd",
        "..\\..\\x",
        "/absolute",
        "a/../../b",
        "..",
        ".",
        "",
        "a\nb\r\0c",
        "\u{202e}gpj.exe",
    ] {
        let started = world.start_upload(name, b"abc").await;
        let segments: Vec<&str> = started.key.split('/').collect();
        assert_eq!(segments.len(), 5, "{name:?}: {}", started.key);
        assert_eq!((segments[0], segments[1]), ("uploads", "local"));
        assert!(!segments[4].starts_with('.') && !segments[4].is_empty());
        assert!(!started.key.chars().any(char::is_control));
        world.put_all(&started, b"abc").await;
        world
            .on(&started, Method::POST, "/complete", None)
            .await
            .expect::<Value>(200);
    }
    let long = format!("{}.mov", "😀".repeat(255));
    let started = world.start_upload(&long, b"abc").await;
    assert!(started.key.len() <= 1024 && started.key.ends_with("😀.mov"));
    world.put_all(&started, b"abc").await;
    let longer = start_body(&"x".repeat(1025), b"abc");
    let answer = world.start_call(&Uuid::new_v4().to_string(), longer).await;
    answer.expect_problem("invalid_request");
}

#[tokio::test]
async fn key_and_upload_id_in_a_request_are_ignored() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let mut body = start_body("a", &bytes);
    body["key"] = json!("someone/elses");
    body["uploadId"] = json!("someone-elses");
    let started: StartResponse = world
        .start_call(&Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    assert!(started.key.starts_with("uploads/local/"));
    assert_ne!(started.upload_id.unwrap().0, "someone-elses");
}

#[tokio::test]
async fn body_of_ten_megabytes_is_refused_unread() {
    let world = World::start().await;
    let huge = json!({"fileName": "x".repeat(10_000_000), "sizeBytes": 1});
    let answer = world.start_call(&Uuid::new_v4().to_string(), huge).await;
    answer.expect_problem("request_too_large");
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn body_that_is_no_json_or_not_said_to_be_is_refused() {
    let world = World::start().await;
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        "{\"fileName\":1}",
        "{\"fileName\":\"a\",\"sizeBytes\":-1}",
        "\u{0}",
    ];
    for body in bodies {
        let request = Request::post("/api/upload-sessions")
            .header("host", HOST)
            .header("idempotency-key", Uuid::new_v4().to_string())
            .header("content-type", "application/json");
        let answer = world.send(request.body(Body::from(body)).unwrap()).await;
        answer.expect_problem("invalid_request");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let request = Request::post("/api/upload-sessions")
        .header("host", HOST)
        .header("idempotency-key", Uuid::new_v4().to_string())
        .header("content-type", "text/plain");
    let answer = world.send(request.body(Body::from(deep)).unwrap()).await;
    answer.expect_problem("invalid_request");
}

#[tokio::test]
async fn idempotency_key_missing_or_malformed_is_refused() {
    let world = World::start().await;
    for key in ["", "x", "../x", "00000000-0000-0000-0000-00000000000g"] {
        world
            .start_call(key, start_body("a", b""))
            .await
            .expect_problem("invalid_request");
    }
    let body = Some(start_body("a", b""));
    let answer = world.call(Method::POST, "/api/upload-sessions", None, body).await;
    answer.expect_problem("invalid_request");
}

#[tokio::test]
async fn foreign_host_is_refused_everywhere_but_on_probes() {
    let world = World::start().await;
    for path in ["/", "/api/upload-sessions", "/assets/x.js"] {
        let request = Request::get(path).header("host", "rebound.example:4000");
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        answer.expect_problem("host_refused");
        assert_eq!(answer.status, 421);
        let answer = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
        answer.expect_problem("host_refused");
    }
    let request = Request::get("/health").header("host", "10.0.0.7");
    assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn foreign_origin_is_refused_and_a_listed_one_gets_cors_headers() {
    let world = World::start().await;
    let request = |origin: &str| {
        Request::post("/api/upload-sessions")
            .header("host", HOST)
            .header("origin", origin)
            .header("idempotency-key", Uuid::new_v4().to_string())
            .header("content-type", "application/json")
            .body(Body::from(start_body("a", b"").to_string()))
            .unwrap()
    };
    for origin in ["https://evil.example", "null", "http://127.0.0.1:5173"] {
        let answer = world.send(request(origin)).await;
        answer.expect_problem("origin_refused");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(world.send(request("http://127.0.0.1:4000")).await.status, 201);
    let answer = world.send(request("https://app.example.com")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    let preflight = Request::options("/api/upload-sessions")
        .header("host", HOST)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "idempotency-key,content-type")
        .body(Body::empty());
    let answer = world.send(preflight.unwrap()).await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    assert!(
        answer.headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("upload-token")
    );
}

#[tokio::test]
async fn metadata_and_content_type_that_are_none_are_refused() {
    let world = World::start().await;
    let start = async |field: &str, value: Value| {
        let mut body = start_body("a", b"");
        body[field] = value;
        world.start_call(&Uuid::new_v4().to_string(), body).await
    };
    start("contentType", json!("text"))
        .await
        .expect_problem("invalid_request");
    start("contentType", json!("a/b\r\nx-evil: 1"))
        .await
        .expect_problem("invalid_request");
    start("metadata", json!({"a\r\nb": "c"}))
        .await
        .expect_problem("invalid_request");
    start("metadata", json!({"a": "b\r\nx-amz-acl: public-read"}))
        .await
        .expect_problem("invalid_request");
    start("metadata", json!({"a": "x".repeat(3000)}))
        .await
        .expect_problem("invalid_request");
    start("checksumAlgorithm", json!("MD5"))
        .await
        .expect_problem("invalid_request");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/upload-sessions/x/y/z",
        "/no/such/file.js",
    ] {
        let answer = world.call(Method::GET, path, None, None).await;
        answer.expect_problem("route_not_found");
    }
    for (method, path) in [
        (Method::PUT, "/api/upload-sessions"),
        (Method::PATCH, "/api/upload-sessions/x"),
        (Method::GET, "/api/upload-sessions/x/complete"),
        (Method::POST, "/health"),
        (Method::POST, "/"),
    ] {
        let answer = world.call(method, path, None, None).await;
        answer.expect_problem("method_not_allowed");
        assert!(answer.headers.contains_key("allow"), "{path}");
    }
}
