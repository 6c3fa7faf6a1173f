//! The nouns of trading: identifiers, time, exact numbers, instruments, orders, positions, accounts
//! and the messages that enter and leave the engine.
//!
//! Imports nothing of this crate. Knows no clock, no randomness, no I/O, no floats, no hash order.

pub mod account;
pub mod calendar;
pub mod config;
pub mod distance;
pub mod exposure;
pub mod group;
pub mod id;
pub mod instrument;
pub mod ledger;
pub mod margin;
pub mod market;
pub mod message;
pub mod money;
pub mod order;
pub mod position;
pub mod rates;
pub mod retcode;
pub mod time;
