//! An S3 server in one process over a folder: the store behind a fresh Holdfast.
//!
//! It is not a general object store. It keeps no versions, no access lists, no tags and no
//! encryption, knows one pair of keys, listens on loopback addresses only, and refuses by name what
//! it does not do. What it does, it does as S3 does it: signatures (header, query, chunked),
//! checksums, sizes, error codes, paging and conditional writes.
//!
//! ```no_run
//! use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = EmbeddedS3Config::new(".holdfast/s3", "access-key", "secret-key");
//! config.buckets = vec!["holdfast".to_owned()];
//! let store = EmbeddedS3::open(config).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
//! store.serve(listener, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What survives what
//!
//! A write is answered after its bytes, its manifest and the folder entries that lead to it have
//! been synced. Each write becomes visible by one rename, so a process killed at any moment leaves
//! the old state or the new one, never a mixture; what was half-written is swept at the next start.
//!
//! # On disk
//!
//! ```text
//! data_dir/lock                                   held while a process serves the folder
//! data_dir/tmp/                                   being written or being removed; emptied at start
//! data_dir/buckets/{bucket}/bucket.json
//! data_dir/buckets/{bucket}/uploads/{upload id}/  upload.json, and one file a part
//! data_dir/buckets/{bucket}/objects/{hh}/{hash of the key}-{sequence}/  object.json, and the parts
//! ```
//!
//! Object keys are data inside `object.json`; they never become a path.

mod checksum;
mod config;
mod disk;
mod s3;
mod serve;
mod store;

pub use config::{Discarded, EmbeddedS3Config, OpenError};
pub use serve::{EmbeddedS3, ServeError};
