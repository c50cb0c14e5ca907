//! Every limit of the engine at its value and one beside it.

mod host;

use host::{Host, PART, id, no_answer, server_error, store_error};
#[cfg(not(target_arch = "wasm32"))]
use proptest::prelude::*;
use upload_engine::{Action, Command, EngineConfig, Input, SessionCall, SourceId, UploadStatus};
use upload_protocol::ErrorCode;
use upload_protocol::limits::{BATCH_LENGTH_MAX, OBJECT_SIZE_BYTES_MAX};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn sending(parts: u64, config: EngineConfig) -> Host {
    let mut host = Host::with(config);
    host.pick(id(1), "a", parts * PART);
    host.run_but(&["put"]);
    host
}

/// Goes from deadline to deadline until an action of the kind is under way.
fn wait_for(host: &mut Host, kind: &str) {
    while !host.waits_for(kind) {
        host.wait();
        host.run_but(&["put", kind]);
    }
}

#[test]
fn attempt_is_cut_off_at_its_time_limit_and_not_a_millisecond_before() {
    let limit = EngineConfig::default().stall_timeout_ms;
    let mut host = sending(3, EngineConfig::default());
    host.advance(limit - 1);
    assert_eq!(host.cancelled.len(), 0);
    host.advance(1);
    assert_eq!(host.cancelled.len(), 3);
}

#[test]
fn url_is_used_until_its_margin_and_not_a_millisecond_longer() {
    for (lifetime_seconds, usable_ms) in [
        (3600, 3_590_000),
        (60, 50_000),
        (40, 30_000),
        (2, 1_500),
        (1, 750),
    ] {
        for (wait_ms, signs_again) in [(usable_ms - 1, false), (usable_ms, true)] {
            let mut host = Host::new();
            host.url_lifetime_seconds = lifetime_seconds;
            host.pick(id(1), "a", PART);
            host.run_but(&["start", "put"]);
            let (start, action) = host.take("start");
            // The answer takes its time, and the URL's age counts from the question.
            let Action::Start { request, .. } = &action else {
                panic!()
            };
            let started = upload_engine::Outcome::Started(Box::new(host.started(request)));
            host.now = host.now + wait_ms;
            host.input(Input::Done(start, started));
            assert_eq!(
                host.waits_for("sign"),
                signs_again,
                "{lifetime_seconds} s, {wait_ms} ms"
            );
            assert_eq!(
                host.waits_for("put"),
                !signs_again,
                "{lifetime_seconds} s, {wait_ms} ms"
            );
        }
    }
}

#[test]
fn part_may_be_refused_as_often_as_the_limit_says_and_once_more_fails_the_upload() {
    for (refusals, fails) in [(5, false), (6, true)] {
        let mut host = sending(1, EngineConfig::default());
        for _ in 0..refusals {
            host.fail("put", store_error(400, "EntityTooLarge"));
            if host.snapshot(id(1)).status != UploadStatus::Failed {
                wait_for(&mut host, "put");
            }
        }
        assert_eq!(
            host.snapshot(id(1)).status == UploadStatus::Failed,
            fails,
            "{refusals}"
        );
    }
}

#[test]
fn five_sessions_may_be_lost_and_the_sixth_fails_the_upload() {
    for (losses, fails) in [(5, false), (6, true)] {
        let mut host = sending(2, EngineConfig::default());
        for _ in 0..losses {
            host.fail("put", store_error(404, "NoSuchUpload"));
            wait_for(&mut host, "fetch");
            host.fail("fetch", server_error(ErrorCode::SessionAborted));
            host.run_but(&["put"]);
        }
        assert_eq!(
            host.snapshot(id(1)).status == UploadStatus::Failed,
            fails,
            "{losses}"
        );
    }
}

#[test]
fn part_in_flight_is_copied_once_it_is_slow_and_not_a_millisecond_before() {
    let limit = EngineConfig::default().at_risk_ms_max;
    let mut host = sending(1, EngineConfig::default());
    host.advance(limit - 1);
    host.run_but(&["put"]);
    assert_eq!(host.count("stage"), 0);
    // Looked at again every half second.
    host.advance(500);
    assert_eq!(host.count("stage"), 1);
}

#[test]
fn checkpoint_is_saved_anew_after_a_day_and_not_a_millisecond_before() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let mut host = sending(3, EngineConfig::default());
    host.command(Command::Pause(id(1)));
    host.run();
    let saved = host.count("save");
    host.advance(DAY_MS - 1);
    assert_eq!(host.count("save"), saved);
    host.advance(1);
    assert_eq!(host.count("save"), saved + 1);
}

