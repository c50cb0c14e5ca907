//! The server of Holdfast: starts upload sessions, signs part URLs, completes what clients have sent.
//!
//! No byte of a file passes through it but those of relayed parts, none of which it keeps; no key and no multipart upload id is ever read from a client,
//! and it keeps nothing in memory that another process or the next start would miss.
//!
//! Mount [`router`] in an own axum app, or run the binary. In layers, each knowing only those below:
//! `routes` and `http` (axum), [`Uploads`] and [`Sealer`] (what can be done with a session), and the
//! seams [`store::SessionStore`], [`events::EventBus`], `upload_storage::ObjectStorage` and [`Clock`].

pub mod auth;
mod clock;
pub mod config;
mod content;
mod error;
pub mod events;
mod files;
pub mod hooks;
mod http;
mod key;
pub mod keys;
mod live;
mod metrics;
mod openapi;
pub mod receipt;
mod reload;
mod routes;
pub mod run;
mod secrets;
mod serve;
pub mod session;
mod signed;
pub mod startup;
pub mod store;
mod token;
mod uploads;

pub use clock::{Clock, SystemClock};
pub use error::{Result, UploadError};
pub use http::access::{AccessRuleError, AccessRules, SharedAccess};
pub use http::network::{InvalidNetwork, Network};
pub use http::rate::{RateLimit, RateLimits};
pub use live::{Live, LiveLimits};
pub use metrics::Metrics;
pub use routes::{AppState, router};
pub use serve::{ConnectionLimits, TlsError, TlsFiles};
pub use token::{TOKEN_SECRET_LENGTH_BYTES_MIN, TokenMaker, WeakSecret};
pub use uploads::{
    Announcer, AnnouncerTiming, RelayCall, RelayLimits, Sealer, SealerTiming, SessionQuery, UploadPolicy,
    Uploads, UploadsBuilder,
};
