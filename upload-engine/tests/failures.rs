//! What follows when something goes wrong, case by case.

mod host;

use host::{Host, PART, id, no_answer, server_error, store_error};
use upload_engine::{Command, Event, Failure, Input, UploadStatus, WaitingFor};
use upload_protocol::{ErrorCode, SessionStatus};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn sending(parts: u64) -> Host {
    let mut host = Host::new();
    host.pick(id(1), "a", parts * PART);
    host.run_but(&["put"]);
    host
}

fn completes(mut host: Host) -> Host {
    for _ in 0..500 {
        host.run();
        if host.snapshot(id(1)).status == UploadStatus::Completed {
            return host;
        }
        host.wait();
    }
    panic!("never completed: {:?}", host.snapshot(id(1)));
}

#[test]
fn lost_connection_is_tried_again_after_a_back_off() {
    let mut host = sending(2);
    host.fail("put 1", no_answer());
    assert!(!host.waits_for("put 1"));
    host.advance(600);
    assert_eq!(completes(host).count("put 1"), 2);
}

#[test]
fn refused_url_is_replaced_at_once_and_for_free() {
    let mut host = sending(2);
    host.fail("put 1", store_error(403, "AccessDenied"));
    host.succeed("sign");
    assert!(host.waits_for("put 1"));
    assert_eq!(host.count("fetch"), 0);
    completes(host);
}

#[test]
fn url_refused_a_second_time_asks_for_the_truth() {
    let mut host = sending(2);
    host.fail("put 1", store_error(403, "AccessDenied"));
    host.succeed("sign");
    host.fail("put 1", store_error(403, "AccessDenied"));
    assert!(host.waits_for("fetch"));
    completes(host);
}

#[test]
fn url_past_its_age_is_not_used() {
    let mut host = Host::new();
    host.url_lifetime_seconds = 60;
    host.pick(id(1), "a", 8 * PART);
    host.run_but(&["put"]);
    let signed = host.count("sign");
    host.advance(25_000);
    for number in 1..=6 {
        host.input(Input::Progress(host.actions[number - 1].0, 1));
    }
    host.advance(26_000);
    host.succeed("put 1");
    assert!(host.count("sign") > signed, "{:?}", host.log);
    completes(host);
}

#[test]
fn store_that_refuses_for_good_fails_the_upload_with_its_words() {
    let mut host = sending(1);
    for _ in 0..20 {
        if host.snapshot(id(1)).status == UploadStatus::Failed {
            break;
        }
        while !host.waits_for("put") {
            host.wait();
            host.run_but(&["put"]);
        }
        host.fail("put", store_error(400, "EntityTooLarge"));
    }
    let error = host.snapshot(id(1)).error.unwrap();
    assert_eq!(error.code, "store_refused_part");
    assert!(
        error.detail.contains("part 1 was refused 6 times"),
        "{}",
        error.detail
    );
    // A person may try again.
    host.command(Command::Resume(id(1)));
    completes(host);
}

#[test]
fn stalled_attempt_is_cut_off_and_sent_again() {
    let mut host = sending(1);
    host.advance(29_999);
    assert!(host.cancelled.is_empty());
    host.advance(1);
    assert_eq!(host.cancelled.len(), 1);
    assert_eq!(completes(host).count("put 1"), 2);
}

#[test]
fn progress_keeps_a_slow_attempt_alive() {
    let mut host = sending(1);
    for _ in 0..10 {
        host.advance(20_000);
        let (put, _) = host.actions[0].clone();
        host.input(Input::Progress(put, 1));
    }
    assert!(host.cancelled.is_empty());
}

#[test]
fn rotten_copy_is_read_again_from_the_file() {
    let mut host = sending(20);
    for number in 1..=6 {
        host.succeed(&format!("put {number}"));
    }
    while !host.waits_for("put 7") {
        host.run_but(&["put"]);
        if !host.waits_for("put 7") {
            host.wait();
        }
    }
    // Once is enough: its file is at hand.
    host.fail("put 7", store_error(400, "BadDigest"));
    assert!(host.waits_for("free 7"));
    assert!(completes(host).count("hash 7") >= 1);
}

#[test]
fn changed_file_is_named_and_what_is_nowhere_needs_it_again() {
    let mut host = Host::new();
    host.pick(id(1), "holiday.mov", 40 * PART);
    host.run_but(&["put", "stage"]);
    host.fail(
        "stage",
        Failure::SourceUnreadable {
            detail: "it was moved".into(),
        },
    );
    host.run_but(&["put"]);
    let snapshot = host.snapshot(id(1));
    let error = snapshot.error.unwrap();
    assert_eq!(
        (snapshot.status, error.code),
        (UploadStatus::NeedsFile, "source_changed")
    );
    assert!(error.detail.contains("holiday.mov"));
    assert!(
        host.events
            .iter()
            .any(|event| matches!(event, Event::SourceReleased(_)))
    );
}

#[test]
fn full_disk_stops_staging_and_nothing_else() {
    let mut host = Host::new();
    host.pick(id(1), "a", 40 * PART);
    host.run_but(&["put", "stage"]);
    host.fail("stage", Failure::QuotaExceeded);
    host.fail("stage", Failure::QuotaExceeded);
    assert!(!host.waits_for("stage"));
    completes(host);
}

