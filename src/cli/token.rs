//! `lockstep token new`: through the running gateway, or on the data directory when none runs.

use super::{DataDirectory, USAGE, fail};
use crate::{
    domain::id::AccountId,
    node::{
        control::{self, ControlError, TokenRequest},
        host::{PrivateFiles, TokioRuntime},
        runtime::Rt,
        tokens::{Accounts, Role, Scope, TokenStore},
    },
};
use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, this once
    New(NewToken),
}

#[derive(Debug, clap::Args)]
pub(super) struct NewToken {
    #[command(flatten)]
    data_directory: DataDirectory,
    /// operator or viewer
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// What it may do, such as read,trade; all that the role allows unless given
    #[arg(long, value_delimiter = ',', value_parser = parse_scope)]
    scopes: Vec<Scope>,
    /// Accounts that it may reach, such as paper-1,paper-2; all unless given
    #[arg(long, value_delimiter = ',', value_parser = parse_account)]
    accounts: Vec<Option<AccountId>>,
}

pub(super) fn run(command: TokenCommand) -> ExitCode {
    let TokenCommand::New(new) = command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("the runtime cannot start: {error}"), USAGE),
    };
    match runtime.block_on(issue(&new)) {
        Ok(token) => {
            let _ = writeln!(io::stdout().lock(), "{token}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error, USAGE),
    }
}

async fn issue(new: &NewToken) -> Result<String, Box<dyn Error>> {
    let rt: Rt = Arc::new(TokioRuntime::new());
    let directory: &Path = &new.data_directory.path;
    // `*` among them means all
    let accounts = new.accounts.iter().cloned().collect::<Option<Vec<_>>>().unwrap_or_default();
    let request = TokenRequest {
        role: new.role,
        scopes: new.scopes.iter().copied().collect(),
        accounts: accounts.into_iter().collect(),
    };
    match control::ask(&rt, directory, &request).await {
        Err(ControlError::NoGateway) => {}
        answered => return Ok(answered?),
    }
    let store = TokenStore::open(rt, Arc::new(PrivateFiles::new(directory)))?;
    let accounts = if request.accounts.is_empty() { Accounts::All } else { Accounts::Only(request.accounts) };
    Ok(store.issue(request.role, request.scopes, accounts)?)
}

fn parse_role(text: &str) -> Result<Role, String> {
    let known = Role::ALL.map(Role::name).join(", ");
    Role::parse(text).ok_or_else(|| format!("known are {known}"))
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    let known = Scope::ALL.map(Scope::name).join(", ");
    Scope::parse(text).ok_or_else(|| format!("known are {known}"))
}

fn parse_account(text: &str) -> Result<Option<AccountId>, String> {
    if text == "*" {
        return Ok(None);
    }
    AccountId::new(text).map(Some).map_err(|error| error.to_string())
}
