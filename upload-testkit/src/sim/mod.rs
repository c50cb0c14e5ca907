//! The engine in a simulated world: a virtual clock, a seeded network, models of server, store and disk,
//! a person, and invariants checked after every step.
//!
//! The same seed and options give the same run, to the last output. A file's bytes are never made: a
//! stretch of them is told apart by where it comes from (`content.rs`), so that 10,000 parts are
//! simulated in a fraction of a second. What must hold stands in `oracle.rs` and `inspect.rs`.

mod content;
mod disk;
mod host;
mod inspect;
mod network;
mod options;
mod oracle;
mod person;
mod server;
mod store;
mod world;

use std::fmt;

pub use self::options::{Faults, Options, Person};

/// What a run was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Virtual time from beginning to end in ms.
    pub took_ms: u64,
    /// Outputs of all engines.
    pub outputs: u64,
    /// Times the host was killed.
    pub kills: u32,
    /// Uploads that ended completed, cancelled, and waiting for their file.
    pub completed: u32,
    /// See `completed`.
    pub cancelled: u32,
    /// See `completed`.
    pub needs_file: u32,
    /// Times an upload failed; the person resumed it in the end.
    pub failures: u32,
    /// Wrong files that were refused.
    pub refused: u32,
    /// Parts that arrived at the store although they were there.
    pub parts_stored_again: u64,
    /// Times that an upload was said to be safe, and proved to be by a kill.
    pub proved_safe: u32,
    /// Calls that served several uploads.
    pub shared_calls: u32,
    /// Reports that were replayed and did the same again.
    pub replays: u32,
}

/// What must not happen, did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The run.
    pub seed: u64,
    /// The options' name.
    pub preset: &'static str,
    /// When, in virtual ms.
    pub at_ms: u64,
    /// What must hold.
    pub rule: &'static str,
    /// What held instead.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            preset,
            at_ms,
            rule,
            detail,
        } = self;
        write!(
            f,
            "seed {seed} ({preset}) at {at_ms} ms: {rule}: {detail}\n\
             replay: cargo run -p upload-testkit --bin sim -- --seed {seed} --preset {preset} --trace"
        )
    }
}

impl std::error::Error for Violation {}

/// Runs one world to its end.
///
/// # Errors
/// The first thing that must not happen and did.
pub fn run(seed: u64, options: &Options) -> Result<Report, Violation> {
    world::World::new(seed, options.clone(), None).run()
}

/// Like [`run`], and tells every step as a line.
///
/// # Errors
/// The first thing that must not happen and did.
pub fn run_traced(seed: u64, options: &Options, tell: Box<dyn FnMut(&str)>) -> Result<Report, Violation> {
    world::World::new(seed, options.clone(), Some(tell)).run()
}
