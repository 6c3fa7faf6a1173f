//! A strategy over data: a plain loop around `Machine::step`, and what to say about the outcome.
//!
//! Imports `quotes` and the deterministic layers. Knows no tasks, no network, no storage; the wall
//! clock only in `command`, to say how long a run took. Floats only in statistics and reports.

mod command;
mod equity;
mod report;
mod result_hash;
mod run;
mod stats;
mod trades;

pub use command::{Arguments, main};
pub use equity::EquityCurve;
pub use report::Report;
pub use run::{Outcome, RunError, run, run_watched};
pub use stats::Metrics;
pub use trades::{ExitReason, Trade, TradeLog, write_csv};
