//! The command line of the simulator.

use clap::{Parser, Subcommand};
use lockstep_sim::{command, outcome::USAGE};
use std::{path::PathBuf, process::ExitCode};

/// A world makes about a million allocations, on a thread of its own: measured, a sweep is a fifth faster with
/// it than with glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Finds and reproduces failures of the gateway in a simulated world.
///
/// Exit codes: 0 ok, 1 usage, 10 safety, 11 liveness, 12 panic, 13 nondeterminism, 14 hang,
/// 15 an expected mark never fired; of several failures the lowest from 10 on.
#[derive(Parser)]
#[command(name = "lockstep-sim", version, max_term_width = 100)]
struct Arguments {
    /// The folder with the scenarios [default: ./scenarios]
    #[arg(long, global = true, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scenarios
    List,
    /// Runs one world and tells how it ended
    Run(command::Run),
    /// Runs many worlds, all of them whatever happens, and counts what was reached
    Sweep(command::Sweep),
    /// Runs the world of a plan file, or of a scenario's seed, once more
    Replay(command::Replay),
    /// Finds the smallest plan that fails in the same way
    Shrink(command::Shrink),
    /// Tells a world on one screen: what was done, what went wrong, what came of it
    Explain(command::Explain),
    /// Draws a world as a page for a browser: its nodes, messages, faults and violations over time
    Report(command::Report),
    /// Makes a plan of what a live gateway was told, from its data directory
    Import(command::Import),
    /// Names the first record in which two traces differ, and the field
    Diff(command::Diff),
    /// Runs every plan that once failed
    Corpus(command::Corpus),
    /// Checks that equal seeds give equal bytes: alone, twice, in a batch, beside others, in another build
    Check(command::Check),
    /// Plants faults in a copy of the source, one at a time, and tells which of them are found
    Zoo(command::Zoo),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print(); // nobody is left to tell
            return ExitCode::from(code);
        }
    };
    let folder = lockstep_sim::scenario::folder(arguments.scenarios.as_deref());
    let result = match arguments.command {
        Command::List => command::list(&folder),
        Command::Run(run) => run.execute(&folder),
        Command::Sweep(sweep) => sweep.execute(&folder),
        Command::Replay(replay) => replay.execute(&folder),
        Command::Shrink(shrink) => shrink.execute(&folder),
        Command::Explain(explain) => explain.execute(&folder),
        Command::Report(report) => report.execute(&folder),
        Command::Import(import) => import.execute(),
        Command::Diff(diff) => diff.execute(),
        Command::Corpus(corpus) => corpus.execute(&folder),
        Command::Check(check) => check.execute(&folder),
        Command::Zoo(zoo) => zoo.execute(),
    };
    match result {
        // A world that hangs keeps its thread; the process does not wait for it.
        Ok(code) => std::process::exit(code.into()),
        Err(error) => {
            eprintln!("lockstep-sim: {error}");
            ExitCode::from(USAGE)
        }
    }
}
