//! Plan files: a plan as JSON, which replays without the code that drew it.

use crate::{
    inputs::InputsPlan,
    plan::{FaultKind, MarketEvent, Plan},
    process,
};
use lockstep::domain::{instrument::built_in, time::UnixNanos};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// The version that is written and read.
pub const VERSION: u64 = 1;
/// A world lasts at most so long before it heals, in simulated milliseconds.
const DURATION_MS_MAX: u64 = 3_600_000;
/// And rests at most so long in the midst of it: four days.
const REST_MS_MAX: u64 = 4 * 24 * 3_600_000;
const VENUES_MAX: usize = 3;
/// Of times, millionths and thousandths in faults.
const NUMBER_MAX: u64 = 1_000_000;

/// Why a plan file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path}: not a plan: {message}")]
    Malformed { path: String, message: String },
    #[error("{path}: a plan of version {found}; this program reads version {VERSION}")]
    Version { path: String, found: String },
    #[error("{path}: `{field}`: {why}")]
    Impossible { path: String, field: String, why: String },
}

/// A plan of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyPlan {
    World(Box<Plan>),
    Inputs(InputsPlan),
}

/// What a plan is of; the default need not be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    World,
    Inputs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<P> {
    version: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    kind: Kind,
    plan: P,
}

fn is_default(kind: &Kind) -> bool {
    *kind == Kind::default()
}

/// Reads a plan and checks that it is possible.
pub fn read(path: &Path) -> Result<AnyPlan, PlanFileError> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| PlanFileError::Io { path: name(), source })?;
    parse(&text, &name())
}

fn parse(text: &str, path: &str) -> Result<AnyPlan, PlanFileError> {
    let malformed = |message: String| PlanFileError::Malformed { path: path.to_owned(), message };
    let value: Value = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    match value.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => {}
        other => {
            let found = other.map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(PlanFileError::Version { path: path.to_owned(), found });
        }
    }
    let (plan, flaw) = if value["kind"] == "inputs" {
        let plan = typed::<InputsPlan>(text).map_err(malformed)?;
        let flaw = unknown_field(&plan, &value["plan"]).or_else(|| plan.flaw());
        (AnyPlan::Inputs(plan), flaw)
    } else {
        let plan = typed::<Plan>(text).map_err(malformed)?;
        let flaw = check(&plan).err();
        (AnyPlan::World(Box::new(plan)), flaw)
    };
    match flaw {
        None => Ok(plan),
        Some((field, why)) => Err(PlanFileError::Impossible { path: path.to_owned(), field, why }),
    }
}

/// Once more from the text: errors then name field, line and column.
fn typed<P: DeserializeOwned>(text: &str) -> Result<P, String> {
    let file: File<P> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|error| format!("`{}`: {}", error.path(), error.inner()))?;
    Ok(file.plan)
}

/// An input that says more than is understood would be another one.
fn unknown_field(plan: &InputsPlan, stated: &Value) -> Option<(String, String)> {
    let wrong = |(place, record): &(usize, &std::sync::Arc<crate::inputs::InputRecord>)| {
        let understood = serde_json::to_value(&record.input).expect("an input is data");
        understood != stated["records"][place]["input"]
    };
    let (place, _) = plan.records.iter().enumerate().find(wrong)?;
    let why = "it holds a field that this version does not know".to_owned();
    Some((format!("plan.records[{place}].input"), why))
}

