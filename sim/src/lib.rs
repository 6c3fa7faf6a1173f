//! The seeded simulator: runs the shipped gateway on a simulated clock, network and disk, does to
//! it what brokers, networks, disks and users do, and judges what came of it.
//!
//! Reading order: a `scenario` and a seed make a `plan`, which is data; `run` builds the `world`
//! that the plan describes and lets it happen; what happened is a `trace` and the clients' journals,
//! together a `history`, and the `oracle`s judge it.

#[cfg(not(any(madsim, doc, doctest)))] // rustdoc is not handed the flags
compile_error!("unset RUSTFLAGS: they replace `--cfg madsim` of .cargo/config.toml");

pub mod command;
pub mod inputs;
pub mod outcome;
pub mod plan;
pub mod plan_file;
pub mod recording;
pub mod run;
pub mod scenario;
pub mod shrink;

mod actor;
mod contest;
mod crossing;
mod disk;
mod draw;
mod fault;
mod guests;
mod history;
mod incident;
mod market;
mod network;
mod oracle;
mod panics;
mod probe;
mod process;
mod rest;
mod runtime;
mod timer;
mod trace;
mod world;
mod zoo;
