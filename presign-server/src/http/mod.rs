//! What every request passes through, whatever it asks for.

pub(crate) mod access;
pub(crate) mod caller;
pub(crate) mod extract;
pub(crate) mod monitor;
pub(crate) mod network;
pub(crate) mod observe;
pub(crate) mod problem;
pub(crate) mod rate;
pub(crate) mod relayed;
