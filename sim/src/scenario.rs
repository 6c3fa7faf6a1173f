//! Scenarios: what kind of situation a world is, as TOML for people.

use crate::{
    draw::Draw,
    plan::{ChaosPlan, RelayPlan},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// A situation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// What it looks for.
    pub why: String,
    /// Simulated seconds of workload and faults, before everything heals.
    pub duration_s: u64,
    /// The time of day at which a world begins: one of these, RFC 3339.
    pub starts: Vec<String>,
    pub topology: Topology,
    pub operator: Workload,
    pub viewer: Workload,
    #[serde(default)]
    pub faults: Faults,
    /// Marks that a sweep must reach at least once.
    #[serde(default)]
    pub expect: Vec<String>,
}

/// What the gateway serves, and where.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// One that is named twice is traded twice as often.
    pub symbols: Vec<String>,
    /// First balance of the account, in US dollars.
    pub deposit: u64,
    /// In US dollars.
    #[serde(default = "nothing")]
    pub commission_per_lot: String,
    /// Limits of `[risk]` in the gateway's configuration.
    #[serde(default)]
    pub risk: BTreeMap<String, String>,
    /// Records between snapshots, least and most.
    #[serde(default = "snapshots")]
    pub snapshot_interval: Span,
    /// Venues behind a wire, besides the paper account.
    #[serde(default)]
    pub venues: Option<Venues>,
}

/// Venues behind a wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Venues {
    /// How many, up to three.
    pub count: Span,
    /// Accounts at each, up to three.
    #[serde(default = "one")]
    pub accounts: Span,
    /// How many of a thousand steps concern the paper account.
    #[serde(default)]
    pub paper_permille: u64,
}

const fn one() -> Span {
    Span(1, 1)
}

fn nothing() -> String {
    "0".into()
}

const fn snapshots() -> Span {
    Span(50, 2_000)
}

/// What a client does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// How many steps.
    pub steps: Span,
    /// How often each kind of step is taken, relative to the others.
    pub mix: Mix,
}

/// Weights of the kinds of steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    pub market: u64,
    pub limit: u64,
    pub cancel: u64,
    pub cancel_all: u64,
    pub modify: u64,
    pub protect: u64,
    pub close: u64,
    pub close_symbol: u64,
    pub preview: u64,
    pub stop: u64,
    pub account: u64,
    pub order: u64,
    pub risk_status: u64,
    pub status: u64,
    pub candles: u64,
    pub ping: u64,
}

/// What goes wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The gateway loses power and starts again.
    pub crash: Option<CrashFault>,
    /// A client's connection ends without a goodbye.
    pub drop: Option<Count>,
    /// The network between gateway and client carries nothing for a while.
    pub clog: Option<ClogFault>,
    /// A venue loses power and starts again.
    pub venue_crash: Option<CrashFault>,
    /// The network between gateway and venue carries nothing for a while, in one direction or both.
    pub venue_clog: Option<ClogFault>,
    /// A venue stands still for a while.
    pub venue_pause: Option<ClogFault>,
    /// The byte streams of gateway and venues misbehave.
    pub chaos: Option<ChaosPlan>,
    /// A relay between gateway and venues loses, repeats and delays frames.
    pub relay: Option<RelayPlan>,
}

/// See `Faults::crash`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashFault {
    pub count: Span,
    /// How many of a thousand crashes wait for a commit that is on its way to the disk.
    pub inside_commit_permille: u64,
}

/// How often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub count: Span,
}

/// What lasts: how often and how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClogFault {
    pub count: Span,
    pub for_ms: Span,
}

/// Least and most, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// One of the range.
    pub fn draw(self, draw: &mut Draw) -> u64 {
        draw.within(self.range())
    }

    /// As a range.
    pub const fn range(self) -> RangeInclusive<u64> {
        self.0..=self.1
    }
}

/// Why there is no such scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("{path}: {source}; run from the repository, or name the folder with --scenarios DIR")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("{path}: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error("no scenario `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
}

