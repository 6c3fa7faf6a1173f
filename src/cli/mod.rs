//! The command line: reads arguments, starts one of the drivers, turns errors into one line and an exit
//! code: 0 done, 1 usage or input, 3 something stored is not what was written.

mod alarms;
mod backtest;
mod calendar;
mod compare;
mod feed;
mod process;
mod serve;
mod strategy;
mod token;
mod venue;

use crate::node::{
    config::{ConfigError, FileConfig},
    journal::{ReplayCommand, run_replay, silence_guarded_panics},
};
use clap::{Parser, Subcommand};
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// Usage, or an input that cannot be used.
const USAGE: u8 = 1;
/// Something stored is not what was written.
const INTEGRITY: u8 = 3;
/// Names the log's filter where `--log` does not.
const LOG_VARIABLE: &str = "LOCKSTEP_LOG";

/// A deterministic trading core: one state machine, live, in backtests and in simulation
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, arg_required_else_help = true)]
struct Arguments {
    /// What is logged to stderr, such as warn or lockstep=debug; else $LOCKSTEP_LOG, else info
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: a paper account, market data, a WebSocket
    Serve(serve::ServeCommand),
    /// Run a venue: paper accounts that gateways reach by the venue link (docs/VENUE_LINK.md)
    Venue(venue::VenueCommand),
    /// Manage access tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    Backtest(backtest::BacktestCommand),
    Calendar(calendar::CalendarCommand),
    /// Prove a journal: replay it and compare everything that is stored
    Replay(ReplayCommand),
    /// Compare a gateway's journal with its venue's: orders, fills, positions, balances
    Compare(compare::CompareCommand),
}

/// Reads the process's arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // asked for help or the version, it is no error
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return code.into();
        }
    };
    if let Err(error) = log_to_stderr(arguments.log.as_deref()) {
        return fail(error, USAGE);
    }
    silence_guarded_panics();
    match arguments.command {
        Command::Serve(command) => serve::run(command),
        Command::Venue(command) => venue::run(command),
        Command::Token(command) => token::run(command),
        Command::Backtest(command) => backtest::run(command),
        Command::Calendar(command) => calendar::run(&command),
        Command::Compare(command) => compare::run(&command),
        Command::Replay(command) => run_replay(&command).into(),
    }
}

/// One line on stderr, and the code to end with.
fn fail(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "error: {error}");
    code.into()
}

fn log_to_stderr(filter: Option<&str>) -> Result<(), String> {
    let filter = match filter {
        Some(text) => EnvFilter::try_new(text).map_err(|error| format!("--log {text}: {error}"))?,
        None => EnvFilter::builder()
            .with_default_directive(tracing::Level::INFO.into())
            .with_env_var(LOG_VARIABLE)
            .from_env()
            .map_err(|error| format!("{LOG_VARIABLE}: {error}"))?,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// Reads a configuration file; none is the defaults.
#[expect(clippy::disallowed_methods, reason = "a configuration may name environment variables")]
fn read_config(file: Option<&Path>) -> Result<FileConfig, ConfigError> {
    let Some(path) = file else {
        return Ok(FileConfig::default());
    };
    let file = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Io { file: file.clone(), source })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let beside = |name: &str| std::fs::read_to_string(directory.join(name));
    FileConfig::parse_with(&file, &text, &|name| std::env::var(name).ok(), &beside)
}

/// Where the gateway keeps its journal and its tokens.
#[derive(Debug, Clone, clap::Args)]
struct DataDirectory {
    /// Directory of journal, tokens and control socket
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    path: PathBuf,
}
