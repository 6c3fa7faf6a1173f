//! `run`: one world.

use super::{CommandError, WORLD_LIMIT, report};
use crate::{outcome::Outcome, plan::plan, run::run, scenario};
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
}

impl Run {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let mut code = 0;
        for scenario in scenario::select(folder, &self.scenario)? {
            let plan = plan(self.seed, &scenario);
            let report = run(&plan, WORLD_LIMIT);
            if let Some(path) = &self.trace {
                let mut file = BufWriter::new(File::create(path).map_err(CommandError::io(path))?);
                report.trace.write_jsonl(&mut file).map_err(CommandError::io(path))?;
                file.flush().map_err(CommandError::io(path))?;
            }
            if report.outcome != Outcome::Ok {
                print!("{}", report::failure(&plan, &report));
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
            code = report.outcome.exit_code();
        }
        Ok(code)
    }
}
