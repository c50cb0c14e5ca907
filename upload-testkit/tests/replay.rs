//! The command `replay`, given a report as a page writes it.

use std::fs;
use std::process::{Command, Output};

use upload_engine::{Engine, EngineConfig, Input, Outcome, SourceId, Timestamp};
use upload_protocol::{ClientUploadId, Crc64Nvme, FileInfo};
use uuid::Uuid;

/// What an engine was told that was given one file, hashed it, and came no further.
fn report() -> upload_engine::Report {
    let mut engine = Engine::new(EngineConfig::default(), 7);
    let at = Timestamp::from_millis;
    engine.command(
        at(10),
        upload_engine::Command::Pick {
            upload: ClientUploadId::new(Uuid::from_u128(1)),
            source: SourceId(1),
            file: FileInfo {
                name: "secret plans.pdf".into(),
                size_bytes: 3,
                content_type: "application/pdf".into(),
                last_modified_ms: 1,
            },
            as_new: false,
        },
    );
    let mut actions = Vec::new();
    while let Some(output) = engine.poll(at(10)) {
        if let upload_engine::Output::Action(id, _) = output {
            actions.push(id);
        }
    }
    engine.handle(at(20), Input::Done(actions[0], Outcome::Done));
    engine.handle(at(30), Input::Done(actions[1], Outcome::Hashed(Crc64Nvme(5))));
    engine.recording().report()
}

fn replay(report: &str, arguments: &[&str]) -> Output {
    let folder = std::env::temp_dir().join(format!("holdfast-replay-{}", Uuid::new_v4()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report.json");
    fs::write(&path, report).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .arg(&path)
        .args(arguments)
        .output()
        .unwrap();
    fs::remove_dir_all(folder).unwrap();
    output
}

#[test]
fn report_is_replayed_step_by_step_and_does_the_same_again() {
    let json = serde_json::to_string(&report()).unwrap();
    let output = replay(&json, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("HashPart"), "{text}");
    assert!(
        text.ends_with("3 of 3 inputs replayed: the engine did the same again\n"),
        "{text}"
    );
}

#[test]
fn report_holds_no_file_name() {
    let text = String::from_utf8(replay(&serde_json::to_string(&report()).unwrap(), &[]).stdout).unwrap();
    assert!(!text.contains("secret"), "{text}");
    assert!(text.contains("file-"), "{text}");
}

#[test]
fn report_that_was_cut_short_is_refused_by_the_input_at_which_it_ends() {
    let mut cut = report();
    cut.records += 1;
    let output = replay(&serde_json::to_string(&cut).unwrap(), &["--quiet"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("can't be read past input 3"), "{text}");
}

#[test]
fn report_whose_beginning_was_dropped_is_refused_and_so_is_another_format() {
    let mut late = report();
    late.records_dropped = 9;
    let text = String::from_utf8(replay(&serde_json::to_string(&late).unwrap(), &[]).stderr).unwrap();
    assert!(text.contains("lacks its first 9 inputs"), "{text}");
    let mut other = report();
    other.format = "holdfast-report/2".into();
    let text = String::from_utf8(replay(&serde_json::to_string(&other).unwrap(), &[]).stderr).unwrap();
    assert!(text.contains("holdfast-report/2"), "{text}");
}

#[test]
fn broken_reports_are_refused_without_a_panic() {
    for text in ["", "{}", "[1]", "\u{1f600}"] {
        let output = replay(text, &[]);
        assert_eq!(output.status.code(), Some(1), "{text}");
    }
    let mut garbage = report();
    for data in ["AAAA", "!", "/////////////////////w=="] {
        garbage.data = data.into();
        assert_eq!(
            replay(&serde_json::to_string(&garbage).unwrap(), &[])
                .status
                .code(),
            Some(1),
            "{data}"
        );
    }
}
