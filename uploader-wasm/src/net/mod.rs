//! The two ways out: control calls to the server by `fetch`, parts to the store by XHR.

mod answer;
mod control;
mod put;

pub use control::Server;
pub use put::{PutTarget, put_part};
