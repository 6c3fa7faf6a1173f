//! `lockstep.toml`: what accounts there are, what they may risk, where the gateway listens and where
//! quotes come from. Without a file: one paper account, on the loopback interface, with synthetic
//! quotes.
//!
//! Imports `domain` and, of the node, plain values only. Every error names file, line and key.

mod accounts;
mod calendars;
mod error;
mod feed;
mod gateway;
mod instruments;
mod market_hours;
mod table;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Place};
pub use feed::{FEED_FORMS, FeedSection, FeedSpec, ReplaySpec, SpecError, VenueSpec};
pub use gateway::GatewaySection;
pub use market_hours::MarketHoursError;
pub use table::Environment;

use super::vault::Secret;
use crate::domain::{
    account::AccountConfig,
    calendar::Calendar,
    config::{Config, Limits, OPEN_ORDERS_MAX, StrategyConfig, TradeRate},
    id::AccountId,
};
use rust_decimal::Decimal;
use std::{collections::BTreeMap, io};
use table::{Document, Table};

/// A quote of a live feed older than this is stale.
const QUOTE_MAX_AGE_MS: u64 = 60_000;

/// The largest amount of money that a file may name.
const AMOUNT_MAX: u64 = 1_000_000_000_000_000;

/// Reads a file that the configuration names, as it names it.
pub type Files<'f> = &'f dyn Fn(&str) -> io::Result<String>;

/// The content of `lockstep.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    pub gateway: GatewaySection,
    pub feed: FeedSection,
    /// For every account; an account's own limits apply beside them.
    pub limits: Limits,
    pub accounts: Vec<AccountConfig>,
    /// Beside the built-in ones; one that bears the name of a built-in calendar takes its place.
    pub calendars: Vec<Calendar>,
    /// The calendars of instruments that do not keep their built-in one, by symbol.
    pub instrument_calendars: BTreeMap<&'static str, String>,
    /// What accounts at venues log on with. They go into the vault; `accounts` names none of them.
    pub credentials: BTreeMap<AccountId, Secret>,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            gateway: GatewaySection::default(),
            feed: FeedSection::default(),
            limits: Limits::default(),
            accounts: vec![accounts::paper()],
            calendars: Vec::new(),
            instrument_calendars: BTreeMap::new(),
            credentials: BTreeMap::new(),
        }
    }
}

impl FileConfig {
    /// Reads the text of a file that names no other; `file` is its name in errors.
    pub fn parse(file: &str, text: &str, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let none = |_: &str| Err(io::Error::new(io::ErrorKind::Unsupported, "no other file is read here"));
        Self::parse_with(file, text, environment, &none)
    }

    /// Reads the text of a file, and what it names through `files`.
    pub fn parse_with(
        file: &str,
        text: &str,
        environment: Environment<'_>,
        files: Files<'_>,
    ) -> Result<Self, ConfigError> {
        Document { file, text, environment }.read(|top| {
            let mut credentials = BTreeMap::new();
            let accounts = accounts::read(top, &mut credentials)?;
            let calendars = calendars::read(top, files)?;
            Ok(Self {
                gateway: top.table("gateway", gateway::read)?.unwrap_or_default(),
                feed: top.table("feed", feed::read)?.unwrap_or_default(),
                limits: top.table("risk", limits)?.unwrap_or_default(),
                accounts: accounts.unwrap_or_else(|| vec![accounts::paper()]),
                instrument_calendars: instruments::read(top, &calendars)?,
                calendars,
                credentials,
            })
        })
    }

    /// What the machine is told. `live`: quotes can go stale.
    pub fn to_config(&self, strategies: Vec<StrategyConfig>, live: bool) -> Config {
        let mut built_in = Config::built_in();
        self.put_calendars(&mut built_in);
        Config {
            accounts: self.accounts.clone(),
            limits: self.limits.clone(),
            strategies,
            trade_rate: Some(TradeRate {
                per_second: self.gateway.trades_per_second.unwrap_or(TradeRate::DEFAULT.per_second),
                burst: self.gateway.trades_burst.unwrap_or(TradeRate::DEFAULT.burst),
            }),
            quote_max_age_ms: if live { self.feed.quote_max_age_ms.unwrap_or(QUOTE_MAX_AGE_MS) } else { 0 },
            ..built_in
        }
    }

    fn put_calendars(&self, config: &mut Config) {
        for calendar in &self.calendars {
            match config.calendars.iter_mut().find(|known| known.name == calendar.name) {
                Some(known) => *known = calendar.clone(),
                None => config.calendars.push(calendar.clone()),
            }
        }
        for instrument in &mut config.instruments {
            let Some(name) = self.instrument_calendars.get(instrument.symbol.as_str()) else { continue };
            let index = config.calendars.iter().position(|calendar| calendar.name == *name);
            let index = index.expect("a calendar that an instrument names was known when the file was read");
            instrument.calendar = u16::try_from(index).expect("calendars are bounded");
        }
    }
}

/// A credential. It is written as `${NAME}`, so that the file holds none.
fn token(table: &Table<'_>) -> Result<Option<Secret>, ConfigError> {
    const TOKEN_BYTES: usize = 4_096;
    let expected = "a token of at most 4096 bytes, such as \"${VENUE_TOKEN}\"";
    table.text("token", expected, |text| {
        (1..=TOKEN_BYTES).contains(&text.len()).then(|| Secret::from(text.to_owned()))
    })
}

/// The limits of one scope.
fn limits(table: &Table<'_>) -> Result<Limits, ConfigError> {
    Ok(Limits {
        max_open_orders: whole(table, "max_open_orders", 1, u64::from(OPEN_ORDERS_MAX))?,
        max_positions: whole(table, "max_positions", 1, 100_000)?,
        max_daily_loss: amount(table, "max_daily_loss", Decimal::new(1, 2))?,
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

/// An amount of money from `least` on.
fn amount(table: &Table<'_>, key: &'static str, least: Decimal) -> Result<Option<Decimal>, ConfigError> {
    let greatest = Decimal::from(AMOUNT_MAX);
    table.number(key, format!("an amount from {least} to {greatest}, such as \"500\""), |text| {
        let amount: Decimal = text.parse().ok()?;
        (least..=greatest).contains(&amount).then_some(amount)
    })
}
