//! Oracles: what must hold in every world, judged from the outside.
//!
//! They read the plan, the probe's JSON and what clients were told, and do their own arithmetic on
//! `i128`. They import nothing of the product, so that no mistake of it can excuse itself here.

mod arithmetic;
mod client;
mod ledger;
mod liveness;
mod log;
mod stop;

pub use log::{Log, LogEvent};

use crate::{history::History, plan::Plan};

/// What a violation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something happened that must never happen.
    Safety,
    /// Something did not happen in time.
    Liveness,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub oracle: &'static str,
    /// The rule of docs/RULES.md.
    pub rule: &'static str,
    pub severity: Severity,
    /// Where in the trace it showed.
    pub seq: usize,
    pub message: String,
}

/// Collects the violations of one oracle.
struct Findings {
    oracle: &'static str,
    severity: Severity,
    found: Vec<Violation>,
}

impl Findings {
    const fn new(oracle: &'static str, severity: Severity) -> Self {
        Self { oracle, severity, found: Vec::new() }
    }

    fn add(&mut self, rule: &'static str, seq: usize, message: impl Into<String>) {
        let Self { oracle, severity, .. } = *self;
        self.found.push(Violation { oracle, rule, severity, seq, message: message.into() });
    }
}

/// Everything that is wrong with a world, in the order of the trace.
pub fn judge(plan: &Plan, history: &History) -> Vec<Violation> {
    let (log, mut found) = log::check(&history.gateway);
    for venue in &history.venues {
        found.extend(log::check(venue).1);
    }
    found.extend(ledger::check(plan, history, &log));
    found.extend(stop::check(history, &log));
    found.extend(client::check(history, &log));
    found.extend(liveness::check(history));
    found.sort_by_key(|v| (v.severity, v.seq));
    found
}

#[cfg(test)]
mod doctored;