impl Scenario {
    /// Reads one file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads TOML; `path` names it in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let message = format!("{place}{}", error.message().replace('\n', " "));
            ScenarioError::Parse { path: path.to_owned(), message }
        })?;
        let invalid = |message: String| ScenarioError::Invalid { path: path.to_owned(), message };
        if path.file_stem().is_none_or(|stem| stem != scenario.name.as_str()) {
            return Err(invalid(format!("the file of `{0}` must be called {0}.toml", scenario.name)));
        }
        scenario.check().map_err(invalid)?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        let Topology { symbols, snapshot_interval, .. } = &self.topology;
        if !(1..=86_400).contains(&self.duration_s) {
            return Err(format!("duration_s = {}: must be 1 to 86400", self.duration_s));
        }
        if self.starts.is_empty() || symbols.is_empty() {
            return Err("starts and topology.symbols need at least one entry".into());
        }
        for start in &self.starts {
            if lockstep::domain::time::UnixNanos::parse(start).is_none() {
                return Err(format!("starts: `{start}` is not an RFC 3339 instant"));
            }
        }
        let counts = [
            Some(("operator.steps", self.operator.steps)),
            Some(("viewer.steps", self.viewer.steps)),
            Some(("topology.snapshot_interval", *snapshot_interval)),
            self.faults.crash.as_ref().map(|f| ("faults.crash.count", f.count)),
            self.faults.drop.as_ref().map(|f| ("faults.drop.count", f.count)),
            self.faults.clog.as_ref().map(|f| ("faults.clog.count", f.count)),
            self.faults.clog.as_ref().map(|f| ("faults.clog.for_ms", f.for_ms)),
            self.faults.venue_crash.as_ref().map(|f| ("faults.venue_crash.count", f.count)),
            self.faults.venue_clog.as_ref().map(|f| ("faults.venue_clog.count", f.count)),
            self.faults.venue_clog.as_ref().map(|f| ("faults.venue_clog.for_ms", f.for_ms)),
            self.faults.venue_pause.as_ref().map(|f| ("faults.venue_pause.count", f.count)),
            self.faults.venue_pause.as_ref().map(|f| ("faults.venue_pause.for_ms", f.for_ms)),
        ];
        for (key, Span(least, most)) in counts.into_iter().flatten() {
            if least > most || most > 100_000 {
                return Err(format!("{key} = [{least}, {most}]: least, then most, up to 100000"));
            }
        }
        if let Some(Venues { count, accounts, paper_permille }) = &self.topology.venues {
            for (key, Span(least, most)) in [("count", *count), ("accounts", *accounts)] {
                if least > most || !(1..=3).contains(&most) {
                    return Err(format!(
                        "topology.venues.{key} = [{least}, {most}]: least, then most, up to 3"
                    ));
                }
            }
            if *paper_permille > 1_000 {
                return Err(format!("topology.venues.paper_permille = {paper_permille}: at most 1000"));
            }
        }
        Ok(())
    }
}

/// The folder with the scenarios: the given one, or the repository's.
pub fn folder(given: Option<&Path>) -> PathBuf {
    match given {
        Some(path) => path.to_owned(),
        None if Path::new("scenarios").is_dir() => "scenarios".into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios"),
    }
}

/// All scenarios of a folder, by name.
pub fn all(folder: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    let failed = |source| ScenarioError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths.iter().map(|path| Scenario::read(path)).collect()
}

/// The scenarios that `selection` names: `all`, a name, several with commas between, or a file.
pub fn select(folder: &Path, selection: &str) -> Result<Vec<Scenario>, ScenarioError> {
    if selection.ends_with(".toml") {
        return Ok(vec![Scenario::read(Path::new(selection))?]);
    }
    let all = all(folder)?;
    if selection == "all" {
        return Ok(all);
    }
    let known = all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = selection.split(',').collect();
    if let Some(name) = names.iter().find(|name| all.iter().all(|s| s.name != **name)) {
        return Err(ScenarioError::Unknown { name: (*name).into(), known });
    }
    Ok(all.into_iter().filter(|s| names.contains(&s.name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_the_first_five() {
        let names: Vec<String> =
            all(&folder(None)).expect("they parse").into_iter().map(|s| s.name).collect();
        for name in ["client_disconnect", "emergency_stop", "gateway_crash", "market_closed", "quiet_day"] {
            assert!(names.iter().any(|n| n == name), "{name} is missing among {names:?}");
        }
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_its_place() {
        let path = folder(None).join("quiet_day.toml");
        let good = std::fs::read_to_string(&path).expect("there");
        let wrong = |text: &str| Scenario::parse(Path::new("quiet_day.toml"), text).expect_err("wrong");
        let unknown = wrong(&good.replace("duration_s", "duration_ms")).to_string();
        assert!(unknown.starts_with("quiet_day.toml: line "), "{unknown}");
        assert!(unknown.contains("duration_ms") && !unknown.contains('\n'), "{unknown}");
        let name = wrong(&good.replace("name = \"quiet_day\"", "name = \"loud_day\"")).to_string();
        assert_eq!(name, "quiet_day.toml: the file of `loud_day` must be called loud_day.toml");
        let unknown = select(&folder(None), "nothing").expect_err("unknown").to_string();
        assert!(unknown.starts_with("no scenario `nothing`; there are: "), "{unknown}");
    }
}
