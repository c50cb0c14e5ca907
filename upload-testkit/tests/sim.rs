//! The engine in 300 simulated worlds, and each kind of world once more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use upload_testkit::sim::{self, Options, Report};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn run(seed: u64, options: &Options) -> Report {
    let run = catch_unwind(AssertUnwindSafe(|| sim::run(seed, options)));
    let preset = options.preset;
    let Ok(result) = run else {
        panic!("replay: cargo run -p upload-testkit --bin sim -- --seed {seed} --preset {preset} --trace");
    };
    result.unwrap_or_else(|violation| panic!("{violation}"))
}

fn sum(reports: &[Report], field: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(field).sum()
}

#[test]
fn three_hundred_worlds_keep_every_promise() {
    let reports: Vec<_> = (0..300).map(|seed| run(seed, &Options::for_seed(seed))).collect();
    // A world in which nothing happens proves nothing.
    assert!(sum(&reports, |report| report.completed.into()) > 1_000);
    assert!(sum(&reports, |report| report.kills.into()) > 150);
    assert!(sum(&reports, |report| report.proved_safe.into()) > 1_000);
    assert!(sum(&reports, |report| report.cancelled.into()) > 15);
    assert!(sum(&reports, |report| report.refused.into()) > 50);
    assert!(sum(&reports, |report| report.needs_file.into()) > 5);
    assert!(sum(&reports, |report| report.parts_stored_again) > 50);
}

#[test]
fn same_seed_gives_the_same_run() {
    for options in Options::presets() {
        if options.preset != "huge" {
            assert_eq!(run(7, &options), run(7, &options), "{}", options.preset);
        }
    }
}

#[test]
fn calm_world_sends_every_part_once() {
    for seed in 0..20 {
        let report = run(seed, &Options::calm());
        assert_eq!(
            (report.parts_stored_again, report.failures),
            (0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn ten_thousand_parts_survive_kills() {
    let options = Options {
        kill: 0.000_2,
        ..Options::huge()
    };
    let report = run(1, &options);
    assert_eq!((report.completed, report.kills), (1, 2));
}
