//! `report`: a world as one page that a browser opens without a network: a space-time diagram of its nodes
//! and messages, what was violated, and what went wrong.

mod flow;
mod page;
mod saying;
mod span;
mod story;

use super::{CommandError, WORLD_LIMIT, failure::commit, target::plan_of};
use crate::run::run;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// SCENARIO:SEED, or a plan file
    #[arg(value_name = "SCENARIO:SEED|PLAN.json")]
    target: String,
    /// Where the page goes
    #[arg(long, short, value_name = "RUN.html")]
    output: PathBuf,
}

impl Report {
    /// The exit code: that of the world.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let plan = plan_of(folder, &self.target)?;
        let world = run(&plan, WORLD_LIMIT);
        let page = page::page(&plan, &world, &format!("cargo sim replay {}", self.target), &commit());
        fs::write(&self.output, page).map_err(CommandError::io(&self.output))?;
        println!(
            "{} seed {}: {}, {} records, trace {}: {}",
            plan.scenario,
            plan.seed,
            world.outcome,
            world.trace.len(),
            world.trace_hash(),
            self.output.display()
        );
        Ok(world.outcome.exit_code())
    }
}

#[cfg(test)]
mod tests;
