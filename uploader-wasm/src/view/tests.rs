use std::path::Path;

use ts_rs::{Config, TS};
use upload_protocol::ClientUploadId;
use uuid::Uuid;

use super::*;

fn snapshot() -> UploadSnapshot {
    UploadSnapshot {
        upload: ClientUploadId::new(Uuid::from_u128(7)),
        name: "a.mov".into(),
        size_bytes: (1 << 53) - 1,
        key: None,
        status: UploadStatus::NeedsFile,
        waiting_for: Some(WaitingFor::Store),
        error: None,
        durability: Durability::Partial,
        integrity: Some(Integrity::SizeOnly),
        resumable: true,
        resumed: false,
        sent_bytes: 3,
        confirmed_bytes: 2,
        staged_bytes: 1,
        bytes_per_second: u64::MAX,
        part_count: 5,
        parts_in_flight: 1,
        cells: vec![
            Cell::Pending,
            Cell::Staged,
            Cell::InFlight,
            Cell::Confirmed,
            Cell::Lost,
        ],
    }
}

#[test]
fn upload_view_has_the_names_of_the_page_contract() {
    let json = serde_json::to_value(UploadView::from(&snapshot())).unwrap();
    assert_eq!(json["uploadId"], "00000000-0000-0000-0000-000000000007");
    assert_eq!(json["status"], "needs-file");
    assert_eq!(json["durability"], "partial");
    assert_eq!(json["integrity"], "size-only");
    assert_eq!(json["waitingFor"], "store");
    assert_eq!(json["cells"], "psfcl");
    assert_eq!(json["key"], serde_json::Value::Null);
}

#[test]
fn page_messages_are_told_apart_by_their_type() {
    let message = PageMessage::Snapshot {
        engine: EngineView {
            instance: "x".into(),
            host: HostKind::SharedWorker,
        },
        uploads: vec![],
        removed: vec![],
        full: true,
    };
    let json = serde_json::to_value(message).unwrap();
    assert_eq!((&json["type"], &json["full"]), (&"snapshot".into(), &true.into()));
    assert_eq!(json["engine"]["host"], "shared-worker");

    let event = PageMessage::event(EventName::FileAccepted, snapshot().upload);
    let json = serde_json::to_value(event).unwrap();
    assert_eq!(
        (&json["type"], &json["event"]),
        (&"event".into(), &"fileAccepted".into())
    );
    let bug = serde_json::to_value(PageMessage::bug("x".into())).unwrap();
    assert_eq!(bug["type"], "engineBug");
}

#[test]
fn sizes_cross_exactly_up_to_two_to_the_53() {
    for size in [0, 1, u64::from(u32::MAX) + 1, EXACT_MAX - 1, EXACT_MAX] {
        assert_eq!(size_from_js(size_to_js(size)), Some(size));
    }
    assert_eq!(size_from_js(size_to_js(u64::MAX)), Some(EXACT_MAX));
}

#[test]
fn numbers_that_are_no_size_are_refused() {
    for number in [-1.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2e16] {
        assert_eq!(size_from_js(number), None, "{number}");
    }
}

/// The command that writes them anew.
const GENERATE: &str = "HOLDFAST_GENERATE=1 cargo test -p uploader-wasm generated";

/// All generated declarations, as they stand in `web/src/generated/messages.ts`.
fn declarations() -> String {
    let config = Config::new();
    let mut text = format!("// Generated from uploader-wasm/src/view.rs. Do not edit: `{GENERATE}`.\n");
    let mut declare = |docs: Option<String>, declaration: String| {
        text.push('\n');
        text.push_str(&docs.unwrap_or_default());
        text.push_str("export ");
        text.push_str(&declaration);
        text.push('\n');
    };
    declare(PageMessage::docs(), PageMessage::decl(&config));
    declare(EngineView::docs(), EngineView::decl(&config));
    declare(HostKind::docs(), HostKind::decl(&config));
    declare(EventName::docs(), EventName::decl(&config));
    declare(UploadView::docs(), UploadView::decl(&config));
    declare(StatusView::docs(), StatusView::decl(&config));
    declare(DurabilityView::docs(), DurabilityView::decl(&config));
    declare(IntegrityView::docs(), IntegrityView::decl(&config));
    declare(WaitingForView::docs(), WaitingForView::decl(&config));
    declare(ErrorView::docs(), ErrorView::decl(&config));
    text
}

#[test]
fn generated_typescript_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/src/generated/messages.ts");
    let expected = declarations();
    if std::env::var_os("HOLDFAST_GENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "web/src/generated/messages.ts differs from uploader-wasm/src/view.rs: run `{GENERATE}`"
    );
}
