//! An upload from picking to its end, and what a person may do on the way.

mod host;

use host::{Host, PART, file, id, no_answer, part};
use upload_engine::{
    Action, Command, Durability, EngineConfig, Event, Failure, Input, Outcome, SourceId, UploadStatus,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn picked_file_completes_with_every_part_put_once() {
    let mut host = Host::new();
    host.pick(id(1), "a", 5 * PART + 1);
    host.run();
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.durability),
        (UploadStatus::Completed, Durability::Safe)
    );
    assert_eq!((snapshot.sent_bytes, snapshot.part_count), (5 * PART + 1, 6));
    assert_eq!(
        (host.count("put"), host.count("complete"), host.count("forget")),
        (6, 1, 1)
    );
    assert!(host.events.contains(&Event::Completed(id(1))));
    assert!(host.events.contains(&Event::SourceReleased(SourceId(1))));
}

#[test]
fn empty_file_and_single_byte_complete() {
    for size_bytes in [0, 1, PART - 1, PART, PART + 1] {
        let mut host = Host::new();
        host.pick(id(1), "a", size_bytes);
        host.run();
        assert_eq!(
            host.snapshot(id(1)).status,
            UploadStatus::Completed,
            "{size_bytes} bytes"
        );
    }
}

#[test]
fn checkpoint_is_saved_before_the_first_request() {
    let mut host = Host::new();
    host.pick(id(1), "a", 3 * PART);
    host.run_but(&["save"]);
    assert_eq!(host.count("start"), 0);
    host.succeed("save");
    assert!(host.waits_for("start"));
}

#[test]
fn upload_goes_on_without_a_checkpoint_and_says_so() {
    let mut host = Host::new();
    host.pick(id(1), "a", 3 * PART);
    host.fail(
        "save",
        Failure::StorageUnavailable {
            detail: "private mode".into(),
        },
    );
    host.run_but(&["put", "save"]);
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.resumable, snapshot.durability),
        (false, Durability::Memory)
    );
    assert_eq!(host.count("stage"), 0);
    host.run_but(&["save"]);
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn front_is_sent_from_the_file_while_the_tail_goes_to_disk() {
    let mut host = Host::new();
    host.pick(id(1), "a", 40 * PART);
    host.run_but(&["put"]);
    assert!(host.log.iter().position(|kind| kind == "put 1") < host.log.iter().position(|k| k == "stage 40"));
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.parts_in_flight, snapshot.durability),
        (6, Durability::Partial)
    );
    // All but the six in flight.
    assert_eq!(snapshot.staged_bytes, 34 * PART);
    for number in 1..=6 {
        host.succeed(&format!("put {number}"));
    }
    assert_eq!(host.snapshot(id(1)).durability, Durability::Safe);
    assert_eq!(
        host.events
            .iter()
            .filter(|event| **event == Event::Safe(id(1)))
            .count(),
        1
    );
}

#[test]
fn parts_in_flight_are_copied_too_when_the_line_is_slow() {
    let mut host = Host::new();
    host.pick(id(1), "a", 4 * PART);
    host.run_but(&["put"]);
    assert_eq!(host.snapshot(id(1)).staged_bytes, 0);
    // All of it is in the system's buffers, says the browser: that confirms nothing.
    for index in 0..4 {
        let (put, _) = host.actions[index].clone();
        host.input(Input::Progress(put, PART));
    }
    host.advance(2_000);
    host.run_but(&["put"]);
    assert_eq!(host.snapshot(id(1)).durability, Durability::Safe);
}

#[test]
fn parts_in_flight_never_exceed_the_cap_over_all_uploads() {
    let mut host = Host::new();
    for upload in 1..=5 {
        host.pick(id(upload), "a", 4 * PART);
    }
    host.run_but(&["put"]);
    assert_eq!(host.actions.len(), 6);
    let in_flight: Vec<_> = (1..=5)
        .map(|upload| host.snapshot(id(upload)).parts_in_flight)
        .collect();
    assert_eq!(
        (
            in_flight.iter().sum::<u32>(),
            in_flight.iter().all(|count| *count >= 1)
        ),
        (6, true)
    );
}

#[test]
fn sealed_once_every_part_is_hashed_though_not_every_one_is_sent() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    assert_eq!((host.count("seal"), host.count("complete")), (1, 0));
}

