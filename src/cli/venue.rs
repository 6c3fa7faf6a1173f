//! `lockstep venue`: the paper venue behind the venue link, as a process of its own.

use super::{
    USAGE, fail,
    feed::FeedArguments,
    process::{Announce, Process, Role},
    read_config,
};
use crate::{node::config::ConfigError, serve::ServeOptions};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The arguments. Of the configuration file `[gateway]` is not used.
#[derive(Debug, clap::Args)]
pub(super) struct VenueCommand {
    /// The configuration: its accounts are served; without it: one paper account of 10000 USD
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of journal, tokens and control socket
    #[arg(long, value_name = "DIR", default_value = "./venue-data")]
    data_dir: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:18790")]
    bind: String,
    /// Listen beyond this machine although there is no TLS
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    feed: FeedArguments,
    /// Print one line of JSON when it is up: address, tokenFile
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: VenueCommand) -> ExitCode {
    let options = match options(&command) {
        Ok(options) => options,
        Err(error) => return fail(error, USAGE),
    };
    let announce: Announce = if command.json { as_json } else { as_text };
    Process { role: Role::Venue, directory: command.data_dir, announce }.run(options)
}

fn options(command: &VenueCommand) -> Result<ServeOptions, ConfigError> {
    let file = command.feed.over(read_config(command.config.as_deref())?.into());
    Ok(ServeOptions { bind: command.bind.clone(), insecure: command.insecure, ..file })
}

fn as_json(address: &str, token_file: &Path) -> String {
    json!({ "address": address, "tokenFile": token_file }).to_string()
}

fn as_text(address: &str, token_file: &Path) -> String {
    format!("the venue is up\n  address {address}\n  token   {}", token_file.display())
}
