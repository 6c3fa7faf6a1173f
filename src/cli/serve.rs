//! `lockstep serve`: the gateway on tokio and the operating system.

use super::{
    DataDirectory, USAGE, fail,
    process::{Announce, Process, Role},
    read_config,
    strategy::StrategyArguments,
};
use crate::{
    node::{
        clock::Speed,
        config::{FEED_FORMS, FeedSpec},
    },
    serve::ServeOptions,
};
use serde_json::json;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The arguments. What is given here goes before the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct ServeCommand {
    /// The configuration, such as lockstep.toml; without it: one paper account of 10000 USD
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_directory: DataDirectory,
    /// Address to listen on, 127.0.0.1:18789 unless configured
    #[arg(long, value_name = "HOST:PORT")]
    bind: Option<String>,
    /// Listen beyond this machine although there is no TLS
    #[arg(long)]
    insecure: bool,
    #[arg(long, value_name = "FEED", value_parser = FeedSpec::parse, help = FEED_FORMS)]
    feed: Option<FeedSpec>,
    /// Speed of a replay: a factor such as 60, or max
    #[arg(long, value_name = "N|max", value_parser = parse_speed)]
    speed: Option<Speed>,
    #[command(flatten)]
    strategy: StrategyArguments,
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one line of JSON when it is up: url, wsUrl, tokenFile
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: ServeCommand) -> ExitCode {
    let options = match options(&command) {
        Ok(options) => options,
        Err(error) => return fail(error, USAGE),
    };
    let announce: Announce = if command.json { as_json } else { as_text };
    Process { role: Role::Gateway, directory: command.data_directory.path, announce }.run(options)
}

fn options(command: &ServeCommand) -> Result<ServeOptions, Box<dyn Error>> {
    let file = ServeOptions::from(read_config(command.config.as_deref())?);
    Ok(ServeOptions {
        bind: command.bind.clone().unwrap_or(file.bind),
        insecure: command.insecure || file.insecure,
        feed: command.feed.clone().unwrap_or(file.feed),
        speed: command.speed.unwrap_or(file.speed),
        seed: command.seed,
        strategies: command.strategy.to_config(&file.config.accounts)?,
        ..file
    })
}

fn as_json(address: &str, token_file: &Path) -> String {
    let (url, ws_url) = (format!("http://{address}"), format!("ws://{address}/ws"));
    json!({ "url": url, "wsUrl": ws_url, "tokenFile": token_file }).to_string()
}

fn as_text(address: &str, token_file: &Path) -> String {
    let token_file = token_file.display();
    format!("lockstep is up\n  url    http://{address}\n  socket ws://{address}/ws\n  token  {token_file}")
}

pub(super) fn parse_speed(text: &str) -> Result<Speed, String> {
    Speed::parse(text).ok_or_else(|| "write a positive number such as 60 or 0.5, or max".to_owned())
}
