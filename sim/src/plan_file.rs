//! Plan files: a plan as JSON, which replays without the code that drew it.

use crate::{
    plan::{FaultKind, Plan},
    process,
};
use lockstep::domain::{instrument::built_in, time::UnixNanos};
use serde::{Deserialize, Serialize};
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
const VENUES_MAX: usize = 3;

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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<P> {
    version: u64,
    plan: P,
}

/// Reads a plan and checks that there can be such a world.
pub fn read(path: &Path) -> Result<Plan, PlanFileError> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| PlanFileError::Io { path: name(), source })?;
    parse(&text, &name())
}

fn parse(text: &str, path: &str) -> Result<Plan, PlanFileError> {
    let malformed = |error: serde_json::Error| PlanFileError::Malformed {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let value: Value = serde_json::from_str(text).map_err(malformed)?;
    match value.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => {}
        other => {
            let found = other.map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(PlanFileError::Version { path: path.to_owned(), found });
        }
    }
    // once more from the text: errors then name line and column
    let file: File<Plan> = serde_json::from_str(text).map_err(malformed)?;
    check(&file.plan).map_err(|(field, why)| PlanFileError::Impossible {
        path: path.to_owned(),
        field,
        why,
    })?;
    Ok(file.plan)
}

/// Writes a plan.
pub fn write(plan: &Plan, path: &Path) -> Result<(), PlanFileError> {
    let failed = |source| PlanFileError::Io { path: path.display().to_string(), source };
    let text = serde_json::to_string_pretty(&File { version: VERSION, plan }).expect("a plan is data");
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
    let known = built_in();
    let symbols = &plan.gateway.symbols;
    if symbols.is_empty() || !symbols.iter().all(|s| known.iter().any(|i| i.symbol.as_str() == s)) {
        return wrong("plan.gateway.symbols", "one or more built-in instruments".to_owned());
    }
    if plan.venues.len() > VENUES_MAX {
        return wrong("plan.venues", format!("at most {VENUES_MAX}"));
    }
    if let Err(error) = process::check_limits(&plan.gateway.limits, &plan.gateway.risk) {
        return wrong("plan.gateway", error);
    }
    let accounts = plan.accounts();
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
        let venue = match fault.kind {
            FaultKind::VenueCrash { venue, .. }
            | FaultKind::VenueClog { venue, .. }
            | FaultKind::VenuePause { venue, .. } => venue,
            FaultKind::Drop { client }
            | FaultKind::Clog { client, .. }
            | FaultKind::Revoke { client, .. } => {
                if !plan.has(client) {
                    return wrong(&format!("plan.faults[{place}].client"), "there is no such client".into());
                }
                continue;
            }
            FaultKind::Crash { .. } => continue,
        };
        if venue >= plan.venues.len() {
            let why = format!("there are {} venues", plan.venues.len());
            return wrong(&format!("plan.faults[{place}].venue"), why);
        }
    }
    Ok(())
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
        assert_eq!(read(&path).expect("read"), some());
    }

    #[test]
    fn what_is_no_plan_is_refused_by_name_and_place() {
        let text = |change: &dyn Fn(&mut Value)| {
            let mut value = serde_json::to_value(File { version: VERSION, plan: some() }).expect("data");
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
        check(&text(&|v| v["plan"]["venues"] = serde_json::json!([])), "there is no `link-1`");
        check(&text(&|v| v["plan"]["duration_ms"] = 1_000_000_000_u64.into()), "`plan.duration_ms`: at most");
    }
}
