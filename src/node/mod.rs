//! The process around the machine: time, network, storage, the journal and the single writer.
//!
//! Everything here is asynchronous and reaches the outside only through `Runtime` and `Services`,
//! which tokio implements for production and the simulator implements on its own. Nothing here
//! decides anything about trading.

pub mod clock;
pub mod config;
pub mod connector;
pub mod control;
pub mod feed;
pub mod handle;
pub mod host;
pub mod hub;
pub mod journal;
mod lanes;
pub mod runtime;
pub mod services;
pub mod status;
pub mod tokens;
pub mod vault;
pub mod writer;
