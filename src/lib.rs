//! Lockstep: one deterministic trading machine, driven live, in backtests and in simulation.
//!
//! The modules in reading order; imports only point upwards in this list.

pub mod domain;
pub mod strategy;
pub mod core;
pub mod venue;
pub mod machine;
pub mod quotes;
pub mod backtest;
pub mod node;
pub mod gateway;
mod broker;
pub mod serve;
pub mod cli;
