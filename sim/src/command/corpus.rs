//! `corpus`: plans that once failed, each of which must end well.

use super::{
    CommandError, WORLD_LIMIT, failure,
    inputs::{again, limit},
};
use crate::{
    inputs,
    outcome::Outcome,
    plan_file::{self, AnyPlan},
    run::run,
};
use std::path::{Path, PathBuf};

/// Arguments of `corpus`.
#[derive(Debug, clap::Args)]
pub struct Corpus {
    /// The folder with the plans [default: `regressions` among the scenarios]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Corpus {
    /// The exit code.
    pub fn execute(&self, scenarios: &Path) -> Result<u8, CommandError> {
        let folder = self.folder.clone().unwrap_or_else(|| scenarios.join("regressions"));
        let mut gravest = Outcome::Ok;
        let paths = plans(&folder)?;
        for path in &paths {
            let (title, report) = match plan_file::read(path)? {
                AnyPlan::World(plan) => (failure::title(&plan), run(&plan, WORLD_LIMIT)),
                AnyPlan::Inputs(plan) => (plan.title(), inputs::run(&plan, limit(&plan)).report),
            };
            if report.outcome != Outcome::Ok {
                print!("{}", failure::of(&title, &report, &again(path)));
            }
            gravest = gravest.min(report.outcome);
        }
        println!("{} plans that once failed: {gravest}", paths.len());
        Ok(gravest.exit_code())
    }
}

/// The plan files of a folder, by name.
pub fn plans(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(CommandError::io(folder))? {
        paths.push(entry.map_err(CommandError::io(folder))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}
