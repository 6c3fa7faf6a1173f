//! `lockstep compare`: whether a gateway and its venue agree.

use super::{INTEGRITY, USAGE, fail};
use crate::node::connector::{CompareError, Comparison, compare};
use std::{path::PathBuf, process::ExitCode};

/// They do not agree.
const DIFFERENT: u8 = 2;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct CompareCommand {
    /// The gateway's data directory; the gateway must not be running
    gateway: PathBuf,
    /// The venue's data directory; the venue must not be running
    venue: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints what was found; exit code 0 if they agree, 2 if not.
pub(super) fn run(command: &CompareCommand) -> ExitCode {
    match compare(&command.gateway, &command.venue) {
        Err(CompareError::Journal { directory, source }) if source.is_integrity() => {
            fail(format!("{directory}: {source}"), INTEGRITY)
        }
        Err(error) => fail(error, USAGE),
        Ok(found) => {
            if command.json {
                println!("{}", serde_json::to_string(&found).expect("a comparison has text keys"));
            } else {
                print!("{}", in_words(&found));
            }
            let agree = found.differences.is_empty();
            if agree { ExitCode::SUCCESS } else { DIFFERENT.into() }
        }
    }
}

fn in_words(found: &Comparison) -> String {
    let Comparison { accounts, orders, fills, positions, unknown, differences } = found;
    let mut text = format!(
        "accounts  {accounts}\norders    {orders}\nfills     {fills}\npositions {positions}\nunknown   {unknown}\n"
    );
    for difference in differences {
        text += &format!("differs   {difference}\n");
    }
    text + if differences.is_empty() { "ok: gateway and venue agree\n" } else { "" }
}
