//! The command line.

use clap::{Parser, Subcommand};
use lockstep::{backtest, domain::config::Config};
use std::process::ExitCode;

/// A deterministic trading core: one state machine, driven live, in backtests and in simulation
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backtest(backtest::Arguments),
}

fn main() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            // help and version are no errors; wrong usage is exit code 1
            let code = if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    match command_line.command {
        Command::Backtest(arguments) => backtest::main(&arguments, Config::built_in()),
    }
}
