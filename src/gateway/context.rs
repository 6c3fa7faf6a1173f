//! What a method that asks the machine is given: the way to it, and who asks.

use crate::{
    domain::{
        id::AccountId,
        instrument::{Instrument, InstrumentId},
        message::{
            AccountReply, CancelReply, CloseReply, CommandBody, DisconnectReply, ErrorCode, Idempotency,
            ModifyReply, PlaceReply, Refusal, ReplyBody, ResolveReply, ResumeReply, StopReply,
        },
        order::Origin,
    },
    node::{
        handle::{CommandRequest, Handle},
        tokens::{Accounts, Principal},
    },
};
use std::sync::Arc;

/// One request's surroundings.
#[derive(Debug, Clone)]
pub struct Context {
    pub handle: Handle,
    pub principal: Arc<Principal>,
    pub idempotency_key: Option<String>,
    /// Bytes that an answer may have.
    pub frame_bytes: usize,
}

impl Context {
    /// `NOT_FOUND` unless the principal may see the account: what may not be seen does not exist.
    pub fn check_account(&self, account: &AccountId) -> Result<(), Refusal> {
        check_account(&self.principal, account)
    }

    /// `AUTH_FORBIDDEN` unless the principal may see all accounts.
    pub fn check_all_accounts(&self) -> Result<(), Refusal> {
        match &self.principal.accounts {
            Accounts::All => Ok(()),
            Accounts::Only(_) => Err(Refusal::new(
                ErrorCode::AuthForbidden,
                "ACCOUNTS_LIMITED",
                "this concerns all accounts, and you may reach some only: name an account",
            )),
        }
    }

    /// The instrument of a symbol, for reads.
    pub fn instrument(&self, symbol: &str) -> Result<(InstrumentId, Instrument), Refusal> {
        let instruments = self.handle.instruments();
        let index = instruments.iter().position(|i| i.symbol.as_str() == symbol).ok_or_else(|| {
            Refusal::new(ErrorCode::NotFound, "SYMBOL_UNKNOWN", format!("there is no symbol `{symbol}`"))
        })?;
        let id = InstrumentId(u16::try_from(index).expect("instruments are numbered by u16"));
        Ok((id, instruments[index].clone()))
    }

    /// Gives a command and waits for its answer.
    pub async fn command<R: FromReply>(self, body: CommandBody) -> Result<R, Refusal> {
        let idempotency =
            self.idempotency_key.map(|key| Idempotency { key, fingerprint: fingerprint(&body) });
        let request = CommandRequest {
            principal: self.principal.name.clone(),
            origin: Origin::User,
            idempotency,
            body,
        };
        let response = self.handle.command(request).await?;
        R::from_reply(response.body).ok_or_else(|| wrong_answer("command"))
    }
}

/// `NOT_FOUND` unless the principal may see the account.
pub fn check_account(principal: &Principal, account: &AccountId) -> Result<(), Refusal> {
    if principal.accounts.allows(account) {
        return Ok(());
    }
    // word for word what the machine says about one that does not exist
    let message = format!("there is no account `{account}`: accounts.list names them");
    Err(Refusal::new(ErrorCode::NotFound, "ACCOUNT_UNKNOWN", message))
}

/// The machine answered another question than was asked: our own fault.
pub fn wrong_answer(what: &str) -> Refusal {
    Refusal::new(
        ErrorCode::InternalError,
        "WRONG_ANSWER",
        format!("the {what} got an answer of another kind"),
    )
}

/// Same method, same meaning, same fingerprint: spelling, order and unknown fields do not count.
pub fn fingerprint(body: &CommandBody) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(body.method().as_bytes());
    hasher.update(&[0]);
    hasher.update(&serde_json::to_vec(body).expect("commands have text keys only"));
    hasher.finalize().to_hex().to_string()
}

/// A reply of the kind that a method answers with.
pub trait FromReply: Sized {
    /// `None` if the reply is of another kind.
    fn from_reply(reply: ReplyBody) -> Option<Self>;
}

macro_rules! from_reply {
    ($($variant:ident => $reply:ty),+ $(,)?) => {
        $(impl FromReply for $reply {
            fn from_reply(reply: ReplyBody) -> Option<Self> {
                match reply {
                    ReplyBody::$variant(reply) => Some(reply),
                    _ => None,
                }
            }
        })+
    };
}

from_reply! {
    Place => PlaceReply,
    Cancel => CancelReply,
    Close => CloseReply,
    Stop => StopReply,
    Resume => ResumeReply,
    Disconnect => DisconnectReply,
    Account => Box<AccountReply>,
    Modify => Box<ModifyReply>,
    Resolve => Box<ResolveReply>,
}
