//! Everything that changes decisions, as one journaled input.

use super::{
    account::AccountConfig,
    calendar::{Calendar, Zone},
    id::{AccountId, Symbol},
    instrument::{self, Instrument, InstrumentId},
    market::{BarPolicy, Timeframe},
    order::Stop,
    rates::Rates,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Orders and positions of one account that may be open at a time, whatever is configured: a stop takes all of
/// them back in one piece.
pub const OPEN_ORDERS_MAX: u32 = 20_000;

/// Risk limits of one scope. A key is its violation code in lower case; unset is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open orders and positions at most, those that reduce included; 20,000 where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_orders: Option<u32>,
    /// Open positions and opening orders at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_positions: Option<u32>,
    /// Loss since the day roll, in the account's currency, at which only reductions go on (RK04).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_daily_loss: Option<Decimal>,
}

/// A strategy that runs inside the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyConfig {
    /// Its registered name, such as `sma_cross`.
    pub name: String,
    pub params: BTreeMap<String, String>,
    pub account: AccountId,
    pub symbol: Symbol,
    pub timeframe: Timeframe,
    /// In lots.
    pub volume: Decimal,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
}

/// The whole configuration. Entering it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub instruments: Vec<Instrument>,
    pub calendars: Vec<Calendar>,
    pub accounts: Vec<AccountConfig>,
    /// Limits for every account; an account's own limit applies beside them, the stricter wins.
    pub limits: Limits,
    pub strategies: Vec<StrategyConfig>,
    /// Where the broker's day rolls, unless an account trades coins only (RK04).
    pub day_zone: Zone,
    /// Minute of the local day.
    pub day_minute: u16,
    pub bar_policy: BarPolicy,
    /// A quote older than this is stale; 0 is never (replay and backtest).
    pub quote_max_age_ms: u64,
    /// How fast one account's trade requests may come; `None` is as fast as they like. What lowers risk
    /// is never slowed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trade_rate: Option<TradeRate>,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeRate {
    pub per_second: u32,
    pub burst: u32,
}

impl TradeRate {
    /// 10 a second, 20 at once.
    pub const DEFAULT: Self = Self { per_second: 10, burst: 20 };
}

impl Config {
    /// The built-in instruments and calendars, no accounts, no limits.
    pub fn built_in() -> Self {
        Self {
            instruments: instrument::built_in(),
            calendars: vec![Calendar::forex(), Calendar::always(), Calendar::gold()],
            accounts: Vec::new(),
            limits: Limits::default(),
            strategies: Vec::new(),
            day_zone: Zone::load("America/New_York").expect("the bundled time-zone data has New York"),
            day_minute: 17 * 60,
            bar_policy: BarPolicy::Pessimistic,
            quote_max_age_ms: 0,
            trade_rate: None,
        }
    }
}

/// A configuration in force, with what is derived from it. Shared by engine and venue.
#[derive(Debug, Clone)]
pub struct Setup {
    pub config: Config,
    pub rates: Rates,
    symbols: BTreeMap<Symbol, InstrumentId>,
}

impl Setup {
    /// Derives routes and lookups. The configuration must have passed its check.
    pub fn new(config: Config) -> Self {
        let rates = Rates::new(&config.instruments);
        let ids = (0..=u16::MAX).map(InstrumentId);
        let symbols = config.instruments.iter().map(|i| i.symbol.clone()).zip(ids).collect();
        Self { config, rates, symbols }
    }

    /// The instruments, in the order of their ids.
    pub fn instruments(&self) -> &[Instrument] {
        &self.config.instruments
    }

    /// An instrument's specification.
    pub fn instrument(&self, id: InstrumentId) -> &Instrument {
        &self.config.instruments[id.index()]
    }

    /// The instrument of this symbol.
    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        self.symbols.get(&Symbol::new(symbol).ok()?).copied()
    }
}
