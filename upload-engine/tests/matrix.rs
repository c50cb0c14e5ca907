//! Every state an upload can be in, by everything that can happen to it: what follows stands in
//! `snapshots/`, one table a state. Whoever changes a cell sees it in the diff.

#![cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "the tables are files, and wasm has none")
)]

mod host;

use std::fmt::Write as _;

use host::{Host, PART, crc, file, id, no_answer, part, server_error, store_error};
use upload_engine::{Command, EngineConfig, Event, Failure, Input, Outcome, SourceId, StagedPart};
use upload_protocol::{
    Checkpoint, CheckpointIntent, CheckpointSession, ErrorCode, PartLayout, UploadMode, UploadToken,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PARTS: u64 = 3;

fn picked() -> Host {
    let mut host = Host::new();
    host.pick(id(1), "a", PARTS * PART);
    host
}

fn held_at(held: &[&str]) -> Host {
    let mut host = picked();
    host.run_but(held);
    host
}

fn restored(staged: &[u32]) -> Host {
    let mut host = Host::new();
    host.size_bytes = PARTS * PART;
    let checkpoint = Box::new(Checkpoint {
        version: 1,
        client_upload_id: id(1),
        generation: 0,
        file: file("a", PARTS * PART),
        layout: PartLayout::from_parts(PARTS * PART, PART).unwrap(),
        session: Some(CheckpointSession {
            session_id: host::session(),
            token: UploadToken::new("token"),
            key: "key".into(),
            multipart_upload_id: None,
            mode: UploadMode::Multipart,
            checksum: true,
        }),
        intent: CheckpointIntent::Run,
    });
    let staged = staged.iter().map(|number| StagedPart {
        part: part(*number),
        crc: crc(1, part(*number)),
        size_bytes: PART,
    });
    let staged = staged.collect();
    host.command(Command::Restore { checkpoint, staged });
    host
}

fn queued() -> Host {
    let mut host = Host::with(EngineConfig {
        active_uploads_max: 1,
        ..EngineConfig::default()
    });
    host.pick(id(2), "other", PARTS * PART);
    host.pick(id(1), "a", PARTS * PART);
    host.actions.clear();
    host
}

/// A state's name and the way into it.
type State = (&'static str, fn() -> Host);

/// All states.
fn states() -> Vec<State> {
    vec![
        ("queued", queued),
        ("preparing", picked),
        ("starting", || held_at(&["start"])),
        ("signing", || {
            let mut host = held_at(&["start", "hash 3", "stage"]);
            host.succeed("start");
            host.run_but(&["put", "sign", "stage"]);
            host
        }),
        ("sending", || held_at(&["put"])),
        ("sending-while-staging", || held_at(&["put", "stage"])),
        ("sealing", || held_at(&["put", "seal"])),
        ("backing-off", || {
            let mut host = held_at(&["put"]);
            for _ in 0..PARTS {
                host.fail("put", no_answer());
            }
            host
        }),
        ("in-doubt", || {
            let mut host = held_at(&["put"]);
            host.fail("put 1", store_error(404, "NoSuchUpload"));
            host
        }),
        ("paused", || {
            let mut host = held_at(&["put"]);
            host.command(Command::Pause(id(1)));
            host.run_but(&["put"]);
            host
        }),
        ("completing", || held_at(&["complete"])),
        ("discarding", || {
            let mut host = held_at(&["put", "seal"]);
            host.fail("seal", server_error(ErrorCode::ChecksumMismatch));
            host
        }),
        ("cancelling", || {
            let mut host = held_at(&["put"]);
            host.command(Command::Cancel(id(1)));
            host
        }),
        ("resuming", || restored(&[1, 2, 3])),
        ("needs-file", || {
            let mut host = restored(&[2]);
            host.run_but(&["put"]);
            host
        }),
        ("comparing", || {
            let mut host = restored(&[2]);
            host.run_but(&["put"]);
            let file = file("a", PARTS * PART);
            host.command(Command::Provide {
                upload: id(1),
                source: SourceId(7),
                file,
            });
            host
        }),
        ("failed", || {
            let mut host = held_at(&["put", "seal"]);
            host.fail("seal", server_error(ErrorCode::TokenRefused));
            host
        }),
        ("completed", || held_at(&[])),
        ("cancelled", || {
            let mut host = held_at(&["put"]);
            host.command(Command::Cancel(id(1)));
            host.run();
            host
        }),
    ]
}

type Happening = (String, Box<dyn Fn(&mut Host)>);

fn happening(name: &str, happen: impl Fn(&mut Host) + 'static) -> Happening {
    (name.to_owned(), Box::new(happen))
}

/// What can happen in any state.
fn everywhere() -> Vec<Happening> {
    let provide = |host: &mut Host, size_bytes| {
        let file = file("a", size_bytes);
        host.command(Command::Provide {
            upload: id(1),
            source: SourceId(8),
            file,
        });
    };
    vec![
        happening("pause", |host| host.command(Command::Pause(id(1)))),
        happening("resume", |host| host.command(Command::Resume(id(1)))),
        happening("cancel", |host| host.command(Command::Cancel(id(1)))),
        happening("dismiss", |host| host.command(Command::Dismiss(id(1)))),
        happening("a file of its size", move |host| provide(host, PARTS * PART)),
        happening("a file of another size", move |host| provide(host, 1)),
        happening("offline", |host| {
            host.input(Input::Connectivity { online: false });
        }),
        happening("online again", |host| {
            host.input(Input::Connectivity { online: false });
            host.input(Input::Connectivity { online: true });
        }),
        happening("no staging", |host| {
            host.input(Input::Staging { available: false });
        }),
        happening("no room on disk", |host| {
            host.input(Input::Room { bytes: Some(0) });
        }),
        happening("other credentials", |host| {
            host.input(Input::CredentialsRenewed);
        }),
        happening("the machine slept", |host| host.input(Input::ClockJumped)),
        happening("a minute goes by", |host| host.advance(60_000)),
    ]
}

/// What can be answered to an action of a kind.
fn answers(kind: &str) -> Vec<Happening> {
    let ok = kind.to_owned();
    let mut answers = vec![happening(&format!("{kind}: done"), move |host| host.succeed(&ok))];
    let mut fail = |name: &str, failure: Failure| {
        let wanted = kind.to_owned();
        answers.push(happening(&format!("{kind}: {name}"), move |host| {
            host.fail(&wanted, failure.clone());
        }));
    };
    let detail = || "why".to_owned();
    match kind.split(' ').next().unwrap_or_default() {
        "hash" => fail("unreadable", Failure::SourceUnreadable { detail: detail() }),
        "stage" => {
            fail("unreadable", Failure::SourceUnreadable { detail: detail() });
            fail("disk full", Failure::QuotaExceeded);
            fail("disk broken", Failure::StorageUnavailable { detail: detail() });
        }
        "save" | "free" | "forget" => fail("disk broken", Failure::StorageUnavailable { detail: detail() }),
        "put" => {
            fail("no answer", no_answer());
            fail(
                "source unreadable",
                Failure::SourceUnreadable { detail: detail() },
            );
            fail("copy unreadable", Failure::StagedUnreadable { detail: detail() });
            for (status, code) in [
                (200, "InternalError"),
                (400, "BadDigest"),
                (400, "EntityTooLarge"),
                (403, "AccessDenied"),
                (403, "RequestTimeTooSkewed"),
                (404, "NoSuchUpload"),
                (412, "PreconditionFailed"),
                (500, "InternalError"),
                (503, "SlowDown"),
            ] {
                fail(&format!("{status} {code}"), store_error(status, code));
            }
        }
        _ => {
            fail("no answer", no_answer());
            fail("nonsense", Failure::InvalidAnswer { detail: detail() });
            for code in [
                ErrorCode::StoreUnavailable,
                ErrorCode::SessionBusy,
                ErrorCode::SessionNotFound,
                ErrorCode::SessionAborted,
                ErrorCode::SessionCompleted,
                ErrorCode::PartsMissing,
                ErrorCode::SizeMismatch,
                ErrorCode::ChecksumMismatch,
                ErrorCode::KeyTaken,
                ErrorCode::TokenRefused,
            ] {
                fail(code.as_str(), server_error(code));
            }
        }
    }
    answers
}

/// One of each kind of action that is under way, the first of its kind.
fn under_way(host: &Host) -> Vec<String> {
    let mut kinds: Vec<String> = Vec::new();
    for kind in host.kinds() {
        let word = |kind: &str| kind.split(' ').next().unwrap_or_default().to_owned();
        if !kinds.iter().any(|known| word(known) == word(&kind)) {
            kinds.push(kind);
        }
    }
    kinds
}

fn describe(host: &Host) -> String {
    let Some(snapshot) = host.engine.snapshot(host.now, id(1)) else {
        return "off the list".into();
    };
    let mut text = format!("{:?}", snapshot.status).to_lowercase();
    if let Some(waiting) = snapshot.waiting_for {
        write!(text, " for {waiting:?}").unwrap();
    }
    write!(text, ", {:?}", snapshot.durability).unwrap();
    if let Some(error) = snapshot.error {
        write!(text, ", {}", error.code).unwrap();
    }
    text
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Safe(_) => "safe",
        Event::Completed(_) => "completed",
        Event::Failed(_) => "failed",
        Event::FileRefused { .. } => "file refused",
        Event::FileAccepted { .. } => "file accepted",
        Event::SourceReleased(_) => "file let go",
    }
}

/// A row: what happened, where the upload stands then, what it began, stopped and said.
fn row(enter: fn() -> Host, (name, happen): &Happening) -> String {
    let mut host = enter();
    let (begun, stopped, said) = (host.log.len(), host.cancelled.len(), host.events.len());
    happen(&mut host);
    let mut row = format!("{name:<30} → {}", describe(&host));
    let list = |title: &str, words: &[String]| {
        if words.is_empty() {
            String::new()
        } else {
            format!("; {title} {}", words.join(", "))
        }
    };
    row += &list("begins", &host.log[begun..]);
    let stopped = host.cancelled.len() - stopped;
    if stopped > 0 {
        write!(row, "; stops {stopped}").unwrap();
    }
    let said: Vec<String> = host.events[said..]
        .iter()
        .map(|event| event_name(event).to_owned())
        .collect();
    row + &list("says", &said)
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_state_answers_everything_that_can_happen_as_written_down() {
    for (state, enter) in states() {
        let host = enter();
        let mut table = format!("{} under way: {}\n\n", describe(&host), host.kinds().join(", "));
        let answered = under_way(&host);
        let answered = answered.iter().flat_map(|kind| answers(kind));
        for happening in everywhere().into_iter().chain(answered) {
            table += row(enter, &happening).trim_end();
            table += "\n";
        }
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(state, table);
        });
    }
}

#[test]
fn outcome_of_an_action_that_was_stopped_or_answered_before_is_counted_and_changes_nothing() {
    for (state, enter) in states() {
        let mut host = enter();
        let before = (describe(&host), host.kinds(), host.events.len());
        for action in [u64::MAX, 1] {
            if host.engine.awaits(upload_engine::ActionId(action)) {
                continue;
            }
            let stale = host.engine.stale_outcomes();
            host.input(Input::Done(upload_engine::ActionId(action), Outcome::Put));
            host.input(Input::Progress(upload_engine::ActionId(action), 5));
            assert_eq!(host.engine.stale_outcomes(), stale + 1, "{state}");
        }
        assert_eq!(
            (describe(&host), host.kinds(), host.events.len()),
            before,
            "{state}"
        );
    }
}
