//! Postings to an account's balance (AC01).

use super::{
    id::{AccountId, EntryId},
    money::{Currency, Money},
    time::UnixNanos,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a posting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Pnl,
    Commission,
    Swap,
    Funding,
    Fee,
    Deposit,
    Withdrawal,
    Credit,
    Adjustment,
}

/// One posting: the balance after it is the balance before plus `amount`, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    pub entry_id: EntryId,
    pub account_id: AccountId,
    pub kind: EntryKind,
    pub amount: Money,
    pub currency: Currency,
    pub balance_after: Money,
    /// What caused it: a fill's id, or `deposit`.
    #[serde(rename = "ref")]
    pub reference: String,
    pub ts: UnixNanos,
}
