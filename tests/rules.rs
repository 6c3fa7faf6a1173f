//! The rules of docs/RULES.md against the deterministic layers, through the machine's one function.
//! Each test's name begins with the id of the rule that it shows.

mod account;
mod determinism;
mod execution;
mod groups;
mod idempotency;
mod laws;
mod link;
mod modify;
mod orders;
mod pending;
mod recovery;
mod rig;
mod risk;
mod sessions;
mod world;
