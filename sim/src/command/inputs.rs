//! What the commands do with plans of kind inputs: replay, explain, shrink.

use super::{
    CommandError, WORLD_LIMIT,
    explain::{stamped, timeline},
    failure,
    run::write_trace,
    shrink::clock,
    words::{event, short, text, words},
};
use crate::{
    inputs::{InputsPlan, Replayed, run, shrink},
    outcome::Outcome,
    plan_file,
    shrink::{Budget, Signature},
    trace::{Kind, Record},
};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A record takes a small part of this.
const RECORD_LIMIT: Duration = Duration::from_millis(2);

/// Real time after which a replay is given up.
pub fn limit(plan: &InputsPlan) -> Duration {
    let records = u32::try_from(plan.records.len()).unwrap_or(u32::MAX);
    WORLD_LIMIT.saturating_add(RECORD_LIMIT.saturating_mul(records))
}

/// The command that replays a plan file once more.
pub fn again(path: &Path) -> String {
    format!("cargo sim replay {}", path.display())
}

/// Replays a plan and says how it ended; returns the exit code.
pub fn replay(plan: &InputsPlan, trace: Option<&Path>, path: &Path) -> Result<u8, CommandError> {
    show(plan, &run(plan, limit(plan)), trace, path)
}

/// Says how a replay ended, and writes its trace; returns the exit code.
pub fn show(
    plan: &InputsPlan,
    replayed: &Replayed,
    trace: Option<&Path>,
    path: &Path,
) -> Result<u8, CommandError> {
    let Replayed { report, records, events, .. } = replayed;
    if let Some(path) = trace {
        write_trace(report, path)?;
    }
    if report.outcome != Outcome::Ok {
        print!("{}", failure::of(&plan.title(), report, &again(path)));
    }
    let (title, outcome, hash) = (plan.title(), report.outcome, report.trace_hash());
    println!("{title}: {outcome}, {records} records, {events} events, trace {hash}");
    tell_hashes(replayed);
    if plan.end.is_none() {
        println!("inputs were left out: there are no hashes to hold these against");
    }
    for (mark, count) in &report.counts.marks {
        println!("  {count:>6} {mark}");
    }
    Ok(report.outcome.exit_code())
}

/// The hashes that `lockstep replay` prints, in its words.
pub fn tell_hashes(replayed: &Replayed) {
    if let Some((state, outputs)) = replayed.hashes {
        println!("state     {state}\noutputs   {outputs}");
    }
}

/// Tells a replay on one screen; returns the exit code.
pub fn explain(plan: &InputsPlan, lines: usize) -> u8 {
    let replayed = run(plan, limit(plan));
    let report = &replayed.report;
    let start = plan.records.first().map_or_else(|| "-".to_owned(), |record| record.now().to_string());
    let (title, count) = (plan.title(), replayed.records);
    println!("{title}: {}, {count} inputs from {start} on", report.outcome);
    print!("{}", timeline(report, lines, line));
    report.outcome.exit_code()
}

/// What a record means to whoever looks for a cause.
fn line(record: &Record<'_>) -> Option<String> {
    let body: Value = serde_json::from_str(record.body).ok()?;
    let said = match record.kind {
        Kind::Input => format!("{:>6} {}", text(&body["offset"]), told(&body["input"])?),
        Kind::Output => {
            let list = |key: &str| body[key].as_array().into_iter().flatten();
            let mut said: Vec<String> = list("events").filter_map(event).collect();
            said.extend(list("venue").map(|request| format!("to its venue: {request}")));
            said.extend(list("replies").filter_map(|reply| {
                let error = &reply["result"]["Err"];
                error.is_object().then(|| format!("refused: {}", words(error)))
            }));
            if said.is_empty() {
                return None;
            }
            format!("{:>6} {}", "", said.join("; "))
        }
        Kind::Verdict => format!("VERDICT {}", words(&body)),
        _ => format!("{} {}", record.kind.name(), words(&body)),
    };
    Some(stamped(record, &said))
}

/// An input in a few words; market data and the passing of time are none.
fn told(input: &Value) -> Option<String> {
    let (kind, content) = match input {
        Value::String(kind) => (kind.as_str(), &Value::Null),
        _ => input.as_object()?.iter().next().map(|(kind, content)| (kind.as_str(), content))?,
    };
    Some(match kind {
        "quote" | "bar" | "wake" => return None,
        "config" => {
            let count = |key: &str| content[key].as_array().map_or(0, Vec::len);
            format!("configuration: {} accounts, {} instruments", count("accounts"), count("instruments"))
        }
        "command" => {
            let (method, params) = content["body"].as_object()?.iter().next()?;
            let settings = if params["settings"].is_object() { &params["settings"] } else { params };
            format!("{} asks {method} {}", text(&content["principal"]), wishes(settings))
        }
        "link" => {
            let event = &content["event"];
            let (name, news) = match event {
                Value::String(name) => (name.as_str(), &Value::Null),
                _ => event.as_object()?.iter().next().map(|(name, news)| (name.as_str(), news))?,
            };
            let news = if name == "report" { &news["report"] } else { news };
            if name == "heartbeat" {
                return None;
            }
            format!("link of {}: {name} {}", text(&content["account"]), words(news))
        }
        other => format!("{other} {}", short(&words(content), 80)),
    })
}

/// What a command wants, without what it leaves as it is.
fn wishes(params: &Value) -> String {
    let Some(object) = params.as_object() else { return text(params) };
    let says = |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && value != "keep";
    let said = object.iter().filter(|(_, value)| says(value));
    said.map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(" ")
}

/// What a search may take.
pub struct Effort {
    pub jobs: usize,
    pub limit: Duration,
}

/// Finds the smallest part of a plan that fails in the same way and writes it; returns the failure's exit
/// code.
pub fn shrink_to(
    plan: &InputsPlan,
    target: &str,
    output: &Path,
    effort: &Effort,
) -> Result<u8, CommandError> {
    let first = run(plan, limit(plan)).report;
    let Some(wanted) = Signature::of(&first) else {
        return Err(CommandError::NothingFails { target: target.to_owned() });
    };
    let started: Instant = clock();
    let goes_on = || started.elapsed() < effort.limit;
    let fails = |plan: &InputsPlan| Signature::of(&run(plan, limit(plan)).report).as_ref() == Some(&wanted);
    let shrunk = shrink(plan, &first, &fails, &Budget { jobs: effort.jobs, goes_on: &goes_on });
    plan_file::write_inputs(&shrunk.plan, output)?;
    let small = run(&shrunk.plan, limit(&shrunk.plan)).report;
    print!("{}", failure::of(&shrunk.plan.title(), &small, &again(output)));
    println!(
        "{} {} {}: from {} inputs to {}, in {:.1} s and {} replays: {}",
        wanted.outcome,
        wanted.oracle,
        wanted.rule,
        plan.records.len(),
        shrunk.plan.records.len(),
        started.elapsed().as_secs_f64(),
        shrunk.runs,
        output.display()
    );
    Ok(wanted.outcome.exit_code())
}
