//! `lockstep token`: through the running gateway, or on the data directory when none runs.

use super::{DataDirectory, USAGE, fail};
use crate::{
    domain::id::AccountId,
    node::{
        control::{self, ControlError, ControlRequest, TokenRequest},
        host::{PrivateFiles, TokioRuntime},
        runtime::Rt,
        tokens::{Accounts, Role, Scope, TOKENS_LOCK, TokenError, TokenStore},
    },
};
use std::{
    error::Error,
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, this once
    New(NewToken),
    /// Name everybody who has a token: name, role, scopes, accounts
    List(ListTokens),
    /// Give somebody another token and print it, this once: the old one ends, name and rights stay
    Rotate(RotateToken),
    /// Take a token away and end its sessions
    Revoke(RevokeToken),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListTokens {
    #[command(flatten)]
    data_directory: DataDirectory,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateToken {
    #[command(flatten)]
    data_directory: DataDirectory,
    /// Whose, such as operator-1
    name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevokeToken {
    #[command(flatten)]
    data_directory: DataDirectory,
    /// Whose, such as viewer-2
    name: String,
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("the runtime cannot start: {error}"), USAGE),
    };
    let text = match command {
        TokenCommand::New(new) => runtime.block_on(issue(&new)),
        TokenCommand::List(list) => names(&list.data_directory.path),
        TokenCommand::Rotate(rotate) => runtime.block_on(replace(&rotate)),
        TokenCommand::Revoke(revoke) => runtime.block_on(take_away(&revoke)),
    };
    match text {
        Ok(text) => {
            let _ = writeln!(io::stdout().lock(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error, USAGE),
    }
}

fn open(directory: &Path) -> Result<TokenStore, TokenError> {
    TokenStore::open(Arc::new(TokioRuntime::new()), Arc::new(PrivateFiles::new(directory)))
}

/// No process serves, and none may begin to until the tokens are written.
fn hold(directory: &Path) -> Result<File, Box<dyn Error>> {
    let held = PrivateFiles::new(directory).lock(TOKENS_LOCK)?;
    let busy = "a process on this data directory is starting or ending: try again in a moment";
    held.ok_or_else(|| busy.into())
}

/// The file is replaced whole, so that it can be read beside a running gateway.
fn names(directory: &Path) -> Result<String, Box<dyn Error>> {
    let lines = open(directory)?.principals().into_iter().map(|principal| {
        let scopes: Vec<_> = principal.scopes.iter().map(|scope| scope.name()).collect();
        let accounts = match &principal.accounts {
            Accounts::All => "*".to_owned(),
            Accounts::Only(ids) => ids.iter().map(AccountId::as_str).collect::<Vec<_>>().join(","),
        };
        format!("{}\t{}\t{}\t{accounts}", principal.name, principal.role.name(), scopes.join(","))
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

async fn replace(rotate: &RotateToken) -> Result<String, Box<dyn Error>> {
    let rt: Rt = Arc::new(TokioRuntime::new());
    let directory: &Path = &rotate.data_directory.path;
    match control::ask(&rt, directory, &ControlRequest::RotateToken(rotate.name.clone())).await {
        Err(ControlError::NoGateway) => {}
        answered => return Ok(answered?),
    }
    let _held = hold(directory)?;
    Ok(open(directory)?.rotate(&rotate.name)?)
}

async fn take_away(revoke: &RevokeToken) -> Result<String, Box<dyn Error>> {
    let rt: Rt = Arc::new(TokioRuntime::new());
    let directory: &Path = &revoke.data_directory.path;
    let request = ControlRequest::RevokeToken(revoke.name.clone());
    let name = match control::ask(&rt, directory, &request).await {
        Err(ControlError::NoGateway) => {
            let _held = hold(directory)?;
            open(directory)?.revoke(&revoke.name)?;
            revoke.name.clone()
        }
        answered => answered?,
    };
    Ok(format!("{name} has no token any more"))
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
    match control::ask(&rt, directory, &ControlRequest::NewToken(request.clone())).await {
        Err(ControlError::NoGateway) => {}
        answered => return Ok(answered?),
    }
    let _held = hold(directory)?;
    let store = open(directory)?;
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
