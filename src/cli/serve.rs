//! `lockstep serve`: the gateway on tokio and the operating system.

use super::{
    DataDirectory, USAGE, fail,
    feed::FeedArguments,
    process::{Announce, Process, Role},
    read_config,
    strategy::StrategyArguments,
};
use crate::serve::ServeOptions;
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
    #[command(flatten)]
    feed: FeedArguments,
    #[command(flatten)]
    strategy: StrategyArguments,
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
    let file = command.feed.over(read_config(command.config.as_deref())?.into());
    Ok(ServeOptions {
        bind: command.bind.clone().unwrap_or(file.bind),
        insecure: command.insecure || file.insecure,
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
