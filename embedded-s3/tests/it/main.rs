//! The embedded store over a real socket, with the real SDK and with raw requests.

#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test sizes are a few MiB"
)]

mod access;
mod common;
mod complete;
mod cors;
mod discard;
mod keys;
mod kill;
mod listing;
mod multipart;
mod objects;
mod presigned;
