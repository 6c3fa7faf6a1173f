//! `shrink`: the smallest plan that fails in the same way.

use super::{
    CommandError, WORLD_LIMIT, cores, failure,
    inputs::{self, Effort},
    target::{inputs_of, plan_of},
};
use crate::{
    outcome::Outcome,
    plan::Plan,
    plan_file,
    run::run,
    shrink::{Budget, Signature, shrink, size},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Arguments of `shrink`.
#[derive(Debug, clap::Args)]
pub struct Shrink {
    /// SCENARIO:SEED, or a plan file, that fails
    #[arg(value_name = "SCENARIO:SEED|PLAN.json")]
    target: String,
    /// Where the small plan goes
    #[arg(long, short, value_name = "MIN.json")]
    output: PathBuf,
    /// Worlds at a time
    #[arg(long, default_value_t = cores())]
    jobs: usize,
    /// Real time that the search may take
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Writes what was found as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Smallest {
    pub outcome: Outcome,
    /// Empty: no oracle was contradicted.
    pub oracle: String,
    pub rule: String,
    /// Of the small plan.
    pub steps: usize,
    pub duration_ms: u64,
    /// Worlds that were run to find it.
    pub worlds: usize,
}

impl Shrink {
    /// The exit code: that of the failure, which the small plan still shows.
    pub fn execute(&self, folder: &Path) -> Result<u8, CommandError> {
        let limit = Duration::from_secs(self.seconds);
        if let Some(plan) = inputs_of(&self.target)? {
            let effort = Effort { jobs: self.jobs, limit };
            return inputs::shrink_to(&plan, &self.target, &self.output, &effort);
        }
        let plan = plan_of(folder, &self.target)?;
        let first = run(&plan, WORLD_LIMIT);
        let Some(wanted) = Signature::of(&first) else {
            return Err(CommandError::NothingFails { target: self.target.clone() });
        };
        let started = clock();
        let goes_on = || started.elapsed() < limit;
        let fails = |plan: &Plan| Signature::of(&run(plan, WORLD_LIMIT)).as_ref() == Some(&wanted);
        let shrunk = shrink(&plan, &fails, &Budget { jobs: self.jobs, goes_on: &goes_on });
        plan_file::write(&shrunk.plan, &self.output)?;
        let again = format!("cargo sim replay {}", self.output.display());
        print!("{}", failure::told(&shrunk.plan, &run(&shrunk.plan, WORLD_LIMIT), &again));
        println!(
            "{} {} {}: from {} steps and {} ms to {} steps and {} ms, in {:.1} s and {} worlds: {}",
            wanted.outcome,
            wanted.oracle,
            wanted.rule,
            size(&plan),
            plan.duration_ms,
            size(&shrunk.plan),
            shrunk.plan.duration_ms,
            started.elapsed().as_secs_f64(),
            shrunk.runs,
            self.output.display()
        );
        if let Some(path) = &self.json {
            let result = Smallest {
                outcome: wanted.outcome,
                oracle: wanted.oracle,
                rule: wanted.rule,
                steps: size(&shrunk.plan),
                duration_ms: shrunk.plan.duration_ms,
                worlds: shrunk.runs,
            };
            let text = serde_json::to_string(&result).expect("a result is data") + "\n";
            std::fs::write(path, text).map_err(CommandError::io(path))?;
        }
        Ok(wanted.outcome.exit_code())
    }
}

/// Real time: how long somebody waits is not simulated.
#[expect(clippy::disallowed_methods, reason = "measures the host")]
pub fn clock() -> Instant {
    Instant::now()
}
