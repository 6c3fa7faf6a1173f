//! Accounts: what they are (configured) and how they may trade.

use super::{
    config::Limits,
    id::{AccountId, Symbol},
    money::Currency,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether real money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountMode {
    Paper,
    Demo,
    Live,
}

/// Whether opposite positions on a symbol coexist (MT5: hedging) or net out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionMode {
    Hedging,
    Netting,
}

/// The state of an account's link to its venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    Connected,
    Reconciling,
    Disconnected,
    Error,
}

/// Whether an account may take new risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TradingState {
    Active,
    /// A loss limit tripped: only reductions.
    Reducing,
    /// An emergency stop is latched: only reductions.
    Halted,
}

/// An account's configuration, part of the `Config` input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountConfig {
    pub id: AccountId,
    pub label: String,
    pub mode: AccountMode,
    /// `paper`: the venue inside the machine.
    pub connector: String,
    pub currency: Currency,
    pub leverage: u32,
    pub position_mode: PositionMode,
    /// First deposit, posted when the account first appears.
    pub deposit: Decimal,
    /// Per lot and fill, in the account's currency; a cost is positive here.
    pub commission_per_lot: Decimal,
    /// Empty: all.
    pub allowed_symbols: Vec<Symbol>,
    pub limits: Limits,
}
