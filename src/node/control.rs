//! The control socket in the data directory: whoever may open it, the owner, may make, rotate and revoke
//! tokens while the gateway runs. One line of JSON in, one line out. Needs tokio and a file system; the simulator does
//! without.

use super::{
    runtime::{Rt, timeout},
    tokens::{Accounts, Role, Scope, TokenError, TokenStore},
};
use crate::domain::id::AccountId;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

const SOCKET: &str = "control.sock";
const LINE_MAX: u64 = 64 * 1024;
/// One exchange takes no longer; connections are served one after another.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(5);
/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What can be asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "what can be asked for besides tokens is still to come")]
pub enum ControlRequest {
    NewToken(TokenRequest),
    /// Gives the principal of this name another token in place of the one that it has.
    RotateToken(String),
    /// Ends the rights of the principal of this name, and its sessions.
    RevokeToken(String),
}

/// Asks for a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    pub role: Role,
    /// Empty: all that the role allows.
    pub scopes: BTreeSet<Scope>,
    /// Empty: all.
    pub accounts: BTreeSet<AccountId>,
}

/// The answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Token(String),
    Revoked(String),
    Error(String),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No gateway runs on this directory.
    #[error("no gateway runs on this data directory")]
    NoGateway,
    /// The gateway refused.
    #[error("{0}")]
    Refused(String),
    /// The exchange failed.
    #[error("control.sock: {0}: is the gateway stuck? restart it and try again")]
    Io(#[from] io::Error),
}

/// Makes the socket: from here on whoever asks is heard. Only one gateway has the directory, so a socket
/// that lies there is left over.
///
/// # Errors
/// If the socket cannot be made.
pub fn listen(directory: &Path) -> io::Result<UnixListener> {
    remove(directory);
    let listener = UnixListener::bind(path(directory))?;
    fs::set_permissions(path(directory), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers on the socket for ever.
pub async fn serve(rt: &Rt, listener: UnixListener, tokens: Arc<TokenStore>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // whoever breaks off has to ask again
                let _ = timeout(rt, EXCHANGE_LIMIT, answer(stream, &tokens)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "control.sock");
                rt.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Removes the socket.
pub fn remove(directory: &Path) {
    // it may not be there
    let _ = fs::remove_file(path(directory));
}

/// Asks the gateway that runs on this directory: for a token, which is returned, or to revoke the one of the
/// name that is returned.
///
/// # Errors
/// `NoGateway` if there is none.
pub async fn ask(rt: &Rt, directory: &Path, request: &ControlRequest) -> Result<String, ControlError> {
    let stream = match UnixStream::connect(path(directory)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NoGateway);
        }
        Err(error) => return Err(error.into()),
    };
    let exchange = async {
        let mut stream = BufReader::new(stream);
        stream.write_all(&line(request)?).await?;
        read::<Answer>(&mut stream).await
    };
    match timeout(rt, EXCHANGE_LIMIT, exchange).await {
        Some(answer) => match answer? {
            Answer::Token(text) | Answer::Revoked(text) => Ok(text),
            Answer::Error(message) => Err(ControlError::Refused(message)),
        },
        None => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

async fn answer(stream: UnixStream, tokens: &TokenStore) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let answer = match read::<ControlRequest>(&mut stream).await {
        Ok(ControlRequest::NewToken(TokenRequest { role, scopes, accounts })) => {
            let accounts = if accounts.is_empty() { Accounts::All } else { Accounts::Only(accounts) };
            token(tokens.issue(role, scopes, accounts))
        }
        Ok(ControlRequest::RotateToken(name)) => token(tokens.rotate(&name)),
        Ok(ControlRequest::RevokeToken(name)) => match tokens.revoke(&name) {
            Ok(()) => Answer::Revoked(name),
            Err(error) => Answer::Error(error.to_string()),
        },
        Err(error) => Answer::Error(error.to_string()),
    };
    stream.write_all(&line(&answer)?).await
}

fn token(made: Result<String, TokenError>) -> Answer {
    made.map_or_else(|error| Answer::Error(error.to_string()), Answer::Token)
}

async fn read<T: for<'de> Deserialize<'de>>(stream: &mut BufReader<UnixStream>) -> io::Result<T> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn path(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}
