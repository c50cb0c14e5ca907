//! Holdfast's test tools. Nothing here is part of a product.
//!
//! - [`proxy`]: a fault-injecting HTTP proxy to put in front of an S3 server.
//! - [`sim`]: the upload engine in a simulated world, from a seed.

pub mod proxy;
pub mod sim;

#[cfg(feature = "session-store")]
pub mod session_store;
