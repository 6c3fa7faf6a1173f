//! `lockstep.toml`: what accounts there are, what they may risk, where the gateway listens and where
//! quotes come from. Without a file: one paper account, on the loopback interface, with synthetic
//! quotes.
//!
//! Imports `domain` and nothing that runs. Every error names file, line and key.

mod accounts;
mod error;
mod feed;
mod gateway;
mod table;

pub use error::{ConfigError, Place};
pub use feed::{FeedSection, FeedSpec, ReplaySpec, SpecError};
pub use gateway::GatewaySection;
pub use table::Environment;

use crate::domain::{
    account::AccountConfig,
    config::{Config, Limits, StrategyConfig},
};
use rust_decimal::Decimal;
use table::{Document, Table};

/// A quote of a live feed older than this is stale.
const QUOTE_MAX_AGE_MS: u64 = 60_000;

/// The content of `lockstep.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    pub gateway: GatewaySection,
    pub feed: FeedSection,
    /// For every account; an account's own limits apply beside them.
    pub limits: Limits,
    pub accounts: Vec<AccountConfig>,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            gateway: GatewaySection::default(),
            feed: FeedSection::default(),
            limits: Limits::default(),
            accounts: vec![accounts::paper()],
        }
    }
}

impl FileConfig {
    /// Reads the text of a file; `file` is its name in errors.
    pub fn parse(file: &str, text: &str, environment: Environment<'_>) -> Result<Self, ConfigError> {
        Document { file, text, environment }.read(|top| {
            let accounts = accounts::read(top)?;
            Ok(Self {
                gateway: top.table("gateway", gateway::read)?.unwrap_or_default(),
                feed: top.table("feed", feed::read)?.unwrap_or_default(),
                limits: top.table("risk", limits)?.unwrap_or_default(),
                accounts: accounts.unwrap_or_else(|| vec![accounts::paper()]),
            })
        })
    }

    /// What the machine is told. `live`: quotes can go stale.
    pub fn to_config(&self, strategies: Vec<StrategyConfig>, live: bool) -> Config {
        Config {
            accounts: self.accounts.clone(),
            limits: self.limits.clone(),
            strategies,
            quote_max_age_ms: if live { self.feed.quote_max_age_ms.unwrap_or(QUOTE_MAX_AGE_MS) } else { 0 },
            ..Config::built_in()
        }
    }
}

/// The limits of one scope.
fn limits(table: &Table<'_>) -> Result<Limits, ConfigError> {
    Ok(Limits {
        max_positions: whole(table, "max_positions", 1, 100_000)?,
        max_daily_loss: amount(table, "max_daily_loss")?.filter(|limit| !limit.is_zero()),
    })
}

/// A whole number of a range.
fn whole<T: TryFrom<u64>>(
    table: &Table<'_>,
    key: &'static str,
    least: u64,
    greatest: u64,
) -> Result<Option<T>, ConfigError> {
    let expected = format!("a whole number from {least} to {greatest}");
    table.number(key, expected, |text| {
        let number = text.parse().ok().filter(|n| (least..=greatest).contains(n))?;
        T::try_from(number).ok()
    })
}

/// An amount of money, not negative.
fn amount(table: &Table<'_>, key: &'static str) -> Result<Option<Decimal>, ConfigError> {
    const GREATEST: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0); // 1e15
    table.number(key, "an amount such as \"500\" or \"0.25\", not negative, at most 1e15", |text| {
        let amount: Decimal = text.parse().ok()?;
        (!amount.is_sign_negative() && amount <= GREATEST).then_some(amount)
    })
}