#[test]
fn queued_uploads_start_when_places_come_free() {
    let mut host = Host::with(EngineConfig {
        active_uploads_max: 2,
        ..EngineConfig::default()
    });
    for upload in 1..=3 {
        host.pick(id(upload), "a", 2 * PART);
    }
    assert_eq!(host.count("save"), 2);
    // A small file has a place of its own.
    host.pick(id(4), "a", PART);
    assert_eq!(host.count("save"), 3);
    host.size_bytes = 2 * PART;
    host.run_but(&["put", "complete"]);
    host.command(Command::Cancel(id(4)));
    host.run();
    assert!((1..=3).all(|upload| host.snapshot(id(upload)).status == UploadStatus::Completed));
}

#[test]
fn paused_upload_frees_its_slots_at_once_and_goes_on_when_resumed() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    host.command(Command::Pause(id(1)));
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.parts_in_flight),
        (UploadStatus::Paused, 0)
    );
    assert_eq!(host.cancelled.len(), 6);
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Paused);
    host.command(Command::Resume(id(1)));
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
}

#[test]
fn cancelled_upload_is_aborted_then_forgotten_and_nothing_else() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put", "stage 10"]);
    host.command(Command::Cancel(id(1)));
    host.log.clear();
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Cancelled);
    let mut log = host.log.clone();
    log.sort();
    assert_eq!(log, ["forget"]);
}

#[test]
fn cancelled_before_the_start_is_answered_awaits_the_session_to_abort_it() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["start"]);
    host.command(Command::Cancel(id(1)));
    host.fail("start", no_answer());
    assert!(!host.waits_for("start"));
    host.wait();
    host.run();
    assert_eq!(
        (host.count("start"), host.count("abort"), host.count("forget")),
        (2, 1, 1)
    );
}

#[test]
fn outcome_of_a_cancelled_or_unknown_action_is_counted_and_ignored() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    let (put, _) = host.actions[0].clone();
    host.command(Command::Pause(id(1)));
    let before = host.snapshot(id(1));
    host.input(Input::Done(put, Outcome::Put));
    host.input(Input::Done(upload_engine::ActionId(9_999), Outcome::Done));
    assert_eq!((host.engine.stale_outcomes(), host.snapshot(id(1))), (2, before));
}

#[test]
fn server_that_cuts_otherwise_is_followed() {
    let mut host = Host::new();
    host.part_size_bytes = 2 * PART;
    host.pick(id(1), "a", 10 * PART);
    host.run();
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.part_count),
        (UploadStatus::Completed, 5)
    );
}

#[test]
fn ended_upload_can_be_dismissed_and_a_running_one_not() {
    let mut host = Host::new();
    host.pick(id(1), "a", PART);
    host.command(Command::Dismiss(id(1)));
    assert_eq!(host.engine.snapshots(host.now).len(), 1);
    host.run();
    host.command(Command::Dismiss(id(1)));
    assert_eq!(host.engine.snapshots(host.now).len(), 0);
}

#[test]
fn failed_upload_that_is_dismissed_leaves_nothing_behind() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put", "seal"]);
    host.fail(
        "seal",
        host::server_error(upload_protocol::ErrorCode::TokenRefused),
    );
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Failed);
    host.command(Command::Dismiss(id(1)));
    host.run();
    assert_eq!(host.engine.snapshots(host.now).len(), 0);
    assert_eq!((host.count("abort"), host.count("forget")), (1, 1));
}

#[test]
fn checkpoint_of_a_long_upload_is_saved_anew_each_day() {
    let mut host = Host::new();
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    host.command(Command::Pause(id(1)));
    host.run();
    let saved = host.count("save");
    for day in 1..=10 {
        host.advance(24 * 3600 * 1000);
        host.run();
        assert_eq!(host.count("save"), saved + day);
    }
}

#[test]
fn file_above_the_largest_object_fails_by_name_and_limit() {
    let mut host = Host::new();
    host.pick(id(1), "a", 50_000_000_000_001);
    let error = host.snapshot(id(1)).error.unwrap();
    assert_eq!(error.code, "file_too_large");
    assert!(error.detail.contains("50000000000001"), "{}", error.detail);
}

#[test]
fn restored_upload_sends_only_what_neither_store_nor_confirmation_has() {
    let mut host = Host::new();
    host.pick(id(1), "a", 10 * PART);
    host.run_but(&["put"]);
    let saved = last_checkpoint(&mut host, 10 * PART);
    let mut later = Host::new();
    later.size_bytes = 10 * PART;
    let staged = (5..=10).map(|number| staged(&later, number)).collect();
    later.command(Command::Restore {
        checkpoint: saved,
        staged,
    });
    let truth = later.session_with(&[1, 2, 3, 4, 9]);
    later.answer("fetch", Outcome::Session(Box::new(truth)));
    later.run();
    let snapshot = later.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.resumed),
        (UploadStatus::Completed, true)
    );
    assert_eq!(
        (later.count("put"), later.count("put 9"), later.count("hash")),
        (5, 0, 0)
    );
}

