//! `check`: equal seeds give equal bytes (DT01).

use super::{
    CommandError, WORLD_LIMIT,
    batch::{self, Batch},
    failure, seeds,
    sweep::Line,
};
use crate::{
    outcome::Outcome,
    plan::plan,
    run::{Report, run},
    scenario::{self, Scenario},
    trace::Trace,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// A scenario's name or file, or `all`
    #[arg(long, default_value = "all")]
    scenario: String,
    /// A..B, without B
    #[arg(long, value_parser = seeds)]
    seeds: Range<u64>,
    /// Another build of this program, such as target/debug/lockstep-sim: its traces must be the same
    #[arg(long, value_name = "BIN")]
    against: Option<PathBuf>,
}

/// Trace hash by scenario and seed.
type Hashes = BTreeMap<(String, u64), String>;

impl Check {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let scenarios = scenario::select(folder, &self.scenario)?;
        let mut gravest = Outcome::Ok;
        let alone = self.alone_and_twice(&scenarios, &mut gravest);
        for (how, jobs) in [("in a batch", 1), ("beside others", 2)] {
            let batch = self.batch(&scenarios, jobs);
            compare(&alone, &batch, how, &mut gravest);
        }
        if let Some(binary) = &self.against {
            let other = self.other_build(binary, folder)?;
            compare(&alone, &other, "in the other build", &mut gravest);
        }
        println!("{} worlds checked: {gravest}", alone.len());
        Ok(gravest.exit_code())
    }

    fn alone_and_twice(&self, scenarios: &[Scenario], gravest: &mut Outcome) -> Hashes {
        let mut hashes = Hashes::new();
        for (seed, scenario) in self.seeds.clone().flat_map(|seed| scenarios.iter().map(move |s| (seed, s))) {
            let plan = plan(seed, scenario);
            let (first, second) = (run(&plan, WORLD_LIMIT), run(&plan, WORLD_LIMIT));
            if first.outcome != Outcome::Ok {
                print!("{}", failure::told(&plan, &first, &failure::again(&plan)));
                *gravest = (*gravest).min(first.outcome);
            }
            if first.trace_hash() != second.trace_hash() {
                println!("{} seed {seed} differs the second time:", scenario.name);
                tell_difference(&first, &second);
                *gravest = (*gravest).min(Outcome::Nondeterminism);
            }
            hashes.insert((scenario.name.clone(), seed), first.trace_hash());
        }
        hashes
    }

    fn batch(&self, scenarios: &[Scenario], jobs: usize) -> Hashes {
        let mut hashes = Hashes::new();
        let all = Batch { jobs, shard: None, goes_on: &|| true };
        batch::run_all(scenarios, self.seeds.clone(), &all, |plan, report| {
            hashes.insert((plan.scenario.clone(), plan.seed), report.trace_hash());
        });
        hashes
    }

    /// Runs the other build as a process of its own.
    fn other_build(&self, binary: &Path, folder: &Path) -> Result<Hashes, CommandError> {
        let failed =
            |message: String| CommandError::OtherBuild { binary: binary.display().to_string(), message };
        let name = format!("lockstep-sim-check-{}.jsonl", std::process::id());
        let lines = std::env::temp_dir().join(name);
        let seeds = format!("{}..{}", self.seeds.start, self.seeds.end);
        let output = Command::new(binary)
            .arg("--scenarios")
            .arg(folder)
            .args(["sweep", "--scenario", &self.scenario, "--seeds", &seeds, "--json"])
            .arg(&lines)
            .output()
            .map_err(|error| failed(error.to_string()))?;
        let text = std::fs::read_to_string(&lines).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            failed(format!("it wrote no result: {}", errors.lines().next().unwrap_or("no message")))
        })?;
        // It lies in the temporary folder; if it cannot be removed, the system will.
        let _ = std::fs::remove_file(&lines);
        text.lines()
            .map(|line| {
                let Line { scenario, seed, trace_hash, .. } =
                    serde_json::from_str(line).map_err(|error| failed(error.to_string()))?;
                Ok(((scenario, seed), trace_hash))
            })
            .collect()
    }
}

fn compare(expected: &Hashes, other: &Hashes, how: &str, gravest: &mut Outcome) {
    for ((scenario, seed), hash) in expected {
        let same = other.get(&(scenario.clone(), *seed)) == Some(hash);
        if !same {
            println!("{scenario} seed {seed} differs {how}");
            *gravest = (*gravest).min(Outcome::Nondeterminism);
        }
    }
}

/// The first record in which two traces differ.
fn tell_difference(first: &Report, second: &Report) {
    let line = |trace: &Trace, seq| trace.get(seq).map_or("the end".to_owned(), |r| r.line());
    let length = first.trace.len().max(second.trace.len());
    if let Some(seq) = (0..length).find(|seq| first.trace.get(*seq) != second.trace.get(*seq)) {
        println!("  {}\n  {}", line(&first.trace, seq), line(&second.trace, seq));
    }
}
