//! `lockstep venue`: the paper venue behind the venue link, as a process of its own.

use super::{
    USAGE, fail,
    process::{Announce, Process, Role},
    read_config,
    serve::parse_speed,
};
use crate::{
    node::{
        clock::Speed,
        config::{ConfigError, FEED_FORMS, FeedSpec},
    },
    serve::ServeOptions,
};
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
    #[arg(long, value_name = "FEED", value_parser = FeedSpec::parse, help = FEED_FORMS)]
    feed: Option<FeedSpec>,
    /// Speed of a replay: a factor such as 60, or max
    #[arg(long, value_name = "N|max", value_parser = parse_speed)]
    speed: Option<Speed>,
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    let file = ServeOptions::from(read_config(command.config.as_deref())?);
    Ok(ServeOptions {
        bind: command.bind.clone(),
        insecure: command.insecure,
        feed: command.feed.clone().unwrap_or(file.feed),
        speed: command.speed.unwrap_or(file.speed),
        seed: command.seed,
        ..file
    })
}

fn as_json(address: &str, token_file: &Path) -> String {
    json!({ "address": address, "tokenFile": token_file }).to_string()
}

fn as_text(address: &str, token_file: &Path) -> String {
    format!("the venue is up\n  address {address}\n  token   {}", token_file.display())
}
