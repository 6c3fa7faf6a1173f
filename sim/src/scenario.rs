//! Scenarios: what kind of situation a world is, as TOML for people.

use crate::{
    draw::Draw,
    guests::GuestMix,
    plan::{ChaosPlan, RelayPlan},
    process,
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
    /// Nobody works for a long time in the midst of it.
    #[serde(default)]
    pub rest: Option<RestMix>,
    pub topology: Topology,
    pub operator: Workload,
    pub viewer: Workload,
    /// Clients beyond these two.
    #[serde(default)]
    pub guests: GuestMix,
    #[serde(default)]
    pub faults: Faults,
    /// Marks that a sweep must reach at least once.
    #[serde(default)]
    pub expect: Vec<String>,
}

/// All clients are away and, in many worlds, all machines off, such as over a weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestMix {
    /// Simulated seconds after the beginning.
    pub after_s: u64,
    /// How many more seconds it lasts; `duration_s` does not count them.
    pub for_s: u64,
    /// How far prices are elsewhere afterwards, in thousandths, up or down.
    pub gap_permille: Span,
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
    /// Quotes that are older are not traded on; absent: the product's default.
    #[serde(default)]
    pub quote_max_age_ms: Option<Span>,
    /// Such limits that are drawn anew for each world, and are off in some.
    #[serde(default)]
    pub risk_within: BTreeMap<String, Span>,
    /// Limits of `[gateway]` in the gateway's configuration, such as `outbound_frames`.
    #[serde(default)]
    pub gateway: BTreeMap<String, u64>,
    /// Records between snapshots, least and most.
    #[serde(default = "snapshots")]
    pub snapshot_interval: Span,
    /// Venues behind a wire, besides the paper account.
    #[serde(default)]
    pub venues: Option<Venues>,
    /// How many accounts the viewer's token reaches; absent: all.
    #[serde(default)]
    pub viewer_sees: Option<Span>,
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
    /// Times at which it does many things at once, besides.
    #[serde(default)]
    pub bursts: Option<Bursts>,
}

/// See `Workload::bursts`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    pub count: Span,
    /// Steps of each.
    pub steps: Span,
    /// Each is of one of these.
    pub mixes: Vec<Mix>,
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
    /// Stops, stop-limits and trailing stops; with them limit orders that are dated, post-only, `fok` or `ioc`.
    pub pending: u64,
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
    pub clog: Option<Lasting>,
    /// A venue loses power and starts again.
    pub venue_crash: Option<CrashFault>,
    /// The network between gateway and venue carries nothing for a while, in one direction or both.
    pub venue_clog: Option<Lasting>,
    /// A venue stands still for a while.
    pub venue_pause: Option<Lasting>,
    /// The gateway stands still for a while.
    pub pause: Option<Lasting>,
    /// A machine loses power and stays off for a while.
    pub off: Option<Lasting>,
    /// A machine loses power again and again.
    pub crash_loop: Option<CrashLoop>,
    /// Nothing gets to the gateway or from it for a while.
    pub partition: Option<Lasting>,
    /// The network is slower for a while.
    pub lag: Option<Slowness>,
    /// Clocks jump and drift.
    pub clock: Option<ClockMishap>,
    /// No file of a machine can grow for a while.
    pub disk_full: Option<Lasting>,
    /// Syncs of a machine fail.
    pub sync_fails: Option<SyncFails>,
    /// Syncs of a machine take long for a while.
    pub disk_slow: Option<Slowness>,
    /// A bit flips at rest.
    pub bit_flip: Option<Count>,
    /// A file of the journal is lost at rest.
    pub file_lost: Option<Count>,
    /// Markets misbehave.
    pub market: Option<MarketMishap>,
    /// The byte streams of gateway and venues misbehave.
    pub chaos: Option<ChaosPlan>,
    /// A relay between gateway and venues loses, repeats and delays frames.
    pub relay: Option<RelayPlan>,
    /// A client's token is revoked while the gateway runs, as by `lockstep token revoke`; later it has
    /// another one.
    pub revoke: Option<RevokeFault>,
}

/// See `Faults::revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeFault {
    pub count: Span,
    /// How long the client is kept out, in milliseconds.
    pub back_after_ms: Span,
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
pub struct Lasting {
    pub count: Span,
    pub for_ms: Span,
}