#[test]
fn calls_for_many_take_a_hundred_and_leave_the_next_for_another() {
    for (count, calls) in [
        (100, vec!["start many 100"]),
        (101, vec!["start many 100", "start 0"]),
    ] {
        let mut host = Host::with(EngineConfig {
            shared_calls_max: 1,
            ..EngineConfig::default()
        });
        host.pick(id(1_000), "first", 10);
        host.run_but(&["start"]);
        for upload in 0..count {
            host.pick(id(upload), "a", 10);
        }
        host.run_but(&["start"]);
        assert_eq!(host.kinds(), ["start 0"], "they gather while one is under way");
        host.log.clear();
        host.succeed("start 0");
        host.run_but(&["start", "put"]);
        host.succeed("start many");
        host.run_but(&["start", "put"]);
        let starts: Vec<_> = host.log.iter().filter(|kind| kind.starts_with("start")).collect();
        assert_eq!(starts, calls.iter().collect::<Vec<_>>());
    }
    assert_eq!(BATCH_LENGTH_MAX, 100);
}

#[test]
fn files_wait_their_turn_beyond_the_places_there_are() {
    let config = EngineConfig {
        active_uploads_max: 2,
        active_small_uploads_max: 3,
        ..EngineConfig::default()
    };
    for (size_bytes, places) in [(2 * PART, 2), (PART, 3)] {
        let mut host = Host::with(config.clone());
        for upload in 1..=5 {
            host.pick(id(upload), "a", size_bytes);
        }
        assert_eq!(host.count("save"), places);
    }
}

#[test]
fn largest_object_is_begun_and_a_byte_more_is_refused_before_the_first_request() {
    let mut host = Host::new();
    host.pick(id(1), "a", OBJECT_SIZE_BYTES_MAX);
    assert_eq!(host.snapshot(id(1)).status, UploadStatus::Queued);
    assert!(host.snapshot(id(1)).part_count <= 10_000);
    host.pick(id(2), "b", OBJECT_SIZE_BYTES_MAX + 1);
    let refused = host.snapshot(id(2));
    assert_eq!(
        (refused.status, refused.error.unwrap().code),
        (UploadStatus::Failed, "file_too_large")
    );
}

#[test]
fn staging_ends_where_the_room_does() {
    let reserve = EngineConfig::default().storage_reserve_bytes;
    for (room, staged) in [(2 * PART - 1, 1), (2 * PART, 2), (3 * PART - 1, 2)] {
        let mut host = Host::new();
        host.input(Input::Room {
            bytes: Some(reserve + room),
        });
        host.pick(id(1), "a", 20 * PART);
        host.run_but(&["put"]);
        assert_eq!(host.count("stage"), staged, "{room}");
    }
}

#[test]
fn small_files_are_copied_many_at_a_time_and_do_not_wait_for_a_large_one() {
    for (count, copied) in [(31, 31), (32, 32), (33, 32)] {
        let mut host = Host::new();
        host.pick(id(1_000), "large", 20 * PART);
        host.run_but(&["put", "stage"]);
        assert_eq!(host.count("stage"), 2);
        for upload in 0..count {
            host.pick(id(upload), "a", 10_000);
        }
        host.run_but(&["put", "stage"]);
        assert_eq!(host.count("stage"), 2 + copied, "{count}");
    }
}

#[test]
fn urls_are_asked_for_as_far_ahead_as_they_will_be_used() {
    // A part takes ten seconds, six at a time. A URL of an hour finds its turn whatever the queue: all that are hashed ask for theirs. One of
    // eight seconds is usable for six, and within half of that one turn comes beside the free slot.
    for (lifetime_seconds, ended, asked) in [(3600, 6, 5), (8, 1, 2)] {
        let mut host = Host::new();
        host.url_lifetime_seconds = lifetime_seconds;
        host.pick(id(1), "a", 60 * PART);
        host.run_but(&["put", "stage"]);
        host.advance(10_000);
        host.run_but(&["put", "stage", "sign"]);
        for _ in 0..ended {
            host.succeed("put");
            host.run_but(&["put", "stage", "sign"]);
        }
        let (_, action) = host.take("sign");
        let Action::Call {
            call: SessionCall::Sign(request),
            ..
        } = action
        else {
            panic!()
        };
        assert_eq!(request.parts.len(), asked, "{lifetime_seconds} s");
    }
}

