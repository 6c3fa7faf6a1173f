//! `corpus`: plans that once failed, each of which must end well.

use super::{CommandError, WORLD_LIMIT, failure};
use crate::{outcome::Outcome, plan_file, run::run};
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
            let plan = plan_file::read(path)?;
            let report = run(&plan, WORLD_LIMIT);
            if report.outcome != Outcome::Ok {
                print!("{}", failure::told(&plan, &report, &format!("cargo sim replay {}", path.display())));
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
