//! `docs/protocol.md` says what the code says.

use presign_server::auth::HoldfastClaim;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upload_protocol::{
    CompleteBatchRequest, CompleteBatchResponse, CompleteRequest, CompleteResponse, ErrorCode, GrantRequest,
    GrantResponse, HookEvent, LiveMessage, LoginRequest, LoginResponse, Problem, ProgressRequest, Receipt,
    RelayResponse, RevokeResponse, SealRequest, SealResponse, SessionListResponse, SessionResponse,
    SignPartsRequest, SignPartsResponse, StartBatchRequest, StartBatchResponse, StartDecision, StartRequest,
    StartResponse, TicketRequest, TicketResponse, UploadCompleted, UploadStarting, ViewerRequest,
};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

#[test]
fn error_table_lists_every_code_with_its_status_and_title() {
    let rows: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| {
            format!(
                "| `{}` | {} | {} |",
                code.as_str(),
                code.http_status(),
                code.title()
            )
        })
        .collect();
    let (_, table) = DOCUMENT
        .split_once("| code | status | title |\n|---|---|---|\n")
        .unwrap();
    let written: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(written, rows);
}

#[test]
fn every_example_reads_and_writes_as_its_type() {
    let mut examples = 0;
    for block in DOCUMENT.split("<!-- ").skip(1) {
        let (name, rest) = block.split_once(" -->\n```json\n").unwrap();
        let (json, _) = rest.split_once("\n```").unwrap();
        check(name, json);
        examples += 1;
    }
    assert_eq!(examples, DOCUMENT.matches("```json").count());
}

fn check(name: &str, json: &str) {
    match name {
        "StartRequest" => same::<StartRequest>(json),
        "StartResponse" => same::<StartResponse>(json),
        "StartBatchRequest" => {
            serde_json::from_str::<StartBatchRequest>(json).unwrap();
        }
        "StartBatchResponse" => same::<StartBatchResponse>(json),
        "SignPartsRequest" => same::<SignPartsRequest>(json),
        "SignPartsResponse" => same::<SignPartsResponse>(json),
        "Receipt" => same::<Receipt>(json),
        "RelayResponse" => same::<RelayResponse>(json),
        "SessionResponse" => same::<SessionResponse>(json),
        "SealRequest" => same::<SealRequest>(json),
        "SealResponse" => same::<SealResponse>(json),
        "CompleteBatchRequest" => same::<CompleteBatchRequest>(json),
        "CompleteBatchResponse" => same::<CompleteBatchResponse>(json),
        "CompleteRequest" => same::<CompleteRequest>(json),
        "CompleteResponse" => same::<CompleteResponse>(json),
        "GrantRequest" => same::<GrantRequest>(json),
        "GrantResponse" => same::<GrantResponse>(json),
        "HoldfastClaim" => same::<HoldfastClaim>(json),
        "RevokeResponse" => same::<RevokeResponse>(json),
        "SessionListResponse" => same::<SessionListResponse>(json),
        "UploadCompleted" => same::<HookEvent<UploadCompleted>>(json),
        "UploadStarting" => same::<HookEvent<UploadStarting>>(json),
        "StartDecision" => same::<StartDecision>(json),
        "ProgressRequest" => same::<ProgressRequest>(json),
        "LiveMessage" => same::<LiveMessage>(json),
        "ViewerRequest" => same::<ViewerRequest>(json),
        "TicketRequest" => same::<TicketRequest>(json),
        "TicketResponse" => same::<TicketResponse>(json),
        "LoginRequest" => same::<LoginRequest>(json),
        "LoginResponse" => same::<LoginResponse>(json),
        "Problem" => same::<Problem>(json),
        other => panic!("an example of no known type: {other}"),
    }
}

/// Reading and writing again loses no field of the example: each is one that the type knows.
fn same<T: Serialize + DeserializeOwned>(json: &str) {
    let value: Value = serde_json::from_str(json).unwrap();
    let read: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), value);
}
