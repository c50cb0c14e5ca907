//! What `safe` promises, and which file is taken for one that is needed again.

mod host;

use host::{Host, PART, crc, file, id, no_answer, part, server_error, store_error};
use upload_engine::{
    Action, Command, Durability, EngineConfig, Event, Failure, Input, Outcome, SourceId, StagedPart,
    UploadStatus,
};
use upload_protocol::{Checkpoint, CheckpointIntent, ErrorCode, PartLayout};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn checkpoint(size_bytes: u64) -> Box<Checkpoint> {
    Box::new(Checkpoint {
        version: 1,
        client_upload_id: id(1),
        generation: 0,
        file: file("a", size_bytes),
        layout: PartLayout::from_parts(size_bytes, PART).unwrap(),
        session: None,
        intent: CheckpointIntent::Run,
    })
}

#[test]
fn staged_file_is_not_safe_before_the_server_has_cut_it() {
    let mut host = Host::new();
    host.pick(id(1), "a", 3 * PART);
    host.run_but(&["start"]);
    host.fail("start", no_answer());
    host.run_but(&["start"]);
    assert_eq!(host.snapshot(id(1)).staged_bytes, 3 * PART);
    assert_eq!(host.snapshot(id(1)).durability, Durability::Partial);
    // And rightly so: the server cuts it otherwise, and no staged part fits.
    host.part_size_bytes = 2 * PART;
    host.wait();
    host.run_but(&["put", "free"]);
    assert_eq!(host.count("free"), 3);
    // A checkpoint that names the new cut would make the old part 2, as long as the new one, its own.
    assert_eq!(host.count("save"), 1);
    host.run_but(&["put", "free 1"]);
    assert_eq!(host.count("save"), 1);
    host.succeed("free 1");
    assert_eq!(host.count("save"), 2);
}

#[test]
fn part_of_another_cut_that_stays_on_disk_costs_the_checkpoint_and_nothing_else() {
    let mut host = Host::new();
    host.pick(id(1), "a", 3 * PART);
    host.run_but(&["start"]);
    host.fail("start", no_answer());
    host.run_but(&["start"]);
    host.part_size_bytes = 2 * PART;
    host.wait();
    host.run_but(&["put", "free"]);
    host.fail(
        "free",
        Failure::StorageUnavailable {
            detail: "locked".into(),
        },
    );
    host.run_but(&["put"]);
    assert_eq!((host.count("save"), host.snapshot(id(1)).resumable), (1, false));
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn upload_is_not_safe_while_the_checkpoint_on_disk_cuts_otherwise_than_the_server() {
    let mut host = Host::new();
    host.part_size_bytes = 2 * PART;
    host.pick(id(1), "a", 3 * PART);
    host.run_but(&["put", "start"]);
    host.succeed("start");
    host.run_but(&["put", "save"]);
    host.advance(3_000);
    host.input(Input::Staging { available: true });
    host.run_but(&["put", "save"]);
    assert_eq!(host.snapshot(id(1)).staged_bytes, 3 * PART);
    assert_eq!(host.snapshot(id(1)).durability, Durability::Partial);
    host.succeed("save");
    assert_eq!(host.snapshot(id(1)).durability, Durability::Safe);
}

#[test]
fn single_part_is_kept_when_only_the_name_of_its_size_differs() {
    let mut host = Host::new();
    host.part_size_bytes = 2 * PART;
    host.pick(id(1), "a", 5);
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
    assert_eq!(
        (host.count("hash"), host.count("sign"), host.count("put")),
        (1, 0, 1)
    );
}

#[test]
fn wrong_file_is_refused_by_what_a_session_holds_that_no_checkpoint_names() {
    let mut host = Host::new();
    host.size_bytes = 3 * PART;
    host.command(Command::Restore {
        checkpoint: checkpoint(3 * PART),
        staged: Vec::new(),
    });
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::NeedsFile);
    host.command(Command::Provide {
        upload: id(1),
        source: SourceId(2),
        file: file("a", 3 * PART),
    });
    assert_eq!(host.count("hash"), 0);
    host.succeed("start");
    let truth = host.session_with(&[2]);
    host.answer("fetch", Outcome::Session(Box::new(truth)));
    host.content = 2;
    host.run();
    assert!(matches!(
        host.events.last(),
        Some(Event::FileRefused { reason, .. }) if reason.contains("part 2")
    ));
    assert_eq!(host.count("put"), 0);
}

#[test]
fn file_that_replaces_one_of_which_only_the_seal_is_left_gets_a_session_of_its_own() {
    let mut host = Host::new();
    host.size_bytes = 2 * PART;
    let mut saved = checkpoint(2 * PART);
    host.command(Command::Restore {
        checkpoint: saved.clone(),
        staged: Vec::new(),
    });
    host.succeed("start");
    let (_, Action::SaveCheckpoint { checkpoint }) = host.take("save") else {
        unreachable!()
    };
    saved = checkpoint;

    let mut host = Host::new();
    host.size_bytes = 2 * PART;
    host.command(Command::Restore {
        checkpoint: saved,
        staged: Vec::new(),
    });
    let truth = host.session_with(&[]);
    host.answer("fetch", Outcome::Session(Box::new(truth)));
    host.command(Command::Provide {
        upload: id(1),
        source: SourceId(2),
        file: file("a", 2 * PART),
    });
    host.run();
    assert_eq!((host.count("abort"), host.count("start 1")), (1, 1));
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn session_sealed_for_other_bytes_is_given_up_for_a_new_one() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["seal", "put"]);
    host.fail("seal", server_error(ErrorCode::ChecksumMismatch));
    host.run();
    assert_eq!((host.count("abort"), host.count("start 1")), (1, 1));
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn url_that_expires_while_it_waits_for_a_slot_is_not_used() {
    let mut host = Host::with(EngineConfig {
        parts_in_flight_max: 1,
        ..EngineConfig::default()
    });
    host.url_lifetime_seconds = 25;
    host.pick(id(1), "a", 3 * PART);
    host.run_but(&["put"]);
    let signed = host.count("sign");
    host.advance(20_000);
    host.succeed("put 1");
    assert!(!host.waits_for("put"));
    host.run_but(&["put"]);
    assert_eq!((host.count("sign"), host.waits_for("put 2")), (signed + 1, true));
}

#[test]
fn restored_parts_are_sent_from_disk_without_the_file() {
    let mut host = Host::new();
    host.size_bytes = 2 * PART;
    host.command(Command::Restore {
        checkpoint: checkpoint(2 * PART),
        staged: [1, 2]
            .map(|number| StagedPart {
                part: part(number),
                crc: crc(1, part(number)),
                size_bytes: PART,
            })
            .into(),
    });
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn part_is_not_copied_anew_while_its_old_copy_is_being_deleted() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    for number in 1..=6 {
        host.succeed(&format!("put {number}"));
    }
    host.run_but(&["put"]);
    while !host.waits_for("put 7") {
        host.wait();
        host.run_but(&["put"]);
    }
    host.fail("put 7", store_error(400, "BadDigest"));
    assert!(host.waits_for("free 7"));
    let copies = host.count("stage 7");
    // A copy of the same bytes has the same name: the deletion would take the new one.
    host.command(Command::Pause(id(1)));
    host.run_but(&["put", "free"]);
    assert_eq!(host.count("stage 7"), copies);
    host.succeed("free 7");
    host.run_but(&["put"]);
    assert_eq!(host.count("stage 7"), copies + 1);
}
