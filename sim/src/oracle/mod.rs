//! Oracles: what must hold in every world, judged from the outside.
//!
//! They read the plan, the probe's JSON and what clients were told, and do their own arithmetic on
//! `i128`. They import nothing of the product, so that no mistake of it can excuse itself here.

mod abuse;
mod arithmetic;
mod books;
mod cause;
mod client;
mod ledger;
mod liveness;
mod log;
mod orders;
mod prices;
mod rate;
mod risk;
mod session;
mod slow;
mod stop;
mod token;
mod venue;

pub use log::{Log, LogEvent};

use crate::{
    history::History,
    plan::{PAPER, Plan},
};
use serde_json::Value;

/// What a violation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something happened that must never happen.
    Safety,
    /// Something did not happen in time.
    Liveness,
    /// The same happened otherwise than it had before.
    Difference,
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

impl Violation {
    /// The body of its record in a trace.
    pub fn body(&self) -> String {
        let Self { oracle, rule, message, .. } = self;
        serde_json::json!({ "oracle": oracle, "rule": rule, "message": message }).to_string()
    }
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
    for (venue, venue_plan) in history.venues.iter().zip(&plan.venues) {
        let (truth, wrong) = log::check(venue);
        found.extend(wrong);
        found.extend(venue::check(&truth));
        found.extend(session::check(venue, |_| true));
        found.extend(orders::check(venue_plan, &log, &truth));
        found.extend(prices::check_venue(&truth));
    }
    found.extend(session::check(&history.gateway, |account| account == PAPER));
    found.extend(prices::check_gateway(&log));
    found.extend(ledger::check(plan, history, &log));
    found.extend(venue::check_sent(history));
    found.extend(stop::check(plan, history, &log));
    found.extend(client::check(history, &log));
    found.extend(risk::check(plan, history, &log));
    found.extend(rate::check(history, &log));
    found.extend(slow::check(plan, history, &log));
    found.extend(token::check(plan, history));
    found.extend(abuse::check(plan, history));
    found.extend(liveness::check(plan, history));
    found.extend(cause::check(history));
    // whoever is shown wrong books must say so
    let is_lied_to = plan.relay.is_some_and(|relay| relay.wrong_snapshot > 0);
    found.extend(alarms(history, |mark| is_lied_to && mark == "link_fault"));
    found.sort_by_key(|v| (v.severity, v.seq));
    found
}

/// Everything that is wrong with a machine that was stepped through its inputs alone: there are no clients,
/// no commits and no venue's own records. What needs the past says nothing unless that is there
/// `from_genesis`.
pub fn judge_machine(history: &History, from_genesis: bool) -> Vec<Violation> {
    let (log, mut found) = log::check(&history.gateway);
    found.extend(books::check(&log, from_genesis));
    let paper = books::paper_accounts(&log);
    found.extend(session::check(&history.gateway, |account| paper.contains(account)));
    if from_genesis {
        found.extend(stop::check_machine(&log, &paper));
        if is_traded_by_hand(&log) {
            found.extend(cause::check(history));
        }
    }
    found.extend(alarms(history, |_| false));
    found.sort_by_key(|v| (v.severity, v.seq));
    found
}

/// Whether no strategy or agent ever had a say: what those want is nobody's command.
fn is_traded_by_hand(log: &Log<'_>) -> bool {
    let has_others = |input: &Value| {
        let strategies = input["config"]["strategies"].as_array().is_some_and(|list| !list.is_empty());
        strategies || input["command"]["origin"].as_str().is_some_and(|origin| origin != "user")
    };
    !log.steps.iter().any(|step| has_others(&step.input))
}

/// `alarm`: no machine noted what must not be: an order that went a way that there is not (OR01), a report
/// that no order belongs to, books that contradict each other (LV03).
fn alarms(history: &History, is_told: impl Fn(&str) -> bool) -> Vec<Violation> {
    let mut findings = Findings::new("alarm", Severity::Safety);
    for (seq, node, mark) in history.alarms.iter().filter(|(.., mark)| !is_told(mark)) {
        let rule = match mark.as_str() {
            "illegal_transition" => "OR01",
            "journal_unsound" | "damage_unnoticed" => "LV05",
            _ => "LV03",
        };
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
mod doctored_clients;
#[cfg(test)]
mod doctored_machine;
#[cfg(test)]
mod doctored_prices;
#[cfg(test)]
mod doctored_venue;