#[test]
fn session_aborted_at_the_store_starts_afresh_under_a_new_key() {
    let mut host = sending(8);
    host.succeed("put 1");
    host.fail("put 2", store_error(404, "NoSuchUpload"));
    let mut gone = host.session_with(&[]);
    gone.status = SessionStatus::Aborted;
    host.answer("fetch", upload_engine::Outcome::Session(Box::new(gone)));
    let host = completes(host);
    assert_eq!((host.count("start 1"), host.count("put 1")), (1, 2));
}

#[test]
fn session_that_is_lost_again_and_again_fails_in_the_end() {
    let mut host = sending(1);
    for _ in 0..6 {
        host.fail("put", store_error(404, "NoSuchUpload"));
        while !host.waits_for("fetch") {
            host.wait();
        }
        host.fail("fetch", server_error(ErrorCode::SessionAborted));
        host.run_but(&["put"]);
    }
    assert_eq!(host.snapshot(id(1)).error.unwrap().code, "session_aborted");
}

#[test]
fn silent_server_is_waited_for_by_name() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start", "stage"]);
    for _ in 0..30 {
        host.fail("start", no_answer());
        let snapshot = host.snapshot(id(1));
        assert_eq!(
            (snapshot.status, snapshot.waiting_for),
            (UploadStatus::Waiting, Some(WaitingFor::Server))
        );
        while !host.waits_for("start") {
            host.wait();
        }
    }
    completes(host);
}

#[test]
fn network_that_comes_back_ends_the_wait_at_once() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start"]);
    host.input(Input::Connectivity { online: false });
    host.fail("start", no_answer());
    assert_eq!(host.snapshot(id(1)).waiting_for, Some(WaitingFor::Network));
    assert!(!host.waits_for("start"));
    host.input(Input::Connectivity { online: true });
    assert!(host.waits_for("start"));
}

#[test]
fn machine_that_slept_sends_again_what_was_in_flight() {
    let mut host = sending(3);
    host.input(Input::ClockJumped);
    assert_eq!(host.cancelled.len(), 3);
    completes(host);
}

#[test]
fn start_refused_for_want_of_credentials_is_made_again_as_soon_as_there_are_others() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start"]);
    host.fail("start", server_error(ErrorCode::Unauthorized));
    let snapshot = host.snapshot(id(1));
    assert_eq!(
        (snapshot.status, snapshot.waiting_for),
        (UploadStatus::Waiting, Some(WaitingFor::Credentials))
    );
    assert!(!host.waits_for("start"));
    host.input(Input::CredentialsRenewed);
    assert!(host.waits_for("start"));
    completes(host);
}

#[test]
fn call_refused_by_what_stands_before_the_server_waits_for_credentials_too() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start"]);
    host.fail("start", store_error(401, ""));
    assert_eq!(host.snapshot(id(1)).waiting_for, Some(WaitingFor::Credentials));
}

#[test]
fn other_credentials_end_no_wait_for_the_server() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start"]);
    host.fail("start", server_error(ErrorCode::SessionStoreUnavailable));
    host.input(Input::CredentialsRenewed);
    assert!(!host.waits_for("start"));
    assert_eq!(host.snapshot(id(1)).waiting_for, Some(WaitingFor::Server));
}

#[test]
fn upload_cancelled_while_it_waits_for_credentials_is_over() {
    let mut host = Host::new();
    host.pick(id(1), "a", 2 * PART);
    host.run_but(&["start"]);
    host.fail("start", server_error(ErrorCode::Unauthorized));
    host.command(upload_engine::Command::Cancel(id(1)));
    host.run_but(&["start"]);
    while host.waits_for("start") {
        host.fail("start", server_error(ErrorCode::Unauthorized));
    }
    host.run();
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Cancelled);
}

#[test]
fn completion_that_finds_parts_missing_sends_them_again() {
    let mut host = sending(3);
    host.run_but(&["complete"]);
    host.fail("complete", server_error(ErrorCode::PartsMissing));
    let truth = host.session_with(&[1, 3]);
    host.answer("fetch", upload_engine::Outcome::Session(Box::new(truth)));
    let host = completes(host);
    assert_eq!((host.count("put 1"), host.count("put 2")), (1, 2));
}

#[test]
fn no_error_or_event_ever_shows_a_signature() {
    let mut host = sending(2);
    host.fail("put 1", store_error(403, "AccessDenied"));
    let seen = format!("{:?} {:?} {:?}", host.events, host.actions, host.engine);
    assert!(!seen.contains("X-Amz-Signature"));
}

#[test]
fn part_that_failed_does_not_starve_beside_an_upload_that_always_has_one_ready() {
    let mut host = Host::new();
    host.pick(id(1), "small", PART);
    host.run_but(&["put", "complete"]);
    host.pick(id(2), "large", 40 * PART);
    host.size_bytes = 40 * PART;
    host.run_but(&["put", "complete"]);
    host.fail("put", no_answer());
    for _ in 0..10 {
        host.advance(1_000);
        host.run_but(&["put", "complete"]);
        host.succeed("put");
        host.run_but(&["put", "complete"]);
    }
    let small = host.snapshot(id(1));
    assert!(
        small.parts_in_flight == 1 || small.status == UploadStatus::Completing,
        "{small:?}"
    );
}
