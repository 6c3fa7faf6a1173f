//! The daily loss limit (RK04): equity at the roll plus flows of cash, less equity now.

use super::super::account::Account;
use crate::domain::{config::Limits, money::Money};

/// The strictest of the global limit and the account's own.
pub(crate) fn effective_limit(account: &Account, global: &Limits) -> Option<Money> {
    [account.config.limits.max_daily_loss, global.max_daily_loss]
        .into_iter()
        .flatten()
        .min()
        .map(|limit| Money::of(limit, account.config.currency))
}

/// The loss and the limit, if the limit is reached.
pub(crate) fn tripped(account: &Account, global: &Limits) -> Option<(Money, Money)> {
    let limit = effective_limit(account, global)?;
    let loss = account.daily_loss();
    (loss >= limit).then_some((loss, limit))
}
