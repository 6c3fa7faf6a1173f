//! `explain`: a world on one screen.

use super::{
    CommandError, WORLD_LIMIT, inputs,
    target::{inputs_of, plan_of},
    words::{event, short, text, words},
};
use crate::{
    plan::Plan,
    run::{Report, run},
    shrink::size,
    trace::{Kind, Record},
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// Lines from the beginning, if not all are shown; the end tells more.
const HEAD: usize = 12;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// SCENARIO:SEED, or a plan file
    #[arg(value_name = "SCENARIO:SEED|PLAN.json")]
    target: String,
    /// Lines of the timeline
    #[arg(long, default_value_t = 60)]
    lines: usize,
}

impl Explain {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        if let Some(plan) = inputs_of(&self.target)? {
            return Ok(inputs::explain(&plan, self.lines));
        }
        let plan = plan_of(folder, &self.target)?;
        let report = run(&plan, WORLD_LIMIT);
        print!("{}", explain(&plan, &report, self.lines));
        Ok(report.outcome.exit_code())
    }
}

fn explain(plan: &Plan, report: &Report, most: usize) -> String {
    let Plan { scenario, seed, start, duration_ms, .. } = plan;
    let mut methods = BTreeMap::new();
    let timeline = timeline(report, most, |record| line(record, &mut methods));
    format!(
        "{scenario} seed {seed}: {}, {} steps and faults within {duration_ms} ms from {start}\n{timeline}",
        report.outcome,
        size(plan)
    )
}

/// What is wrong, and what led there, as `line` puts each record that means something.
pub fn timeline(report: &Report, most: usize, mut line: impl FnMut(&Record<'_>) -> Option<String>) -> String {
    let mut text = String::new();
    for violation in &report.violations {
        text += &format!("{} {}: {}\n", violation.oracle, violation.rule, short(&violation.message, 300));
    }
    for note in &report.notes {
        text += &format!("{note}\n");
    }
    // what comes after the failure explains nothing
    let end = report.violations.iter().map(|violation| violation.seq).max().unwrap_or(usize::MAX);
    let until_then = report.trace.records().filter(|r| r.seq <= end || r.kind == Kind::Verdict);
    let lines: Vec<String> = until_then.filter_map(|record| line(&record)).collect();
    let left_out = lines.len().saturating_sub(most.max(HEAD + 1));
    for (place, line) in lines.iter().enumerate() {
        match place {
            _ if left_out == 0 || place < HEAD || place >= HEAD + left_out => text += &format!("{line}\n"),
            HEAD => text += &format!("{:>14}  … {left_out} lines; --lines shows more\n", ""),
            _ => {}
        }
    }
    text
}

/// What a record means to whoever looks for a cause; most mean nothing.
fn line(record: &Record<'_>, methods: &mut BTreeMap<String, String>) -> Option<String> {
    let body: Value = serde_json::from_str(record.body).ok()?;
    let said = match record.kind {
        Kind::Process | Kind::Fault | Kind::Alarm | Kind::Link => {
            format!("{} {}", record.kind.name(), words(&body))
        }
        Kind::Verdict => format!("VERDICT {}", words(&body)),
        Kind::Sent if body["method"].is_string() => {
            let (id, method) = (text(&body["id"]), text(&body["method"]));
            let said = format!("asks {method} {}", words(&body["params"]));
            let acts = is_act(&method);
            methods.insert(id, method);
            if !acts {
                return None;
            }
            said
        }
        Kind::Received if body["type"] == "res" => {
            let method = methods.get(body["id"].as_str()?)?;
            if !is_act(method) {
                return None;
            }
            match body["ok"].as_bool()? {
                true => format!("is answered {method} {}", words(&body["payload"])),
                false => format!("is refused {method} {}", words(&body["error"])),
            }
        }
        Kind::Sent if body["frame"].is_object() => {
            let frame = &body["frame"];
            if matches!(frame["type"].as_str(), Some("heartbeat" | "logon")) {
                return None;
            }
            format!("to a venue: {}", words(frame))
        }
        Kind::Output => {
            let told: Vec<String> = body["events"].as_array()?.iter().filter_map(event).collect();
            if told.is_empty() {
                return None;
            }
            told.join("; ")
        }
        Kind::Sent | Kind::Received | Kind::Input | Kind::Commit | Kind::Release => return None,
    };
    Some(stamped(record, &said))
}

/// A line of the timeline.
pub fn stamped(record: &Record<'_>, said: &str) -> String {
    let (ms, us) = (record.at_ns / 1_000_000, record.at_ns % 1_000_000 / 1_000);
    format!("{ms:>7}.{us:03} ms  {:<8} {}", record.node.name(), short(said, 160))
}

/// Whether a request does something, rather than ask.
fn is_act(method: &str) -> bool {
    matches!(
        method,
        "trades.place"
            | "trades.cancel"
            | "trades.modify"
            | "trades.closePosition"
            | "risk.emergencyStop"
            | "risk.resume"
    )
}
