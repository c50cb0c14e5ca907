//! Receipts: the same wherever they are answered, and checked by somebody else's code.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{HOST, TWO_PARTS, World, content, crc};
use axum::body::Body;
use axum::http::{Method, Request};
use presign_server::receipt::{ReceiptSigner, verify_receipt};
use presign_server::{TokenMaker, Uploads};
use serde_json::{Value, json};
use upload_protocol::{CompleteResponse, Receipt};
use upload_storage::StoreProfile;

const DOCUMENT: &str = include_str!("../../../docs/hooks.md");

/// Runs a piece of `docs/hooks.md` in Node, then `script`, with `input` on its standard input; answers
/// what it printed.
pub(crate) fn run_documented(name: &str, script: &str, input: &Value) -> String {
    let (_, rest) = DOCUMENT.split_once(&format!("<!-- {name} -->\n```js\n")).unwrap();
    let (code, _) = rest.split_once("\n```").unwrap();
    let program = format!(
        "{code}\nimport {{ readFileSync }} from 'node:fs'\nconst input = JSON.parse(readFileSync(0))\n{script}\n"
    );
    let mut node = Command::new("node")
        .args(["--input-type=module", "--eval", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Node is installed: npm test needs it");
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.trim().to_owned()
}

async fn completed(world: &World, name: &str, bytes: &[u8]) -> (upload_protocol::StartResponse, String) {
    let started = world.start_upload(name, bytes).await;
    world.put_all(&started, bytes).await;
    let answer = world.on(&started, Method::POST, "/complete", None).await;
    let completed: CompleteResponse = answer.expect(200);
    (started, completed.receipt.unwrap())
}

#[tokio::test]
async fn receipt_is_the_same_from_complete_batch_and_status_and_tells_what_is_stored() {
    let world = World::start().await;
    let bytes = content(TWO_PARTS);
    let (started, receipt) = completed(&world, "ü 😀.mov", &bytes).await;
    let again: CompleteResponse = world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect(200);
    assert_eq!(again.receipt.as_ref(), Some(&receipt));
    let status: Value = world.on(&started, Method::GET, "", None).await.expect(200);
    assert_eq!(status["completed"]["receipt"], receipt);
    let batch = json!({"completes": [
        {"uploadSessionId": started.upload_session_id, "token": started.token.expose()}
    ]});
    let path = "/api/upload-sessions/batch/complete";
    let batch: Value = world
        .call(Method::POST, path, None, Some(batch))
        .await
        .expect(200);
    assert_eq!(batch["results"][0]["completed"]["receipt"], receipt);
    let read = verify_receipt(&receipt, &world.uploads.receipt_keys()).unwrap();
    let expected = Receipt {
        iss: "holdfast".to_owned(),
        upload_session_id: started.upload_session_id,
        key: started.key,
        bucket: Some("holdfast".to_owned()),
        size_bytes: bytes.len() as u64,
        checksum_crc64nvme: Some(crc(&bytes)),
        completed_at: again.completed_at,
    };
    assert_eq!(read, expected);
    // Another replica with the same secret has the same key; one with another has not.
    let replica = |byte| ReceiptSigner::new(&TokenMaker::new(&[byte; 32]).unwrap(), "holdfast");
    assert!(verify_receipt(&receipt, &replica(7).keys()).is_ok());
    assert!(verify_receipt(&receipt, &replica(8).keys()).is_err());
}

#[tokio::test]
async fn receipt_of_an_object_without_a_checksum_claims_none() {
    let world = World::over(StoreProfile::Garage).await;
    let (_, receipt) = completed(&world, "a", b"abc").await;
    let read = verify_receipt(&receipt, &world.uploads.receipt_keys()).unwrap();
    assert_eq!((read.size_bytes, read.checksum_crc64nvme), (3, None));
}

#[tokio::test]
async fn receipt_is_verified_by_the_documented_code_with_the_published_key_and_a_forged_one_is_not() {
    let world = World::start().await;
    let (started, receipt) = completed(&world, "a", b"abc").await;
    let request = Request::get("/.well-known/jwks.json").header("host", HOST);
    let answer = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let keys: Value = answer.expect(200);
    assert_eq!(keys["keys"][0].get("d"), None, "the private key is published");
    let read = run_documented(
        "receipt.mjs",
        "console.log(JSON.stringify(readReceipt(input.receipt, input.keys)))",
        &json!({"receipt": receipt, "keys": keys}),
    );
    let read: Receipt = serde_json::from_str(&read).unwrap();
    assert_eq!(read.key, started.key);
    let forged = receipt.replacen(&receipt[receipt.len() - 40..receipt.len() - 38], "__", 1);
    let refused = run_documented(
        "receipt.mjs",
        "try { readReceipt(input.receipt, input.keys); console.log('taken') } catch (error) { console.log(error.message) }",
        &json!({"receipt": forged, "keys": keys}),
    );
    assert_eq!(refused, "forged");
}

#[tokio::test]
async fn receipts_are_given_under_the_name_that_was_set() {
    let world = World::set_up(|uploads| uploads.receipt_issuer("uploads.example.com")).await;
    let (_, receipt) = completed(&world, "a", b"abc").await;
    let keys = Uploads::receipt_keys(&world.uploads);
    assert_eq!(
        verify_receipt(&receipt, &keys).unwrap().iss,
        "uploads.example.com"
    );
}
