//! Postings: the only place where a balance changes (AC01).

use super::account::Account;
use crate::domain::{
    ledger::{EntryKind, LedgerEntry},
    message::Outputs,
    money::Money,
    time::UnixNanos,
};

/// Posts an amount; nothing is posted for zero.
pub(crate) fn post(
    account: &mut Account,
    kind: EntryKind,
    amount: Money,
    reference: String,
    now: UnixNanos,
    out: &mut Outputs,
) {
    if amount == Money::ZERO {
        return;
    }
    account.balance += amount;
    // what a venue's books have beyond its reports may be a deposit there: it must not hide a loss (RK04)
    let unexplained_gain = kind == EntryKind::Adjustment && amount > Money::ZERO;
    if unexplained_gain || matches!(kind, EntryKind::Deposit | EntryKind::Withdrawal | EntryKind::Credit) {
        account.day.cash_flows += amount;
    }
    out.ledger.push(LedgerEntry {
        entry_id: account.next_entry(),
        account_id: account.id().clone(),
        kind,
        amount,
        currency: account.config.currency,
        balance_after: account.balance,
        reference,
        ts: now,
    });
}
