//! `lockstep backtest`: the account and the limits come from the same file as the gateway's.

use super::{USAGE, fail, read_config};
use crate::{
    backtest::{Arguments, main},
    domain::config::Config,
};
use std::{path::PathBuf, process::ExitCode};

/// Run a strategy over historical or synthetic data
#[derive(Debug, clap::Args)]
pub(super) struct BacktestCommand {
    /// Take the first account and the limits of this lockstep.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    arguments: Arguments,
}

pub(super) fn run(command: BacktestCommand) -> ExitCode {
    let base = match command.config.as_deref() {
        None => Ok(Config::built_in()),
        file => read_config(file).map(|config| config.to_config(Vec::new(), false)),
    };
    match base {
        Ok(base) => main(&command.arguments, base),
        Err(error) => fail(error, USAGE),
    }
}
