//! Clients of the simulated gateway. They speak the real protocol over a real WebSocket, lose their
//! connections, repeat what was not answered under the same key, and keep their own journal.
//!
//! They know the wire only: no type of the product.

pub mod abuse;
pub mod abuser;

mod client;
mod market;
mod raw;
mod request;
mod wire;

pub use client::{Client, Control, Setup, print};
