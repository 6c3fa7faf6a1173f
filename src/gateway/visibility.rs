//! What a principal with some accounts may see of what concerns all.

use crate::{
    domain::message::{LatchView, RiskStatusView},
    domain::{account::TradingState, id::AccountId},
    node::{
        journal::StoredEvent,
        tokens::{Accounts, Principal},
    },
};
use serde_json::Value;
use std::sync::Arc;

/// A critical event's payload, without the outcomes of accounts that the principal may not see.
pub fn payload(event: &StoredEvent, principal: &Principal) -> Arc<str> {
    let limited = matches!(principal.accounts, Accounts::Only(_));
    if !limited || event.account.is_some() || &*event.name != "event.emergency_stop" {
        return Arc::clone(&event.payload);
    }
    let Ok(mut body) = serde_json::from_str::<Value>(&event.payload) else {
        return Arc::clone(&event.payload);
    };
    if let Some(outcomes) = body.get_mut("outcomes").and_then(Value::as_array_mut) {
        outcomes.retain(|outcome| {
            let account = outcome.get("accountId").and_then(Value::as_str);
            account.and_then(|id| AccountId::new(id).ok()).is_some_and(|id| principal.accounts.allows(&id))
        });
    }
    body.to_string().into()
}

/// The part of a risk status that concerns the principal's accounts.
pub fn risk_status(mut status: RiskStatusView, principal: &Principal) -> RiskStatusView {
    if principal.accounts == Accounts::All {
        return status;
    }
    let allows = |account: &AccountId| principal.accounts.allows(account);
    status.latches.retain(|latch| latch.account_id.as_ref().is_none_or(allows));
    status.limits.retain(|limit| allows(&limit.account_id));
    status.daily_loss.retain(|account, _| allows(account));
    status.trading_state = status.latches.iter().map(state_of).max().unwrap_or(TradingState::Active);
    status
}

/// A loss latch lets reductions pass; a stop halts.
fn state_of(latch: &LatchView) -> TradingState {
    if latch.cause == "daily_loss" { TradingState::Reducing } else { TradingState::Halted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::time::UnixNanos,
        node::tokens::{Role, Scope, TokenDigest},
    };

    fn principal() -> Principal {
        let own = AccountId::new("own").expect("an id");
        Principal {
            name: "operator-2".into(),
            role: Role::Operator,
            scopes: [Scope::Read].into(),
            accounts: Accounts::Only([own].into()),
            token: TokenDigest::of("gw_…"),
        }
    }

    #[test]
    fn outcomes_of_other_accounts_are_left_out() {
        let event = StoredEvent {
            number: 1,
            journal_offset: 1,
            ts: UnixNanos::ZERO,
            name: "event.emergency_stop".into(),
            account: None,
            payload: r#"{"outcomes":[{"accountId":"own","id":"o1"},{"accountId":"other","id":"o2"}],"stopId":"s1"}"#
                .into(),
        };
        assert_eq!(
            &*payload(&event, &principal()),
            r#"{"outcomes":[{"accountId":"own","id":"o1"}],"stopId":"s1"}"#
        );
        let all = Principal { accounts: Accounts::All, ..principal() };
        assert_eq!(payload(&event, &all), event.payload);
    }

    #[test]
    fn a_risk_status_shows_own_accounts_and_global_latches() {
        let latch = |account: Option<&str>, cause: &str| LatchView {
            id: "s1".into(),
            scope: if account.is_some() { "account" } else { "global" }.into(),
            account_id: account.map(|id| AccountId::new(id).expect("an id")),
            cause: cause.into(),
            reason: String::new(),
            actor: "operator-1".into(),
            since: UnixNanos::ZERO,
            complete: true,
        };
        let status = |latches| RiskStatusView {
            trading_state: TradingState::Halted,
            latches,
            limits: Vec::new(),
            daily_loss: std::collections::BTreeMap::new(),
        };
        let check = |latches, count, state| {
            let seen = risk_status(status(latches), &principal());
            assert_eq!((seen.latches.len(), seen.trading_state), (count, state));
        };
        check(vec![latch(Some("other"), "emergency_stop")], 0, TradingState::Active);
        check(
            vec![latch(Some("own"), "daily_loss"), latch(Some("other"), "emergency_stop")],
            1,
            TradingState::Reducing,
        );
        check(vec![latch(None, "emergency_stop")], 1, TradingState::Halted);
    }
}