#[test]
fn restored_upload_with_bytes_nowhere_needs_its_file_and_takes_only_that() {
    let mut host = Host::new();
    host.pick(id(1), "a", 4 * PART);
    host.run_but(&["put"]);
    let saved = last_checkpoint(&mut host, 4 * PART);
    let mut later = Host::new();
    later.size_bytes = 4 * PART;
    later.command(Command::Restore {
        checkpoint: saved,
        staged: vec![staged(&host, 4)],
    });
    let truth = later.session_with(&[1]);
    later.answer("fetch", Outcome::Session(Box::new(truth)));
    assert_eq!(later.snapshot(id(1)).status, UploadStatus::NeedsFile);

    // Same name and size, other content: refused by name, nothing of it sent.
    later.run();
    let sent = later.count("put");
    later.content = 2;
    later.pick(id(2), "a", 4 * PART);
    later.run();
    let snapshot = later.snapshot(id(1));
    assert_eq!(
        (snapshot.status, later.count("put")),
        (UploadStatus::NeedsFile, sent)
    );
    let error = snapshot.error.unwrap();
    assert!(
        error.code == "file_refused" && error.detail.contains("differs in part 1"),
        "{error:?}"
    );
    assert!(
        later
            .events
            .iter()
            .any(|event| matches!(event, Event::FileRefused { name, .. } if name == "a"))
    );

    // The right one finishes it without sending again what the store holds.
    later.content = 1;
    later.command(Command::Provide {
        upload: id(1),
        source: SourceId(3),
        file: file("b", 4 * PART),
    });
    later.run();
    assert_eq!(later.snapshot(id(1)).status, UploadStatus::Completed);
    assert_eq!(
        (later.count("put 1"), later.count("put 2"), later.count("put 4")),
        (0, 1, 1)
    );
}

#[test]
fn file_of_another_size_is_refused_without_being_read() {
    let mut host = Host::new();
    host.pick(id(1), "a", 4 * PART);
    host.run_but(&["put"]);
    let saved = last_checkpoint(&mut host, 4 * PART);
    let mut later = Host::new();
    later.size_bytes = 4 * PART;
    later.command(Command::Restore {
        checkpoint: saved,
        staged: Vec::new(),
    });
    later.run();
    later.command(Command::Provide {
        upload: id(1),
        source: SourceId(3),
        file: file("a", 4 * PART - 1),
    });
    assert_eq!(later.count("hash"), 0);
    assert!(
        later
            .snapshot(id(1))
            .error
            .unwrap()
            .detail
            .contains("33554431 bytes instead of 33554432")
    );
}

#[test]
fn session_that_the_server_completed_meanwhile_is_complete() {
    let mut host = Host::new();
    host.pick(id(1), "a", 4 * PART);
    host.run_but(&["put"]);
    let saved = last_checkpoint(&mut host, 4 * PART);
    let mut later = Host::new();
    later.size_bytes = 4 * PART;
    later.command(Command::Restore {
        checkpoint: saved,
        staged: Vec::new(),
    });
    let mut truth = later.session_with(&[]);
    truth.status = upload_protocol::SessionStatus::Completed;
    truth.completed = Some(later.completed());
    later.answer("fetch", Outcome::Session(Box::new(truth)));
    assert_eq!(later.snapshot(id(1)).status, UploadStatus::Completed);
    assert!(later.waits_for("forget"));
}

#[test]
fn store_that_answers_another_checksum_at_the_end_is_never_a_success() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["complete"]);
    let mut wrong = host.completed();
    wrong.checksum_crc64nvme = Some(upload_protocol::Crc64Nvme(1));
    host.answer("complete", Outcome::Completed(wrong));
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.error.unwrap().code),
        (UploadStatus::Failed, "checksum_mismatch")
    );
}

fn staged(host: &Host, number: u32) -> upload_engine::StagedPart {
    upload_engine::StagedPart {
        part: part(number),
        crc: host::crc(host.content, part(number)),
        size_bytes: PART,
    }
}

/// What is on disk after the host saved everything it was asked to.
fn last_checkpoint(host: &mut Host, size_bytes: u64) -> Box<upload_protocol::Checkpoint> {
    host.size_bytes = size_bytes;
    host.command(Command::Pause(id(1)));
    host.command(Command::Resume(id(1)));
    let (_, action) = host.take("save");
    let Action::SaveCheckpoint { mut checkpoint } = action else {
        unreachable!()
    };
    checkpoint.intent = upload_protocol::CheckpointIntent::Run;
    assert!(checkpoint.session.is_some());
    checkpoint
}
