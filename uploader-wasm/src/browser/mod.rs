//! What this crate uses of the browser beside storage and network: globals, locks, ids, errors.

mod error;
mod global;
mod locks;

pub use error::{JsFault, fault};
pub use global::{
    WorkerKind, crypto_uuid, estimate_room, is_online, monotonic_ms, on_window, random_u64, report,
    storage_manager, wall_clock_ms, worker_kind, worker_scope,
};
pub use locks::{HeldLock, locks_available};
