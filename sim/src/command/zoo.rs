//! `zoo`: plants faults, one at a time, and tells which of them the simulator finds.

use super::{
    CommandError,
    batch::{self, Batch},
    cores, seeds,
    shrink::Smallest,
    sweep::Line,
};
use crate::{
    outcome::{MARK_MISSING, Outcome},
    scenario,
    zoo::{Fault, Finding, Tree, VARIABLE, only, pick},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

/// Seeds of every scenario with which the patched binary must do what this one does, as long as no fault is
/// in force.
const CONTROL: Range<u64> = 0..3;

/// Arguments of `zoo`.
#[derive(Debug, clap::Args)]
pub struct Zoo {
    /// Only these faults
    #[arg(long, value_name = "N[,N]", value_delimiter = ',')]
    only: Vec<u32>,
    /// Only so many, in rotation: `--of` says where it stands
    #[arg(long, value_name = "K", requires = "of", conflicts_with = "only")]
    pick: Option<usize>,
    /// With `--pick`, any text, such as a commit: the same one picks the same faults
    #[arg(long, value_name = "TEXT", requires = "pick")]
    of: Option<String>,
    /// A..B, without B: where each fault is looked for
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Worlds at a time
    #[arg(long, default_value_t = cores())]
    jobs: usize,
    /// Real time for making one failing plan small; 0 leaves it as it is
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Writes one line per fault
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only sees whether all patches apply and build
    #[arg(long)]
    check: bool,
}

/// What became of a fault.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: u32,
    name: String,
    why: String,
    /// `None`: nothing noticed it.
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    scenario: String,
    seed: u64,
    /// How many worlds were tried, this one included.
    worlds: usize,
    /// Whether the patch names this oracle and rule.
    expected: bool,
    #[serde(flatten)]
    shrunk: Smallest,
}

impl Zoo {
    /// The exit code.
    pub fn execute(&self) -> Result<u8, CommandError> {
        let tree = Tree::here()?;
        let all = Fault::all(&tree.patches())?;
        let chosen = match (&*self.only, self.pick) {
            ([], None) => all[1..].to_vec(),
            ([], Some(count)) => pick(&all, count, self.of.as_deref().unwrap_or_default()),
            (numbers, _) => only(&all, numbers)?,
        };
        eprintln!("{} patches: applying and building", all.len());
        let binary = Patched { binary: tree.make(&all)?, tree, zoo: self };
        if self.check {
            println!("{} faults and their macro apply and build", all.len() - 1);
            return Ok(0);
        }
        let outcome = binary.control()?;
        if outcome != Outcome::Ok {
            return Ok(outcome.exit_code());
        }
        let mut rows = Vec::new();
        for fault in &chosen {
            let found = binary.find(fault)?;
            eprintln!("{}", told(fault, found.as_ref()));
            rows.push(Row { number: fault.number, name: fault.name.clone(), why: fault.why.clone(), found });
        }
        if let Some(path) = &self.json {
            let lines: Vec<String> =
                rows.iter().map(|row| serde_json::to_string(row).expect("a row is data") + "\n").collect();
            std::fs::write(path, lines.concat()).map_err(CommandError::io(path))?;
        }
        print!("{}", table(&rows));
        Ok(if rows.iter().all(|row| row.found.is_some()) { 0 } else { MARK_MISSING })
    }
}

/// One line about a fault, as soon as it is known.
fn told(fault: &Fault, found: Option<&Found>) -> String {
    let Fault { number, name, expect, .. } = fault;
    let Some(Found { scenario, seed, worlds, expected, shrunk }) = found else {
        return format!("{number:02} {name}: NOT FOUND");
    };
    let by = format!("{} {}", shrunk.oracle, shrunk.rule);
    let expect: Vec<String> =
        expect.iter().map(|Finding { oracle, rule }| format!("{oracle} {rule}")).collect();
    let other =
        if *expected { String::new() } else { format!(", where {} was expected", expect.join(" or ")) };
    let steps = shrunk.steps;
    format!("{number:02} {name}: {scenario}:{seed}, world {worlds}, by {by}{other}, {steps} steps")
}

/// The table of docs/SIMULATION.md.
fn table(rows: &[Row]) -> String {
    let mut text =
        "| | planted fault | found at | oracle | rule | steps |\n|---|---|---|---|---|---|\n".to_owned();
    for Row { number, why, found, .. } in rows {
        text += &match found {
            Some(Found { scenario, seed, shrunk, .. }) => {
                let Smallest { outcome, oracle, rule, steps, .. } = shrunk;
                let by = if oracle.is_empty() { outcome.to_string() } else { format!("`{oracle}`") };
                format!("| {number} | {why} | `{scenario}:{seed}` | {by} | {rule} | {steps} |\n")
            }
            None => format!("| {number} | {why} | not found | | | |\n"),
        };
    }
    text
}

/// The binary of the scratch tree.
struct Patched<'a> {
    binary: PathBuf,
    tree: Tree,
    zoo: &'a Zoo,
}

