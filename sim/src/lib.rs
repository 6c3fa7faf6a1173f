//! The seeded simulator: runs the shipped gateway on a simulated clock, network and disk, does to
//! it what brokers, networks, disks and users do, and judges what came of it.
//!
//! Reading order: a `scenario` and a seed make a `plan`, which is data; `run` builds the `world`
//! that the plan describes and lets it happen; what happened is a `trace`, and the `oracle`s judge it.

#[cfg(not(madsim))]
compile_error!("unset RUSTFLAGS: they replace `--cfg madsim` of .cargo/config.toml");

pub mod actor;
pub mod disk;
pub mod draw;
pub mod history;
pub mod oracle;
pub mod panics;
pub mod plan;
pub mod probe;
pub mod runtime;
pub mod scenario;
pub mod trace;