/// Writes a plan of inputs, a record in each line. What accounts did is nobody else's business: the file is
/// its owner's alone.
pub fn write_inputs(plan: &InputsPlan, path: &Path) -> Result<(), PlanFileError> {
    let failed = |source| PlanFileError::Io { path: path.display().to_string(), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = io::BufWriter::new(options.open(path).map_err(failed)?);
    let head = InputsPlan { records: Vec::new(), ..plan.clone() };
    let text = serde_json::to_string(&File { version: VERSION, kind: Kind::Inputs, plan: head });
    let text = text.expect("a plan is data");
    let (before, after) = text.split_once(r#""records":[]"#).expect("a plan has records");
    let mut write = || {
        write!(file, r#"{before}"records":["#)?;
        for (place, record) in plan.records.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(file, "{comma}\n{}", serde_json::to_string(record).expect("a record is data"))?;
        }
        writeln!(file, "\n]{after}")?;
        file.flush()
    };
    write().map_err(failed)
}

/// Writes the plan of a world.
pub fn write(plan: &Plan, path: &Path) -> Result<(), PlanFileError> {
    let failed = |source| PlanFileError::Io { path: path.display().to_string(), source };
    let text = serde_json::to_string_pretty(&File { version: VERSION, kind: Kind::World, plan });
    let text = text.expect("a plan is data");
    let mut file = fs::File::create(path).map_err(failed)?;
    writeln!(file, "{text}").map_err(failed)
}

/// Whether there can be such a world; otherwise the field, and why not.
fn check(plan: &Plan) -> Result<(), (String, String)> {
    let wrong = |field: &str, why: String| Err((field.to_owned(), why));
    if UnixNanos::parse(&plan.start).is_none() {
        return wrong("plan.start", format!("`{}` is no instant such as 2024-03-04T09:00:00Z", plan.start));
    }
    if plan.duration_ms > DURATION_MS_MAX {
        return wrong("plan.duration_ms", format!("at most {DURATION_MS_MAX}"));
    }
    if plan.rest.is_some_and(|rest| rest.at_ms > DURATION_MS_MAX || rest.for_ms > REST_MS_MAX) {
        return wrong("plan.rest", format!("after at most {DURATION_MS_MAX}, for at most {REST_MS_MAX}"));
    }
    let known = built_in();
    let symbols = &plan.gateway.symbols;
    if symbols.is_empty() || !symbols.iter().all(|s| known.iter().any(|i| i.symbol.as_str() == s)) {
        return wrong("plan.gateway.symbols", "one or more built-in instruments".to_owned());
    }
    if plan.venues.len() > VENUES_MAX {
        return wrong("plan.venues", format!("at most {VENUES_MAX}"));
    }
    if plan.quotes_every_ms > DURATION_MS_MAX {
        return wrong("plan.quotes_every_ms", format!("at most {DURATION_MS_MAX}"));
    }
    spans("plan", &serde_json::to_value(plan).expect("a plan is data"))?;
    process::check(plan)?;
    let accounts = plan.accounts();
    if let Some(account) = plan.viewer_sees.iter().flatten().find(|account| !accounts.contains(account)) {
        return wrong("plan.viewer_sees", format!("there is no `{account}`"));
    }
    let none = Vec::new();
    let second = plan.guests.second_operator.as_ref().map_or(&none, |second| &second.steps);
    for (steps, field) in [
        (&plan.operator, "plan.operator"),
        (&plan.viewer, "plan.viewer"),
        (second, "plan.guests.second_operator.steps"),
    ] {
        if let Some((place, step)) = steps.iter().enumerate().find(|(_, s)| !accounts.contains(&s.account)) {
            return wrong(&format!("{field}[{place}].account"), format!("there is no `{}`", step.account));
        }
    }
    for (place, fault) in plan.faults.iter().enumerate() {
        let field = |part: &str| format!("plan.faults[{place}].{part}");
        if fault.kind.client().is_some_and(|client| !plan.has(client)) {
            return wrong(&field("client"), "there is no such client".into());
        }
        if fault.kind.venue().is_some_and(|venue| venue >= plan.venues.len()) {
            return wrong(&field("venue"), format!("there are {} venues", plan.venues.len()));
        }
        if let Some((part, most)) = beyond(fault.kind) {
            return wrong(&field(part), format!("at most {most}"));
        }
    }
    Ok(())
}

/// Every pair of numbers in a plan is a least and a most.
fn spans(field: &str, value: &Value) -> Result<(), (String, String)> {
    match value {
        Value::Array(items) => {
            if let [Value::Number(least), Value::Number(most)] = items.as_slice()
                && let (Some(least), Some(most)) = (least.as_u64(), most.as_u64())
                && (least > most || most > DURATION_MS_MAX)
            {
                let why = format!("[{least}, {most}]: least, then most, up to {DURATION_MS_MAX}");
                return Err((field.to_owned(), why));
            }
            items.iter().enumerate().try_for_each(|(place, item)| spans(&format!("{field}[{place}]"), item))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, item)| spans(&format!("{field}.{name}"), item))
        }
        _ => Ok(()),
    }
}

