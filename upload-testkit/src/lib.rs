//! Holdfast's test tools. Nothing here is part of a product.
//!
//! - [`proxy`]: a fault-injecting HTTP proxy to put in front of an S3 server.

pub mod proxy;
