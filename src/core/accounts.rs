//! `accounts.connect` and `accounts.disconnect`, and what a change of an account's link means.

use super::answers::Pending;
use super::engine::Engine;
use super::link::Session;
use crate::domain::account::{AccountConfig, LinkStatus, PAPER};
use crate::domain::id::AccountId;
use crate::domain::message::{
    AccountStatusChanged, AccountStatusView, ConnectAccount, DisconnectReply, ErrorCode, LinkRequest,
    Outputs, Refusal, ReplyBody, VenueRequest,
};
use crate::domain::order::OrderStatus;
use crate::domain::time::UnixNanos;

impl Engine {
    /// Adds an account, or connects one again that is there. The machine takes the wider configuration
    /// into force before the command is answered.
    pub(super) fn connect(
        &mut self,
        now: UnixNanos,
        connect: &ConnectAccount,
        out: &mut Outputs,
    ) -> Result<Pending, Box<Refusal>> {
        let waiting = Pending::Connect { account: connect.account.clone() };
        let Some(&index) = self.index.get(&connect.account) else {
            let Some(settings) = &connect.settings else {
                return Err(unknown(&connect.account));
            };
            let mut config = self.setup().config.clone();
            config.accounts.push(AccountConfig { added: true, ..(**settings).clone() });
            super::check_config(&config).map_err(|error| {
                Box::new(Refusal::new(ErrorCode::InvalidParams, "ACCOUNT_SETTINGS", error.to_string()))
            })?;
            self.wanted_config = Some(Box::new(config));
            return Ok(waiting);
        };
        let known = &self.accounts[index].config;
        if let Some(settings) = &connect.settings {
            let as_known =
                AccountConfig { added: known.added, label: known.label.clone(), ..(**settings).clone() };
            if as_known != *known {
                let message = "this account exists with other settings: leave them out to connect it again";
                return Err(Box::new(Refusal::new(ErrorCode::Conflict, "ACCOUNT_EXISTS", message)));
            }
        }
        self.accounts[index].session.disabled = false;
        self.open_link(now, index, out);
        Ok(waiting)
    }

    /// Ends an account's link until it is connected again.
    pub(super) fn disconnect(
        &mut self,
        now: UnixNanos,
        index: usize,
        journal_offset: u64,
        out: &mut Outputs,
    ) -> ReplyBody {
        self.accounts[index].session.disabled = true;
        self.close_link(now, index, LinkStatus::Disconnected, "disconnected by an operator", out);
        let account = &self.accounts[index];
        ReplyBody::Disconnect(DisconnectReply {
            account_id: account.id().clone(),
            status: account.link,
            journal_offset,
        })
    }

    /// Lets the account have a session, unless it has one or an operator wants none.
    pub(super) fn open_link(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        if account.session.disabled || account.is_reachable() {
            return;
        }
        if account.config.connector == PAPER {
            self.set_link(now, index, LinkStatus::Connected, None, out);
            self.go_on_with_stops(now, index, out);
            return;
        }
        if let Some(link) = account.config.link.clone() {
            let account_id = account.id().clone();
            self.set_link(now, index, LinkStatus::Disconnected, None, out);
            out.venue.push(VenueRequest::Link { account: account_id, request: LinkRequest::Open(link) });
        }
    }

    /// Ends the account's session: what was asked for and not confirmed is not known any more.
    pub(super) fn close_link(
        &mut self,
        now: UnixNanos,
        index: usize,
        status: LinkStatus,
        reason: &str,
        out: &mut Outputs,
    ) {
        let account = &self.accounts[index];
        if account.config.connector != PAPER {
            let account = account.id().clone();
            out.venue.push(VenueRequest::Link { account, request: LinkRequest::Close });
        }
        self.link_lost(now, index, status, reason, out);
    }

    /// The session is gone.
    pub(super) fn link_lost(
        &mut self,
        now: UnixNanos,
        index: usize,
        status: LinkStatus,
        reason: &str,
        out: &mut Outputs,
    ) {
        let setup = self.setup();
        if !self.accounts[index].config.is_paper() {
            self.desk(index, &setup, now, out).lose_track();
        }
        let session: &mut Session = &mut self.accounts[index].session;
        session.resend_asked = false;
        self.set_link(now, index, status, Some(reason), out);
    }

    /// Changes the status and says so; `reason` stays as the last error while it is not connected.
    pub(super) fn set_link(
        &mut self,
        now: UnixNanos,
        index: usize,
        status: LinkStatus,
        reason: Option<&str>,
        out: &mut Outputs,
    ) {
        let account = &mut self.accounts[index];
        let previous = account.link;
        let reason = reason.map(|text| text.chars().take(500).collect::<String>());
        if reason.is_some() {
            account.session.last_error.clone_from(&reason);
        }
        if previous == status {
            return;
        }
        account.link = status;
        account.session.since = now;
        let account_id = account.id().clone();
        out.events.push(AccountStatusChanged { account_id, status, previous, reason }.into());
    }

    /// The gateway came up: paper accounts are connected, all others begin anew.
    pub(super) fn begin_links(&mut self, now: UnixNanos, out: &mut Outputs) {
        for index in 0..self.accounts.len() {
            let account = &self.accounts[index];
            let account_id = account.id().clone();
            if account.config.is_paper() && !account.session.disabled {
                self.accounts[index].link = LinkStatus::Connected;
                let (status, previous) = (LinkStatus::Connected, LinkStatus::Disconnected);
                let changed = AccountStatusChanged { account_id, status, previous, reason: None };
                out.events.push(changed.into());
            } else if account.link != LinkStatus::Error {
                self.link_lost(now, index, LinkStatus::Disconnected, "the gateway was restarted", out);
                self.open_link(now, index, out);
            }
        }
    }

    /// `accounts.status`.
    pub(super) fn account_status(&self, index: usize) -> AccountStatusView {
        let account = &self.accounts[index];
        let is_unknown = |status: OrderStatus| status == OrderStatus::Unknown;
        AccountStatusView {
            account_id: account.id().clone(),
            status: account.link,
            since: account.session.since,
            last_error: account.session.last_error.clone(),
            unknown_orders: account
                .working()
                .filter(|r| is_unknown(r.order.status))
                .map(|r| r.order.id)
                .collect(),
        }
    }
}

fn unknown(account: &AccountId) -> Box<Refusal> {
    let message = format!("there is no account `{account}`: give a connector and its settings to add it");
    Box::new(Refusal::new(ErrorCode::NotFound, "ACCOUNT_UNKNOWN", message))
}
