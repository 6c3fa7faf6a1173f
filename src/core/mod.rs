//! The deterministic engine: one function, `Engine::apply(now, input, &mut outputs)`.
//!
//! May import `domain` and `strategy`. `execution` and `risk` never import each other; the engine
//! joins them. Nothing here knows the time but as an argument, nor a broker but by its reports, and
//! nothing here fails: a refusal is an output.

mod account;
mod accounts;
mod answers;
mod check;
mod commands;
mod emergency;
mod engine;
mod execution;
mod groups;
mod idempotency;
mod ledger;
mod link;
mod market;
mod modify;
mod queries;
mod rate_limit;
mod resolve;
mod risk;
mod stops;
mod strategies;
mod timers;
mod touched;

pub use check::{ConfigError, check_change, check_config};
pub use engine::{Engine, EngineInput};
pub use risk::{CHECKS, CheckRow, Modify};
pub use timers::Timer;

pub(crate) use risk::{RiskApproved, Ticket};