impl Patched<'_> {
    /// Without a fault in force the patched binary makes the very traces that this one makes, and they are ok.
    fn control(&self) -> Result<Outcome, CommandError> {
        let mut ours = BTreeMap::new();
        let scenarios = scenario::all(&self.tree.scenarios())?;
        let batch = Batch { jobs: self.zoo.jobs, shard: None, goes_on: &|| true };
        batch::run_all(&scenarios, CONTROL, &batch, |plan, report| {
            ours.insert((plan.scenario.clone(), plan.seed), report.trace_hash());
        });
        let theirs = self.sweep(None, "all", &CONTROL, &[])?;
        let mut gravest = Outcome::Ok;
        for Line { scenario, seed, trace_hash, outcome } in &theirs {
            if *outcome != Outcome::Ok {
                println!("{scenario} seed {seed} ends without a fault in force: {outcome}");
            } else if ours.get(&(scenario.clone(), *seed)) != Some(trace_hash) {
                println!(
                    "{scenario} seed {seed} differs, though no fault is in force: is this build of this tree?"
                );
                gravest = gravest.min(Outcome::Nondeterminism);
            }
            gravest = gravest.min(*outcome);
        }
        if theirs.len() != ours.len() {
            let message = format!("it ran {} worlds of {}", theirs.len(), ours.len());
            return Err(self.failed(message));
        }
        eprintln!("without a fault in force: {} worlds, {gravest}, traces compared", theirs.len());
        Ok(gravest)
    }

    /// The first world that notices the fault: in its own scenarios, then in all.
    fn find(&self, fault: &Fault) -> Result<Option<Found>, CommandError> {
        let mut worlds = 0;
        for selection in [&*fault.scenarios.join(","), "all"] {
            let lines = self.sweep(Some(fault), selection, &self.zoo.seeds, &["--until-failure"])?;
            // they are begun in this order, and those that had begun before a failure came to their end
            let first = lines.iter().filter(|line| line.outcome != Outcome::Ok);
            let first = first.min_by_key(|line| (line.seed, line.scenario.clone())).cloned();
            if let Some(Line { scenario, seed, .. }) = first {
                let before = |line: &&Line| (line.seed, &line.scenario) <= (seed, &scenario);
                worlds += lines.iter().filter(before).count();
                let shrunk = self.shrink(fault, &format!("{scenario}:{seed}"))?;
                let expected =
                    fault.expect.iter().any(|by| by.oracle == shrunk.oracle && by.rule == shrunk.rule);
                return Ok(Some(Found { scenario, seed, worlds, expected, shrunk }));
            }
            worlds += lines.len();
        }
        Ok(None)
    }

    fn sweep(
        &self,
        fault: Option<&Fault>,
        selection: &str,
        seeds: &Range<u64>,
        more: &[&str],
    ) -> Result<Vec<Line>, CommandError> {
        let lines = self.tree.results().join("sweep.jsonl");
        let mut command = self.command(fault);
        command.args([
            "sweep",
            "--scenario",
            selection,
            "--seeds",
            &format!("{}..{}", seeds.start, seeds.end),
        ]);
        command.args(["--jobs", &self.zoo.jobs.to_string()]).args(more).arg("--json").arg(&lines);
        let text = self.result(command, &lines)?;
        let line = |line: &str| serde_json::from_str(line).map_err(|error| self.failed(error.to_string()));
        text.lines().map(line).collect()
    }

    fn shrink(&self, fault: &Fault, target: &str) -> Result<Smallest, CommandError> {
        let name = format!("{:02}_{}", fault.number, fault.name);
        let result = self.tree.results().join("shrink.json");
        let mut command = self.command(Some(fault));
        command.args(["shrink", target, "-o"]).arg(self.tree.results().join(name + ".json"));
        command.args(["--jobs", &self.zoo.jobs.to_string(), "--seconds", &self.zoo.seconds.to_string()]);
        command.arg("--json").arg(&result);
        let text = self.result(command, &result)?;
        serde_json::from_str(&text).map_err(|error| self.failed(error.to_string()))
    }

    fn command(&self, fault: Option<&Fault>) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--scenarios").arg(self.tree.scenarios());
        match fault {
            Some(fault) => command.env(VARIABLE, fault.number.to_string()),
            None => command.env_remove(VARIABLE),
        };
        command
    }

    /// Runs the binary and returns what it wrote to `path`; that a world failed is no failure here.
    fn result(&self, mut command: Command, path: &Path) -> Result<String, CommandError> {
        // of an earlier run nothing must be left; that there was none is well
        let _ = std::fs::remove_file(path);
        let output = command.output().map_err(|error| self.failed(error.to_string()))?;
        std::fs::read_to_string(path).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            self.failed(format!("it wrote no result: {}", errors.lines().next().unwrap_or("no message")))
        })
    }

    fn failed(&self, message: String) -> CommandError {
        CommandError::Patched { binary: self.binary.display().to_string(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_who_found_what_and_what_nobody_found() {
        let shrunk = Smallest {
            outcome: Outcome::Safety,
            oracle: "ledger".into(),
            rule: "AC01".into(),
            steps: 4,
            duration_ms: 9_000,
            worlds: 70,
        };
        let found =
            |shrunk| Found { scenario: "quiet_day".into(), seed: 3, worlds: 4, expected: true, shrunk };
        let panic = Smallest {
            outcome: Outcome::Panic,
            oracle: String::new(),
            rule: String::new(),
            ..shrunk.clone()
        };
        let row = |number, found| Row { number, name: "x".into(), why: "It forgets.".into(), found };
        let rows = [row(1, Some(found(shrunk))), row(2, Some(found(panic))), row(3, None)];
        let expected = "| 1 | It forgets. | `quiet_day:3` | `ledger` | AC01 | 4 |\n\
            | 2 | It forgets. | `quiet_day:3` | panic |  | 4 |\n\
            | 3 | It forgets. | not found | | | |\n";
        assert!(table(&rows).ends_with(expected), "{}", table(&rows));
        let json = serde_json::to_value(&rows[0]).expect("data");
        assert_eq!(
            (&json["scenario"], &json["oracle"], &json["steps"]),
            (&"quiet_day".into(), &"ledger".into(), &4.into())
        );
    }
}
