//! Holdfast's upload engine: decides what is hashed, staged, signed, sent, retried and completed.
//!
//! It does no I/O, reads no clock and draws no randomness but from its seed; file bytes never enter it.
//! The same inputs at the same times give the same outputs, in a browser, in a command line tool and in
//! the simulator. [`Engine`] is the way in; `upload.rs` shows the states and the order of the machines.

mod action;
mod calls;
mod concurrency;
mod config;
mod context;
mod control;
mod engine;
mod indexes;
mod owners;
mod pacing;
mod part;
mod progress;
mod reading;
mod recorder;
mod resume;
mod retry;
mod room;
mod sending;
mod shares;
mod snapshot;
mod staging;
mod time;
mod upload;
mod verify;
mod view;

pub use action::{
    Action, ActionId, Command, Event, Failure, Input, Outcome, Output, PartBytes, SessionCall, SourceId,
    StagedPart,
};
pub use config::EngineConfig;
pub use engine::Engine;
pub use recorder::{Recording, Replay, ReplayError, ReplayStep, Report};
pub use snapshot::{
    CELLS_MAX, Cell, Durability, Integrity, UploadError, UploadSnapshot, UploadStatus, WaitingFor,
};
pub use time::Timestamp;
