//! Accounts: what they are (configured) and how they may trade.

use super::{
    config::Limits,
    id::{AccountId, SecretId, Symbol},
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
    /// `paper`: the venue inside the machine; `venue`: one behind a wire (`link` says where).
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
    /// Of the connector `venue`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link: Option<LinkSettings>,
    /// It came by `accounts.connect` and not from the configuration file.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub added: bool,
}

impl AccountConfig {
    /// Whether its venue is the one inside the machine.
    pub fn is_paper(&self) -> bool {
        self.connector == PAPER
    }
}

/// The connector of the venue inside the machine.
pub const PAPER: &str = "paper";
/// The connector of venues behind a wire (docs/VENUE_LINK.md).
pub const VENUE: &str = "venue";

/// Where a venue behind a wire is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSettings {
    /// `host:port`.
    pub address: String,
    /// The account's name at the venue.
    pub login: String,
    /// The credential, by its name in the vault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<SecretId>,
}
