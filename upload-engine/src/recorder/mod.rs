//! The flight recorder: what an engine was told, in a ring of bounded size, as a bug report.
//!
//! The engine is deterministic, so its configuration, its seed and its inputs in order are all there is
//! to know. Names, URLs, tokens, keys and servers' words are left out (`record.rs`); none of them changes
//! what the engine does, but whether two files have the same name, which a pseudonym keeps.

mod record;
mod redact;
mod replay;
mod ring;

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

pub use replay::{Replay, ReplayError, ReplayStep};

use crate::action::{Action, Command, Input, Output};
use crate::config::EngineConfig;
use crate::time::Timestamp;
use record::Record;
use redact::Redaction;
use ring::Ring;

/// What an engine has been told, to be kept and replayed. Holds no name, URL, token or key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`Report::FORMAT`].
    pub format: String,
    /// Version of the engine that wrote it. Another version may do something else when told the same.
    pub engine_version: String,
    /// Inputs it holds.
    pub records: u64,
    /// Inputs that no longer fit, from the beginning: with any, it can be read but not replayed.
    pub records_dropped: u64,
    /// Configuration, seed and inputs: base64 of their postcard form.
    pub data: String,
}

impl Report {
    /// Name and version of the form. A report of another is not read.
    pub const FORMAT: &'static str = "holdfast-report/1";
}

/// What stands before the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    config: EngineConfig,
    seed: u64,
    outputs: Outputs,
}

/// What an engine did, in short: two runs that agree in this did the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outputs {
    count: u64,
    digest: u64,
}

/// A record and how long after the one before it happened, in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    after_ms: u64,
    record: Record,
}

/// Bytes of records that are kept: some hours of uploading. Taken at once, so that memory does not grow
/// with what is uploaded.
const CAPACITY_BYTES: usize = 2 * 1024 * 1024;

/// What was written down, to be read at any time: also by whoever reports a panic of the engine itself.
#[derive(Debug, Clone)]
pub struct Recording {
    tape: Arc<Mutex<Tape>>,
}

#[derive(Debug)]
struct Tape {
    config: EngineConfig,
    seed: u64,
    ring: Ring,
    outputs: Outputs,
}

/// Writes down what an engine is told.
#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    redaction: Redaction,
    last_at: Timestamp,
}

impl Recording {
    /// What the engine has been told so far.
    pub fn report(&self) -> Report {
        self.with_tape(|tape| {
            let head = Head {
                config: tape.config.clone(),
                seed: tape.seed,
                outputs: tape.outputs,
            };
            // Plain data of these types always has a postcard form; a report must never be what fails.
            let mut data = postcard::to_allocvec(&head).unwrap_or_default();
            data.extend(tape.ring.records());
            Report {
                format: Report::FORMAT.to_owned(),
                engine_version: env!("CARGO_PKG_VERSION").to_owned(),
                records: tape.ring.len(),
                records_dropped: tape.ring.dropped(),
                data: STANDARD.encode(data),
            }
        })
    }

    fn with_tape<T>(&self, work: impl FnOnce(&mut Tape) -> T) -> T {
        // A tape whose writer panicked is what one wants to read most.
        work(&mut self.tape.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recorder {
    pub(crate) fn new(config: EngineConfig, seed: u64) -> Self {
        let tape = Tape {
            config,
            seed,
            ring: Ring::new(CAPACITY_BYTES),
            outputs: Outputs::default(),
        };
        Self {
            recording: Recording {
                tape: Arc::new(Mutex::new(tape)),
            },
            redaction: Redaction::default(),
            last_at: Timestamp::default(),
        }
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.recording
    }

    pub(crate) fn on_command(&mut self, now: Timestamp, command: &Command) {
        let record = Record::Command(record::command(&mut self.redaction, command));
        self.keep(now, record);
    }

    pub(crate) fn on_input(&mut self, now: Timestamp, input: &Input) {
        self.keep(now, Record::Input(record::input(input)));
    }

    /// A deadline was reached.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        self.keep(now, Record::Time);
    }

    /// The engine has come to rest after what it was told; all it has done so far, in short.
    pub(crate) fn on_settled(&self, outputs: Outputs) {
        self.recording.with_tape(|tape| tape.outputs = outputs);
    }

    fn keep(&mut self, now: Timestamp, record: Record) {
        let after_ms = now.millis_since(self.last_at);
        self.last_at = now;
        let entry = postcard::to_allocvec(&Entry { after_ms, record });
        self.recording.with_tape(|tape| match entry {
            Ok(bytes) => tape.ring.push(&bytes),
            Err(_) => tape.ring.lose(),
        });
    }
}

impl Outputs {
    pub(crate) fn add(&mut self, output: &Output) {
        self.count += 1;
        // By what names and secrets have no part in.
        let words: [u64; 3] = match output {
            Output::Event(event) => [1, 0, kind_of_event(event)],
            Output::Action(id, action) => {
                let (kind, part) = kind_of_action(action);
                [id.0, kind, part]
            }
        };
        for word in words {
            self.digest = redact::mix(self.digest, word);
        }
    }
}

fn kind_of_action(action: &Action) -> (u64, u64) {
    use crate::action::SessionCall;
    match action {
        Action::HashPart { part, .. } => (1, part.value().into()),
        Action::StagePart { part, .. } => (2, part.value().into()),
        Action::FreePart { part, .. } => (3, part.value().into()),
        Action::Forget { .. } => (4, 0),
        Action::SaveCheckpoint { .. } => (5, 0),
        Action::Start { .. } => (6, 0),
        Action::StartMany { request } => (7, request.starts.len() as u64),
        Action::CompleteMany { request } => (8, request.completes.len() as u64),
        Action::PutPart { part, .. } => (9, part.value().into()),
        Action::Cancel(id) => (10, id.0),
        Action::Call { call, .. } => match call {
            SessionCall::Sign(request) => (11, request.parts.len() as u64),
            SessionCall::Fetch => (12, 0),
            SessionCall::Seal(_) => (13, 0),
            SessionCall::Complete(_) => (14, 0),
            SessionCall::Abort => (15, 0),
        },
    }
}

fn kind_of_event(event: &crate::action::Event) -> u64 {
    use crate::action::Event;
    match event {
        Event::Safe(_) => 1,
        Event::Completed(_) => 2,
        Event::Failed(_) => 3,
        Event::FileRefused { .. } => 4,
        Event::FileAccepted { .. } => 5,
        Event::SourceReleased(_) => 6,
    }
}
