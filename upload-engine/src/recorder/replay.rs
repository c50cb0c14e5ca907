//! Telling a new engine what another one was told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::record::{Broken, Record};
use super::{Entry, Head, Outputs, Report};
use crate::action::{Command, Input, Output};
use crate::engine::Engine;
use crate::time::Timestamp;

/// The report can't be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is of another form.
    #[error("the report's format is `{0}`, this build reads `{expected}`", expected = Report::FORMAT)]
    Format(String),
    /// Its beginning is missing.
    #[error("the report lacks its first {0} inputs: the ring was full, so it can't be replayed")]
    BeginningDropped(u64),
    /// It is cut short or changed.
    #[error("the report can't be read past input {0}")]
    Unreadable(u64),
}

/// One step of a replay: what the engine was told, and what it did then.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayStep {
    /// A command, at this time.
    Command(Timestamp, Command),
    /// An input, at this time.
    Input(Timestamp, Input),
    /// A deadline was reached, at this time.
    Time(Timestamp),
    /// The engine's answer.
    Output(Output),
}

/// A new engine that is told what another one was told.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    data: Vec<u8>,
    position: usize,
    now: Timestamp,
    records: u64,
    told: u64,
    expected: Outputs,
}

impl Replay {
    /// Prepares a replay.
    ///
    /// # Errors
    /// [`ReplayError`] when the report is of another form or lacks its beginning.
    pub fn of(report: &Report) -> Result<Self, ReplayError> {
        if report.format != Report::FORMAT {
            return Err(ReplayError::Format(report.format.chars().take(40).collect()));
        }
        if report.records_dropped > 0 {
            return Err(ReplayError::BeginningDropped(report.records_dropped));
        }
        let data = STANDARD
            .decode(&report.data)
            .map_err(|_| ReplayError::Unreadable(0))?;
        let (head, rest) =
            postcard::take_from_bytes::<Head>(&data).map_err(|_| ReplayError::Unreadable(0))?;
        Ok(Self {
            engine: Engine::new(head.config, head.seed),
            position: data.len() - rest.len(),
            data,
            now: Timestamp::default(),
            records: report.records,
            told: 0,
            expected: head.outputs,
        })
    }

    /// Tells the engine the next thing it was told, and passes on what it did. `false` at the end.
    ///
    /// # Errors
    /// [`ReplayError::Unreadable`] when the report is cut short or changed.
    pub fn step(&mut self, mut tell: impl FnMut(&ReplayStep)) -> Result<bool, ReplayError> {
        if self.told == self.records {
            return Ok(false);
        }
        let unreadable = ReplayError::Unreadable(self.told);
        let (entry, rest) = postcard::take_from_bytes::<Entry>(&self.data[self.position..])
            .map_err(|_| unreadable.clone())?;
        self.position = self.data.len() - rest.len();
        self.told += 1;
        self.now = self.now + entry.after_ms;
        let step = self.told_step(entry.record).map_err(|Broken| unreadable)?;
        tell(&step);
        match step {
            ReplayStep::Command(now, command) => self.engine.command(now, command),
            ReplayStep::Input(now, input) => self.engine.handle(now, input),
            ReplayStep::Time(_) | ReplayStep::Output(_) => {}
        }
        while let Some(output) = self.engine.poll(self.now) {
            tell(&ReplayStep::Output(output));
        }
        Ok(true)
    }

    /// Whether the engine has done the same as the one that was recorded, once the end is reached.
    pub fn agrees(&self) -> bool {
        self.engine.outputs() == self.expected
    }

    /// The engine as it stands now.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many things it has been told.
    pub fn told(&self) -> u64 {
        self.told
    }

    fn told_step(&self, record: Record) -> Result<ReplayStep, Broken> {
        Ok(match record {
            Record::Command(command) => ReplayStep::Command(self.now, command.into_command()?),
            Record::Input(input) => ReplayStep::Input(self.now, input.into_input()?),
            Record::Time => ReplayStep::Time(self.now),
        })
    }
}