/// What lasts and makes something slower: how often, by how much and how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slowness {
    pub count: Span,
    pub by_ms: Span,
    pub for_ms: Span,
}

/// See `Faults::crash_loop`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashLoop {
    pub count: Span,
    /// Crashes in a row.
    pub times: Span,
    /// Between a start and the next crash.
    pub every_ms: Span,
}

/// See `Faults::sync_fails`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncFails {
    pub count: Span,
    /// Syncs that fail in a row.
    pub syncs: Span,
}

/// See `Faults::clock`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockMishap {
    pub jumps: Span,
    /// How far a clock jumps, forward or back.
    pub by_ms: Span,
    pub drifts: Span,
    /// How much too fast or too slow, in millionths.
    pub ppm: Span,
    /// How long either lasts.
    pub for_ms: Span,
}

/// See `Faults::market`. Each is a number of times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarketMishap {
    /// Nobody quotes.
    pub gaps: Span,
    /// Prices are elsewhere for a while: a flash crash.
    pub jumps: Span,
    /// How far prices jump, in thousandths, up or down.
    pub permille: Span,
    /// Spreads are up to 60 times as wide.
    pub wide: Span,
    /// Bids lie above asks.
    pub crossed: Span,
    /// How long each lasts.
    pub for_ms: Span,
}

impl Faults {
    /// Every span of every kind that is there, by its key.
    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        let mut add = |kind: &str, parts: &[(&str, Span)]| {
            spans.extend(parts.iter().map(|(part, span)| (format!("{kind}.{part}"), *span)));
        };
        let lasting = [
            ("clog", &self.clog),
            ("venue_clog", &self.venue_clog),
            ("venue_pause", &self.venue_pause),
            ("pause", &self.pause),
            ("off", &self.off),
            ("partition", &self.partition),
            ("disk_full", &self.disk_full),
        ];
        for (kind, fault) in lasting {
            if let Some(Lasting { count, for_ms }) = fault {
                add(kind, &[("count", *count), ("for_ms", *for_ms)]);
            }
        }
        for (kind, fault) in [("lag", &self.lag), ("disk_slow", &self.disk_slow)] {
            if let Some(Slowness { count, by_ms, for_ms }) = fault {
                add(kind, &[("count", *count), ("by_ms", *by_ms), ("for_ms", *for_ms)]);
            }
        }
        for (kind, fault) in [("crash", &self.crash), ("venue_crash", &self.venue_crash)] {
            if let Some(CrashFault { count, .. }) = fault {
                add(kind, &[("count", *count)]);
            }
        }
        for (kind, fault) in
            [("drop", &self.drop), ("bit_flip", &self.bit_flip), ("file_lost", &self.file_lost)]
        {
            if let Some(Count { count }) = fault {
                add(kind, &[("count", *count)]);
            }
        }
        if let Some(CrashLoop { count, times, every_ms }) = &self.crash_loop {
            add("crash_loop", &[("count", *count), ("times", *times), ("every_ms", *every_ms)]);
        }
        if let Some(SyncFails { count, syncs }) = &self.sync_fails {
            add("sync_fails", &[("count", *count), ("syncs", *syncs)]);
        }
        if let Some(ClockMishap { jumps, by_ms, drifts, ppm, for_ms }) = &self.clock {
            let times = [("jumps", *jumps), ("drifts", *drifts)];
            add("clock", &times);
            add("clock", &[("by_ms", *by_ms), ("ppm", *ppm), ("for_ms", *for_ms)]);
        }
        if let Some(MarketMishap { gaps, jumps, permille, wide, crossed, for_ms }) = &self.market {
            add("market", &[("gaps", *gaps), ("jumps", *jumps), ("wide", *wide), ("crossed", *crossed)]);
            add("market", &[("permille", *permille), ("for_ms", *for_ms)]);
        }
        spans
    }
}

