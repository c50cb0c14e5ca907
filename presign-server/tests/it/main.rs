//! The server whole: its router, its binary, its stores, all over real HTTP where that matters.

mod answers;
mod attacks;
mod complete_batch;
mod cut_writes;
mod janitor;
mod metrics;
mod openapi;
mod own_session_store;
mod plain_store;
mod process;
mod protocol_document;
mod receipts;
mod redis_store;
mod relay;
mod relay_process;
mod replicas;
mod sealed_starts;
mod serving;
mod session_stores;
mod settings;
mod starts;
mod store_faults;
mod support;
mod transfers;
