//! `sweep`: many worlds, and what they reached.

use super::{
    CommandError,
    batch::{self, Batch, Shard},
    cores, failure, memory, seeds,
};
use crate::{
    crossing::Crossings,
    outcome::{MARK_MISSING, Outcome},
    scenario::{self, Scenario},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Failures that are printed in full; all are counted and in the JSON.
const PRINTED: usize = 5;

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
pub struct Sweep {
    /// A scenario's name or file, several with commas between, or `all`
    #[arg(long, default_value = "all")]
    scenario: String,
    /// A..B, without B; every seed runs every scenario
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    /// Worlds at a time
    #[arg(long, default_value_t = cores())]
    jobs: usize,
    /// Only a part of the worlds: the first of four is 1/4
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Begins no further world after so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Begins no further world after the first that failed
    #[arg(long)]
    until_failure: bool,
    /// Writes one line `{scenario, seed, traceHash, outcome}` per world
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One line of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    pub scenario: String,
    pub seed: u64,
    pub trace_hash: String,
    pub outcome: Outcome,
}

/// What a sweep adds up.
#[derive(Default)]
struct Totals {
    lines: Vec<Line>,
    failures: usize,
    inputs: u64,
    simulated: Duration,
    /// By scenario and mark: worlds that reached it, and how often.
    marks: BTreeMap<(String, String), (u64, u64)>,
    crossings: Crossings,
    /// Memory of the process when a tenth of the worlds was through, in MiB.
    early_mib: Option<u64>,
}

impl Sweep {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let scenarios = scenario::select(folder, &self.scenario)?;
        let worlds = (self.seeds.end - self.seeds.start) * scenarios.len() as u64;
        let ours = worlds / self.shard.map_or(1, |shard| shard.of as u64);
        let progress = bar(ours);
        let started = clock();
        let limit = self.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        let has_failed = AtomicBool::new(false);
        let goes_on = || {
            let may_go_on = !(self.until_failure && has_failed.load(Ordering::Relaxed));
            may_go_on && limit.is_none_or(|limit| started.elapsed() < limit)
        };
        let batch = Batch { jobs: self.jobs, shard: self.shard, goes_on: &goes_on };
        let mut totals = Totals::default();
        batch::run_all(&scenarios, self.seeds.clone(), &batch, |plan, world| {
            if world.outcome != Outcome::Ok {
                totals.failures += 1;
                has_failed.store(true, Ordering::Relaxed);
                if totals.failures <= PRINTED {
                    progress.suspend(|| print!("{}", failure::told(plan, &world, &failure::again(plan))));
                }
            }
            totals.add(&plan.scenario, plan.seed, &world);
            if totals.lines.len() as u64 == ours / 10 {
                totals.early_mib = memory::resident_mib();
            }
            progress.set_message(format!("{} failed", totals.failures));
            progress.inc(1);
        });
        progress.finish_and_clear();
        totals.lines.sort();
        if let Some(path) = &self.json {
            write_lines(path, &totals.lines)?;
        }
        totals.print_marks();
        totals.print_crossings();
        totals.print_speed(started.elapsed(), self.jobs);
        // a part need not reach what the whole must
        let expecting = if self.shard.is_some() || self.until_failure { &[][..] } else { &scenarios };
        Ok(totals.exit_code(expecting))
    }
}

impl Totals {
    fn add(&mut self, scenario: &str, seed: u64, world: &crate::run::Report) {
        self.lines.push(Line {
            scenario: scenario.to_owned(),
            seed,
            trace_hash: world.trace_hash(),
            outcome: world.outcome,
        });
        self.inputs += world.counts.inputs;
        self.simulated += world.simulated;
        for (crossing, orders) in &world.counts.crossings {
            *self.crossings.entry(crossing.clone()).or_default() += orders;
        }
        for (mark, count) in &world.counts.marks {
            let (worlds, times) = self.marks.entry((scenario.to_owned(), mark.clone())).or_default();
            *worlds += 1;
            *times += count;
        }
    }

    fn print_marks(&self) {
        println!("{:<28} {:<30} {:>8} {:>10}", "scenario", "mark", "worlds", "times");
        for ((scenario, mark), (worlds, times)) in &self.marks {
            println!("{scenario:<28} {mark:<30} {worlds:>8} {times:>10}");
        }
    }

    /// Faults against the states of orders: what no fault has met is not known to withstand it.
    fn print_crossings(&self) {
        const STATES: [&str; 7] = [
            "submitted",
            "accepted",
            "partially_filled",
            "pending_modify",
            "pending_cancel",
            "unknown",
            "triggered",
        ];
        let faults: BTreeSet<&str> = self.crossings.keys().map(|(fault, _)| fault.as_str()).collect();
        println!(
            "{:<28} {}",
            "fault met orders that were",
            STATES.map(|state| format!("{state:>17}")).concat()
        );
        for fault in faults {
            let met = |state: &str| self.crossings.get(&(fault.to_owned(), state.to_owned())).copied();
            let counts = STATES.map(|state| format!("{:>17}", met(state).unwrap_or_default()));
            println!("{fault:<28} {}", counts.concat());
        }
    }

    fn print_speed(&self, elapsed: Duration, jobs: usize) {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        let worlds = self.lines.len() as f64;
        println!(
            "{} worlds, {} failed, in {seconds:.1} s with {jobs} jobs: {:.1} worlds/s, {:.1} a job, {:.0} machine \
             inputs/s, {:.0} times as fast as real",
            self.lines.len(),
            self.failures,
            worlds / seconds,
            worlds / seconds / jobs.max(1) as f64,
            self.inputs as f64 / seconds,
            self.simulated.as_secs_f64() / seconds,
        );
        if let (Some(early), Some(late)) = (self.early_mib, memory::resident_mib()) {
            println!("memory: {early} MiB after a tenth of the worlds, {late} MiB after all");
        }
    }

    fn exit_code(&self, scenarios: &[Scenario]) -> u8 {
        let gravest = self.lines.iter().map(|line| line.outcome).min().unwrap_or(Outcome::Ok);
        if gravest != Outcome::Ok {
            return gravest.exit_code();
        }
        let mut code = 0;
        for scenario in scenarios {
            for mark in &scenario.expect {
                if !self.marks.contains_key(&(scenario.name.clone(), mark.clone())) {
                    println!("{}: expected mark `{mark}` never fired", scenario.name);
                    code = MARK_MISSING;
                }
            }
        }
        code
    }
}

fn bar(worlds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} worlds, {per_sec}, {msg}, {eta} left")
        .expect("a valid template");
    ProgressBar::new(worlds).with_style(style)
}

/// Real time: how fast the simulator is, is the one thing here that is not simulated.
#[expect(clippy::disallowed_methods, reason = "measures the host")]
fn clock() -> Instant {
    Instant::now()
}

fn write_lines(path: &Path, lines: &[Line]) -> Result<(), CommandError> {
    let mut file = BufWriter::new(File::create(path).map_err(CommandError::io(path))?);
    for line in lines {
        let json = serde_json::to_string(line).expect("a line is data");
        writeln!(file, "{json}").map_err(CommandError::io(path))?;
    }
    file.flush().map_err(CommandError::io(path))
}
