//! Holdfast's test tools. Nothing here is part of a product.
//!
//! - [`answer_loser`]: a wire that loses an answer after the work was done.
//! - [`proxy`]: a fault-injecting HTTP proxy to put in front of an S3 server.
//! - [`redis_server`]: a real Redis of a test's own.
//! - [`sim`]: the upload engine in a simulated world, from a seed.
//! - [`sink`]: an S3 server that checks everything and keeps nothing.
//!
//! Behind features of their names, since they bring a lot with them: `session_store` and
//! `object_storage`, the suites that every implementation of those traits passes, and `versitygw`, a
//! real S3 server to run them on.

#[cfg(not(target_arch = "wasm32"))]
pub mod answer_loser;
#[cfg(not(target_arch = "wasm32"))]
pub mod proxy;
#[cfg(not(target_arch = "wasm32"))]
pub mod redis_server;
pub mod sim;
#[cfg(not(target_arch = "wasm32"))]
pub mod sink;

#[cfg(feature = "session-store")]
pub mod authorizer;
#[cfg(feature = "session-store")]
pub mod event_bus;
#[cfg(feature = "object-storage")]
pub mod object_storage;
#[cfg(feature = "session-store")]
pub mod session_store;
#[cfg(feature = "versitygw")]
pub mod versitygw;

// In wasm the simulator's tests are the library's own: cargo builds a package's binaries for its
// integration tests, and ours need an operating system.
#[cfg(all(test, target_arch = "wasm32"))]
extern crate self as upload_testkit;
#[cfg(all(test, target_arch = "wasm32"))]
#[path = "../tests/sim.rs"]
mod sim_tests;
