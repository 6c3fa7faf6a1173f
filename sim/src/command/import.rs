//! `import`: the journal of a live gateway becomes a plan of kind inputs.

use super::{CommandError, inputs};
use crate::{
    inputs::{Replayed, import, run},
    outcome::Outcome,
    plan_file::{self, AnyPlan},
};
use lockstep::node::{host::FileStorage, journal::ReplayReport};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The gateway's data directory, or a copy of it; no gateway may be running on it
    data_dir: PathBuf,
    /// Where the plan goes
    #[arg(long, short, value_name = "PLAN.json")]
    output: PathBuf,
    /// Begins at the newest snapshot before this journal record, instead of at the beginning
    #[arg(long, value_name = "OFFSET")]
    before: Option<u64>,
}

impl Import {
    /// The exit code.
    pub fn execute(&self) -> Result<u8, CommandError> {
        let refuse = |message: String| CommandError::DataDirectory {
            path: self.data_dir.display().to_string(),
            message,
        };
        let found = std::fs::metadata(&self.data_dir).map_err(CommandError::io(&self.data_dir))?;
        if !found.is_dir() {
            return Err(refuse("this is not a directory: name the gateway's data directory".to_owned()));
        }
        let storage = Arc::new(FileStorage::new(&self.data_dir));
        let (plan, report) = import(storage, self.before).map_err(|error| refuse(error.to_string()))?;
        if let Some(before) = self.before.filter(|before| *before > report.head_offset) {
            let head = report.head_offset;
            return Err(refuse(format!("there is no record {before}: the journal ends with record {head}")));
        }
        plan_file::write_inputs(&plan, &self.output)?;
        // what counts is what can be read again
        let AnyPlan::Inputs(plan) = plan_file::read(&self.output)? else {
            unreachable!("a plan of inputs was written");
        };
        let replayed = run(&plan, inputs::limit(&plan));
        self.tell(&report, &replayed);
        if !is_same(&report, &replayed) {
            return inputs::show(&plan, &replayed, None, &self.output);
        }
        if replayed.report.outcome != Outcome::Ok {
            println!("it fails: {}", inputs::again(Path::new(&self.output)));
        }
        Ok(Outcome::Ok.exit_code())
    }

    fn tell(&self, report: &ReplayReport, replayed: &Replayed) {
        let Replayed { records, events, .. } = replayed;
        let last = report.head_offset;
        println!(
            "{}: {records} records up to {last}, {events} events: {}",
            self.data_dir.display(),
            self.output.display()
        );
        inputs::tell_hashes(replayed);
    }
}

/// Whether the plan replays to what the journal says.
fn is_same(report: &ReplayReport, replayed: &Replayed) -> bool {
    replayed.hashes == Some((report.state_hash, report.output_hash))
}
