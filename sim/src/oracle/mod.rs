//! Oracles: what must hold in every world, judged from the outside.
//!
//! They read the plan, the probe's JSON and what clients were told, and do their own arithmetic on
//! `i128`. They import nothing of the product, so that no mistake of it can excuse itself here.

mod arithmetic;
mod client;
mod ledger;
mod liveness;
mod log;
mod orders;
mod prices;
mod stop;
mod venue;

pub use log::{Log, LogEvent};

use crate::{history::History, plan::Plan};
use serde_json::Value;

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
    for (venue, plan) in history.venues.iter().zip(&plan.venues) {
        let (truth, wrong) = log::check(venue);
        found.extend(wrong);
        found.extend(venue::check(&truth));
        found.extend(orders::check(plan, &log, &truth));
        found.extend(prices::check_venue(&truth));
    }
    found.extend(prices::check_gateway(&log));
    found.extend(ledger::check(plan, history, &log));
    found.extend(venue::check_sent(history));
    found.extend(stop::check(plan, history, &log));
    found.extend(client::check(history, &log));
    found.extend(liveness::check(plan, history));
    found.extend(alarms(history));
    found.sort_by_key(|v| (v.severity, v.seq));
    found
}

/// `alarm`: no machine noted what must not be: an order that went a way that there is not (OR01), a report
/// that no order belongs to, books that contradict each other (LV03).
fn alarms(history: &History) -> Vec<Violation> {
    let mut findings = Findings::new("alarm", Severity::Safety);
    for (seq, node, mark) in &history.alarms {
        let rule = if mark == "illegal_transition" { "OR01" } else { "LV03" };
        findings.add(rule, *seq, format!("the {node} noted `{mark}`"));
    }
    findings.found
}

/// Whether the venue made the order by itself, to close a position: at a protective level, or for want of
/// margin.
fn is_of_venue(order: &Value) -> bool {
    matches!(order["reason"].as_str(), Some("stop_loss" | "take_profit" | "stop_out"))
}

#[cfg(test)]
mod doctored;
#[cfg(test)]
mod doctored_prices;
#[cfg(test)]
mod doctored_venue;