/// A part of a fault that is greater than anything that can be simulated, and the most that can.
fn beyond(kind: FaultKind) -> Option<(&'static str, u64)> {
    let ms = |part, value: u64| (value > DURATION_MS_MAX).then_some((part, DURATION_MS_MAX));
    let number = |part, value: u64| (value > NUMBER_MAX).then_some((part, NUMBER_MAX));
    let event = match kind {
        FaultKind::CrashLoop { times, every_ms, .. } => {
            return number("times", times).or_else(|| ms("every_ms", every_ms));
        }
        FaultKind::ClockJump { by_ms, .. } => ms("by_ms", by_ms.unsigned_abs()),
        FaultKind::ClockDrift { ppm, .. } => number("ppm", ppm.unsigned_abs()),
        FaultKind::SyncFails { count, .. } => number("count", count),
        FaultKind::Lag { by_ms, .. } => ms("by_ms", by_ms),
        FaultKind::DiskSlow { sync_ms, .. } => ms("sync_ms", sync_ms),
        FaultKind::Market { event: MarketEvent::Jump { permille }, .. } => {
            number("permille", permille.unsigned_abs())
        }
        FaultKind::Market { event: MarketEvent::Wide { times }, .. } => number("times", times.unsigned_abs()),
        _ => None,
    };
    event.or_else(|| kind.for_ms().and_then(|for_ms| ms("for_ms", for_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::plan, scenario};

    fn some() -> Plan {
        let scenario = &scenario::select(&scenario::folder(None), "venue_crash").expect("it is there")[0];
        plan(3, scenario)
    }

    #[test]
    fn a_plan_survives_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plan.json");
        write(&some(), &path).expect("written");
        assert_eq!(read(&path).expect("read"), AnyPlan::World(Box::new(some())));
    }

    #[test]
    fn what_is_no_plan_is_refused_by_name_and_place() {
        let text = |change: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(File { version: VERSION, kind: Kind::World, plan: some() })
                .expect("data");
            change(&mut value);
            value.to_string()
        };
        let check = |text: &str, expected: &str| {
            let error = parse(text, "x.json").expect_err(expected).to_string();
            assert!(error.starts_with("x.json: ") && error.contains(expected), "{error}");
        };
        check("{", "EOF while parsing");
        check("{}", "version none");
        check(&text(&|v| v["version"] = 9.into()), "version 9; this program reads version 1");
        check(&text(&|v| v["plan"]["seed"] = "x".into()), "invalid type: string \"x\"");
        check(&text(&|v| v["plan"]["start"] = "noon".into()), "`plan.start`: `noon` is no instant");
        check(
            &text(&|v| v["plan"]["gateway"]["symbols"] = serde_json::json!(["X"])),
            "`plan.gateway.symbols`",
        );
        check(&text(&|v| v["plan"]["venues"] = serde_json::json!([])), "there is no `link-");
        let commission = |v: &mut Value| v["plan"]["gateway"]["commission_per_lot"] = "much".into();
        check(&text(&commission), "`plan.gateway`: ");
        let twice = |v: &mut Value| v["plan"]["venues"][0]["accounts"][0]["id"] = "paper-1".into();
        check(&text(&twice), "`plan.gateway`: ");
        let sync = |v: &mut Value| v["plan"]["gateway"]["sync_ms"] = serde_json::json!([9, 3]);
        check(&text(&sync), "`plan.gateway.sync_ms`: [9, 3]: least, then most");
        check(&text(&|v| v["plan"]["quotes_every_ms"] = u64::MAX.into()), "`plan.quotes_every_ms`: at most");
        check(&text(&|v| v["plan"]["duration_ms"] = 1_000_000_000_u64.into()), "`plan.duration_ms`: at most");
    }
}