/// Least and most, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        for (key, Span(least, most)) in self.faults.spans() {
            if least > most || most > 100_000 {
                return Err(format!("faults.{key} = [{least}, {most}]: least, then most, up to 100000"));
            }
        }
        let counts = [
            Some(("operator.steps", self.operator.steps)),
            Some(("viewer.steps", self.viewer.steps)),
            Some(("topology.snapshot_interval", *snapshot_interval)),
            self.topology.quote_max_age_ms.map(|span| ("topology.quote_max_age_ms", span)),
        ];
        let revoke = self.faults.revoke.as_ref();
        let more = [
            revoke.map(|f| ("faults.revoke.count", f.count)),
            revoke.map(|f| ("faults.revoke.back_after_ms", f.back_after_ms)),
            self.operator.bursts.as_ref().map(|b| ("operator.bursts.count", b.count)),
            self.operator.bursts.as_ref().map(|b| ("operator.bursts.steps", b.steps)),
            self.viewer.bursts.as_ref().map(|b| ("viewer.bursts.count", b.count)),
            self.viewer.bursts.as_ref().map(|b| ("viewer.bursts.steps", b.steps)),
        ];
        let more = more.into_iter().flatten().chain(self.guests.spans());
        for (key, Span(least, most)) in counts.into_iter().flatten().chain(more) {
            if least > most || most > 100_000 {
                return Err(format!("{key} = [{least}, {most}]: least, then most, up to 100000"));
            }
        }
        for (key, permille) in self.guests.permilles() {
            if permille > 1_000 {
                return Err(format!("guests.{key} = {permille}: at most 1000"));
            }
        }
        let bursts = [("operator", &self.operator.bursts), ("viewer", &self.viewer.bursts)];
        for (client, bursts) in bursts {
            if bursts.as_ref().is_some_and(|bursts| bursts.mixes.is_empty()) {
                return Err(format!("{client}.bursts.mixes: needs at least one mix"));
            }
        }
        let Topology { gateway, risk, risk_within, .. } = &self.topology;
        process::check_limits(gateway, risk).map_err(|error| format!("topology.{error}"))?;
        for (key, Span(least, most)) in risk_within {
            if least > most {
                return Err(format!("topology.risk_within.{key} = [{least}, {most}]: least, then most"));
            }
            for bound in [least, most] {
                let limit = [(key.clone(), bound.to_string())].into();
                let plain = |error: String| error.replacen("risk.", "topology.risk_within.", 1);
                process::check_limits(gateway, &limit).map_err(plain)?;
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
        for (good, bad, told) in [
            (
                "deposit = 10000",
                "deposit = 10000\ngateway = { outbound_frame = 3 }",
                "topology.gateway.outbound_frame: there is no such key; did you mean `outbound_frames`?",
            ),
            (
                "deposit = 10000",
                "deposit = 10000\ngateway = { outbound_frames = 3 }",
                "topology.gateway.outbound_frames: 3 is not ",
            ),
            (
                "deposit = 10000",
                "deposit = 10000\nrisk_within = { max_positions = [4, 1] }",
                "topology.risk_within.max_positions = [4, 1]: least, then most",
            ),
            (
                "deposit = 10000",
                "deposit = 10000\nrisk_within = { max_position = [1, 4] }",
                "topology.risk_within.max_position: there is no such key",
            ),
            (
                "[operator]",
                "[guests.abuser]\nsteps = [9, 1]\n[operator]",
                "guests.abuser.steps = [9, 1]: least, then most",
            ),
            (
                "[operator]",
                "[guests.second_operator]\nsteps = [1, 9]\nmix = {}\nclash_permille = 1001\n[operator]",
                "guests.second_operator.clash_permille = 1001: at most 1000",
            ),
            (
                "[operator]",
                "[faults.revoke]\ncount = [1, 0]\nback_after_ms = [1, 2]\n[operator]",
                "faults.revoke.count = [1, 0]: least, then most",
            ),
            (
                "[operator]",
                "[operator]\nbursts = { count = [1, 1], steps = [1, 1], mixes = [] }",
                "operator.bursts.mixes: needs at least one mix",
            ),
        ] {
            let text = std::fs::read_to_string(&path).expect("there").replacen(good, bad, 1);
            let error = wrong(&text).to_string();
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
        let unknown = select(&folder(None), "nothing").expect_err("unknown").to_string();
        assert!(unknown.starts_with("no scenario `nothing`; there are: "), "{unknown}");
    }
}
