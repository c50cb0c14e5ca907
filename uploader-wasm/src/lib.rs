//! Holdfast in the browser: hosts the upload engine in a worker and carries out what it asks for.
//!
//! It decides nothing about an upload: which part is sent, staged, retried or given up is
//! `upload-engine`'s business. Nor does it touch the page: the element and the client are TypeScript.
//!
//! One module serves three contexts:
//!
//! - [`engine`]: the worker that holds the Web Lock of its endpoint and scope is the engine; any other
//!   worker passes messages between its pages and that one.
//! - [`staging`]: a page's dedicated worker that hashes parts and writes them to disk.
//! - [`page`]: the main thread's end, which only hands files over and passes snapshots on.

pub mod browser;
pub mod engine;
pub mod json;
pub mod messages;
pub mod net;
pub mod page;
pub mod realm;
pub mod staging;
pub mod storage;
pub mod view;
