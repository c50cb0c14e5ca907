//! The main thread's end: hands files and commands to the engine, passes its messages on, and lends it
//! a staging worker. Everything that takes time happens in workers.

mod engine_worker;
mod held;
mod host;
mod options;
mod outbox;
mod staging;

pub use host::PageHost;
