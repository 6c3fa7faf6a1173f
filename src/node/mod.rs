//! The process around the machine: time, network, storage, the journal and the single writer.
//!
//! Everything here is asynchronous and reaches the outside only through `Runtime` and `Services`,
//! which tokio implements for production and the simulator implements on its own. Nothing here
//! decides anything about trading.

pub mod host;
pub mod journal;
pub mod runtime;
pub mod services;
