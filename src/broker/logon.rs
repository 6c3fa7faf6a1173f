//! Who may have a session: the first line of a connection, and the answer to it.

use super::{Broker, books, fence::Pass, peer::Peer, send, venue};
use crate::{
    domain::{
        account::PAPER,
        id::AccountId,
        instrument::InstrumentId,
        message::{Capabilities, ErrorCode},
    },
    node::{
        connector::wire::{self, Logon, PROTOCOL, VenueFrame, VenueLogon},
        runtime::timeout,
        tokens::{Principal, Scope, TokenDigest},
    },
};
use std::{future::poll_fn, sync::OnceLock, time::Duration};

/// For the first line.
const LOGON_TIMEOUT: Duration = Duration::from_secs(5);
const HEARTBEAT_MS: u64 = 5_000;
const HEARTBEAT_MS_RANGE: (u64, u64) = (100, 60_000);
const SYMBOLS_MAX: usize = 1_000;
/// Characters of a program's name in the log.
const CLIENT_CHARS: usize = 60;

/// A connection that may go on.
pub(super) struct Admitted {
    pub business: Business,
    /// The program at the other end, as it names itself.
    pub client: String,
}

/// What a session is for.
pub(super) enum Business {
    Orders { account: AccountId, principal: String, pass: Pass },
    Quotes { symbols: Vec<InstrumentId> },
}

/// Why a logon is refused.
#[derive(Debug)]
pub(super) struct Reject {
    pub reason: &'static str,
    pub message: String,
}

fn reject(reason: &'static str, message: impl Into<String>) -> Option<Reject> {
    Some(Reject { reason, message: message.into() })
}

/// Reads the logon and answers it. `Err(None)`: the peer is gone.
/// `known_by` is set to the token as soon as it has proved who speaks.
pub(super) async fn admit(
    broker: &Broker,
    peer: &mut Peer,
    known_by: &OnceLock<TokenDigest>,
) -> Result<Admitted, Option<Reject>> {
    let line = poll_fn(|cx| peer.lines.poll_next(cx, &mut *peer.stream));
    let line = timeout(&broker.rt, LOGON_TIMEOUT, line).await.and_then(Result::ok).ok_or(None)?;
    let logon = wire::read_logon(&line).map_err(|error| reject("BAD_LOGON", error.to_string()))?;
    if logon.protocol != PROTOCOL {
        let message = format!("this venue speaks protocol {PROTOCOL}");
        return Err(reject("PROTOCOL_UNSUPPORTED", message));
    }
    let principal = logon.token.as_deref().and_then(|token| broker.tokens.find(token));
    let principal = principal.ok_or_else(|| reject("TOKEN_UNKNOWN", "there is no such token"))?;
    // from here on a revocation ends it; one that came in between is seen at once
    if !broker.tokens.knows(*known_by.get_or_init(|| principal.token)) {
        return Err(reject("TOKEN_UNKNOWN", "there is no such token"));
    }
    let business = match (&logon.account, &logon.market_data) {
        (Some(account), None) => orders(broker, account, principal).await?,
        (None, Some(symbols)) => quotes(broker, symbols, &principal)?,
        _ => return Err(reject("BAD_LOGON", "name one account, or symbols in `marketData`")),
    };
    let (least, most) = HEARTBEAT_MS_RANGE;
    let heartbeat_ms = logon.heartbeat_ms.unwrap_or(HEARTBEAT_MS).clamp(least, most);
    peer.heartbeat = Duration::from_millis(heartbeat_ms);
    let is_orders = matches!(business, Business::Orders { .. });
    let answer = VenueLogon {
        protocol: PROTOCOL,
        venue: venue(),
        log: if is_orders { broker.log() } else { String::new() },
        capabilities: if is_orders { Capabilities::of_this_build() } else { Capabilities::default() },
        heartbeat_ms,
    };
    let sent = timeout(&broker.rt, LOGON_TIMEOUT, send(peer, &VenueFrame::Logon(answer))).await;
    sent.and_then(Result::ok).ok_or(None)?;
    Ok(Admitted { business, client: shown(&logon) })
}

async fn orders(broker: &Broker, account: &str, principal: Principal) -> Result<Business, Option<Reject>> {
    let unknown = || reject("ACCOUNT_UNKNOWN", "there is no such account, or the token does not reach it");
    let account = AccountId::new(account).map_err(|_| unknown())?;
    if !principal.accounts.allows(&account) {
        return Err(unknown());
    }
    if !principal.scopes.contains(&Scope::Trade) {
        return Err(reject("FORBIDDEN", "the token lacks the scope `trade`"));
    }
    known(broker, &account).await?.then_some(()).ok_or_else(unknown)?;
    let pass = broker.fence.pass(&account).await;
    // what the session before had sent on its way is in the engine before this is answered: its commands
    // take lanes that are never behind the one of questions
    if known(broker, &account).await? {
        Ok(Business::Orders { account, principal: principal.name, pass })
    } else {
        Err(unknown())
    }
}

/// Whether there is such a paper account. Whatever waits in the lanes enters before the answer.
async fn known(broker: &Broker, account: &AccountId) -> Result<bool, Option<Reject>> {
    match books::account(&broker.handle, account).await {
        Ok((view, _)) => Ok(view.summary.connector == PAPER),
        Err(refusal) if refusal.code == ErrorCode::NotFound => Ok(false),
        // no reason to give up: the gateway tries again
        Err(_) => Err(None),
    }
}

fn quotes(broker: &Broker, symbols: &[String], principal: &Principal) -> Result<Business, Option<Reject>> {
    if !principal.scopes.contains(&Scope::Read) {
        return Err(reject("FORBIDDEN", "the token lacks the scope `read`"));
    }
    if symbols.is_empty() || symbols.len() > SYMBOLS_MAX {
        return Err(reject("BAD_LOGON", format!("`marketData` names 1 to {SYMBOLS_MAX} symbols")));
    }
    let instruments = broker.handle.instruments();
    let find = |symbol: &String| {
        let index = instruments.iter().position(|i| i.symbol.as_str() == symbol);
        let id = index.and_then(|index| u16::try_from(index).ok()).map(InstrumentId);
        let shown: String = symbol.chars().take(64).collect();
        id.ok_or_else(|| reject("SYMBOL_UNKNOWN", format!("there is no instrument `{shown}`")))
    };
    Ok(Business::Quotes { symbols: symbols.iter().map(find).collect::<Result<_, _>>()? })
}

fn shown(logon: &Logon) -> String {
    let name = logon.client.as_deref().unwrap_or("unnamed");
    name.chars().filter(|c| !c.is_control()).take(CLIENT_CHARS).collect()
}
