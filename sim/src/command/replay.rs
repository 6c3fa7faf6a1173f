//! `replay`: a plan file, or the world of a scenario's seed, once more.

use super::{
    CommandError, WORLD_LIMIT, inputs,
    run::show,
    target::{inputs_of, plan_of},
};
use crate::run::run;
use std::path::{Path, PathBuf};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// SCENARIO:SEED, or a plan file
    #[arg(value_name = "SCENARIO:SEED|PLAN.json")]
    target: String,
    /// Writes one JSON object per record
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Replay {
    /// The exit code.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        if let Some(plan) = inputs_of(&self.target)? {
            return inputs::replay(&plan, self.trace.as_deref(), Path::new(&self.target));
        }
        let plan = plan_of(folder, &self.target)?;
        let report = run(&plan, WORLD_LIMIT);
        show(&plan, &report, self.trace.as_deref(), &format!("cargo sim replay {}", self.target))
    }
}
