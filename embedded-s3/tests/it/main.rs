//! The embedded store over a real socket, with the real SDK and with raw requests.

mod common;
mod multipart;
