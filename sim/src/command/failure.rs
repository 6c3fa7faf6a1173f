//! What is printed of a world that failed.

use crate::{outcome::Outcome, plan::Plan, run::Report};
use std::fmt::Write;

/// Records that are shown before a violation.
const RECORDS_BEFORE: usize = 10;
/// Violations that are shown; the first ones tell most.
const SHOWN: usize = 3;

/// Everything needed to understand a failure and to see it again.
pub fn told(plan: &Plan, report: &Report, again: &str) -> String {
    of(&title(plan), report, again)
}

/// A world's name in what is printed.
pub fn title(plan: &Plan) -> String {
    format!("scenario {}, seed {}", plan.scenario, plan.seed)
}

/// The same, of whatever has that title.
pub fn of(title: &str, report: &Report, again: &str) -> String {
    let mut text = format!("\n{}: {title}, commit {}\n", report.outcome, commit());
    let mut line = |content: String| writeln!(text, "{content}").expect("a string takes everything");
    for note in &report.notes {
        line(format!("  {note}"));
    }
    for violation in report.violations.iter().take(SHOWN) {
        line(format!("  {} {}: {}", violation.oracle, violation.rule, violation.message));
        for seq in violation.seq.saturating_sub(RECORDS_BEFORE)..=violation.seq {
            if let Some(record) = report.trace.get(seq) {
                line(format!("    {}", record.line()));
            }
        }
    }
    if let Some(more) = report.violations.len().checked_sub(SHOWN + 1) {
        line(format!("  and {} more", more + 1));
    }
    if report.outcome == Outcome::Panic && report.violations.is_empty() {
        for seq in report.trace.len().saturating_sub(RECORDS_BEFORE)..report.trace.len() {
            if let Some(record) = report.trace.get(seq) {
                line(format!("    {}", record.line()));
            }
        }
    }
    line(format!("  again: {again}"));
    text
}

/// The command that runs a scenario's world of a seed once more.
pub fn again(plan: &Plan) -> String {
    format!("cargo sim run --scenario {} --seed {} --trace out.jsonl", plan.scenario, plan.seed)
}

/// The commit that is checked out, if git knows one.
pub fn commit() -> String {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
