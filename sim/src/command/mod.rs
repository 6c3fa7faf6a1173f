//! The commands: each reads scenarios, runs worlds and prints what came of it.

mod batch;
mod check;
mod corpus;
mod diff;
mod explain;
mod failure;
mod import;
mod inputs;
mod memory;
mod replay;
mod report;
mod run;
mod shrink;
mod sweep;
mod target;
mod words;
mod zoo;

pub use check::Check;
pub use corpus::{Corpus, plans};
pub use diff::Diff;
pub use explain::Explain;
pub use import::Import;
pub use replay::Replay;
pub use report::Report;
pub use run::Run;
pub use shrink::Shrink;
pub use sweep::Sweep;
pub use zoo::Zoo;

use crate::{
    plan_file::PlanFileError,
    scenario::{self, ScenarioError},
    zoo::ZooError,
};
use std::{ops::Range, path::Path, time::Duration};

/// A world takes well under a second; one that takes this long will never end.
const WORLD_LIMIT: Duration = Duration::from_secs(120);

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    #[error(transparent)]
    Zoo(#[from] ZooError),
    #[error("{binary}, which has the planted faults: {message}")]
    Patched { binary: String, message: String },
    #[error(
        "`{target}` is neither SCENARIO:SEED, such as gateway_crash:7, nor a plan file, such as min.json"
    )]
    Target { target: String },
    #[error("{target} does not fail: there is nothing to shrink")]
    NothingFails { target: String },
    #[error("{target} is a plan of inputs: this command takes worlds, replay, explain and shrink take both")]
    NotAWorld { target: String },
    #[error("{path}: {message}")]
    DataDirectory { path: String, message: String },
    #[error("{path}: line {line}: not a record of a trace: {message}")]
    Trace { path: String, line: usize, message: String },
    #[error(
        "{path}: {found}; this program compares traces of version {expected}: write it again with `run --trace`"
    )]
    TraceVersion { path: String, found: String, expected: u64 },
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{binary}: {message}; build it with `cargo build -p lockstep-sim`")]
    OtherBuild { binary: String, message: String },
}

impl CommandError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.display().to_string(), source }
    }
}

/// `list`: name and purpose of each scenario.
pub fn list(folder: &Path) -> Result<u8, CommandError> {
    for scenario in scenario::all(folder)? {
        println!("{:<28} {}", scenario.name, scenario.why);
    }
    Ok(0)
}

/// Reads `A..B`; B is excluded.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not a range of seeds such as 0..100 (the end is excluded)");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

/// As many jobs as the machine has cores.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_exclude_their_end() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        for wrong in ["7..3", "3..3", "3", "..", "a..b", "-1..2"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
