//! `run`: one world.

use super::{CommandError, WORLD_LIMIT, failure};
use crate::{
    outcome::Outcome,
    plan::{Plan, plan},
    plan_file,
    run::{Report, run},
    scenario,
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// A scenario's name or file
    #[arg(long)]
    scenario: String,
    #[arg(long)]
    seed: u64,
    /// Writes one JSON object per record
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Writes the plan, which `replay` takes
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

impl Run {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let mut code = 0;
        for scenario in scenario::select(folder, &self.scenario)? {
            let plan = plan(self.seed, &scenario);
            if let Some(path) = &self.plan {
                plan_file::write(&plan, path)?;
            }
            let report = run(&plan, WORLD_LIMIT);
            code = show(&plan, &report, self.trace.as_deref(), &failure::again(&plan))?;
        }
        Ok(code)
    }
}

/// Writes a trace, one JSON object per record.
pub fn write_trace(report: &Report, path: &Path) -> Result<(), CommandError> {
    let mut file = BufWriter::new(File::create(path).map_err(CommandError::io(path))?);
    report.trace.write_jsonl(&mut file).map_err(CommandError::io(path))?;
    file.flush().map_err(CommandError::io(path))
}

/// Says how a world ended, and writes its trace; returns the exit code.
pub fn show(plan: &Plan, report: &Report, trace: Option<&Path>, again: &str) -> Result<u8, CommandError> {
    if let Some(path) = trace {
        write_trace(report, path)?;
    }
    if report.outcome != Outcome::Ok {
        print!("{}", failure::told(plan, report, again));
    }
    println!(
        "{} seed {}: {}, {} records, trace {}",
        plan.scenario,
        plan.seed,
        report.outcome,
        report.trace.len(),
        report.trace_hash()
    );
    for (mark, count) in &report.counts.marks {
        println!("  {count:>6} {mark}");
    }
    Ok(report.outcome.exit_code())
}