#[test]
fn room_of_a_forgotten_upload_is_there_for_the_next() {
    let reserve = EngineConfig::default().storage_reserve_bytes;
    let mut host = Host::new();
    host.input(Input::Room {
        bytes: Some(reserve + 2 * PART),
    });
    host.pick(id(1), "a", 20 * PART);
    host.run_but(&["put"]);
    assert_eq!(host.count("stage"), 2);
    host.command(Command::Cancel(id(1)));
    host.run();
    host.pick(id(2), "b", 20 * PART);
    host.run_but(&["put"]);
    assert_eq!(host.count("stage"), 4);
}

#[test]
fn copies_make_way_at_confirmation_only_where_room_is_short() {
    let reserve = EngineConfig::default().storage_reserve_bytes;
    let rooms = [
        (None, false),
        (Some(reserve + 60 * PART), false),
        (Some(reserve + 8 * PART), true),
    ];
    for (room, frees) in rooms {
        let mut host = Host::new();
        host.input(Input::Room { bytes: room });
        host.pick(id(1), "a", 10 * PART);
        host.pick(id(2), "b", 20 * PART);
        host.run_but(&["put"]);
        for _ in 0..16 {
            host.succeed("put");
            host.run_but(&["put"]);
        }
        assert_eq!(host.count("free") > 0, frees, "{room:?}");
    }
}

#[test]
fn progress_is_heard_five_times_a_second() {
    let mut host = sending(1, EngineConfig::default());
    let (put, _) = host.take("put");
    for (after_ms, sent_bytes, heard) in [
        (199, 1_000, 0),
        (1, 2_000, 2_000),
        (199, 3_000, 2_000),
        (1, 4_000, 4_000),
    ] {
        host.advance(after_ms);
        host.input(Input::Progress(put, sent_bytes));
        assert_eq!(host.snapshot(id(1)).sent_bytes, heard);
    }
}

#[test]
fn bandwidth_limit_starts_parts_as_they_are_paid_for() {
    let mut host = sending(
        4,
        EngineConfig {
            bandwidth_bytes_per_second: Some(PART),
            ..EngineConfig::default()
        },
    );
    // A second's worth was saved up: one part at a balance above nothing, a second at nothing.
    assert_eq!(host.snapshot(id(1)).parts_in_flight, 2);
    host.advance(999);
    assert_eq!(host.snapshot(id(1)).parts_in_flight, 2);
    host.advance(1);
    assert_eq!(host.snapshot(id(1)).parts_in_flight, 3);
}

// Its generator needs the randomness of an operating system.
#[cfg(not(target_arch = "wasm32"))]
proptest! {
    #[test]
    fn picking_any_size_ends_completed_with_every_part_sent_once(
        parts in 0u64..40,
        offset in -1i64..=1,
        in_flight in 1u32..9,
    ) {
        let size_bytes = (parts * PART).saturating_add_signed(offset);
        let mut host = Host::with(EngineConfig { parts_in_flight_max: in_flight, ..EngineConfig::default() });
        host.pick(id(1), "a", size_bytes);
        host.run();
        prop_assert_eq!(host.snapshot(id(1)).status, UploadStatus::Completed);
        prop_assert_eq!(host.count("put") as u64, size_bytes.div_ceil(PART).max(1));
    }

    #[test]
    fn waits_grow_with_failures_and_stay_within_their_bounds(failures in 1u32..40) {
        let config = EngineConfig::default();
        let (least, most) = (config.retry_delay_ms_min / 2, config.retry_delay_ms_max);
        let mut host = sending(1, config);
        for _ in 0..failures {
            let before = host.now;
            host.fail("put", no_answer());
            // The next deadline may be another: a look at staging, for one.
            wait_for(&mut host, "put");
            let waited = host.now.millis_since(before);
            prop_assert!((least..=most + 500).contains(&waited), "{}", waited);
        }
    }

    #[test]
    fn parts_in_flight_never_exceed_the_limit_over_any_number_of_uploads(
        limit in 1u32..9,
        uploads in 1u128..12,
    ) {
        let mut host = Host::with(EngineConfig { parts_in_flight_max: limit, ..EngineConfig::default() });
        for upload in 0..uploads {
            host.command(Command::Pick {
                upload: id(upload),
                source: SourceId(1),
                file: host::file("a", 5 * PART),
                as_new: true,
            });
        }
        host.size_bytes = 5 * PART;
        host.run_but(&["put"]);
        let in_flight: u32 = (0..uploads).map(|upload| host.snapshot(id(upload)).parts_in_flight).sum();
        let sendable = u32::try_from(uploads * 5).unwrap();
        prop_assert_eq!(in_flight, limit.min(sendable).min(6));
    }
}
