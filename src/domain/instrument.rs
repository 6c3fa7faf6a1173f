//! What can be traded, and the grid of its prices and volumes (DM01, DM03).

use super::{
    id::Symbol,
    money::{self, Currency, Exact},
    order::{Side, Stop},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A price in ticks of its instrument.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub i64);

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}t", self.0)
    }
}

/// A volume in steps of its instrument; never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Volume(pub i64);

impl Volume {
    /// No volume.
    pub const ZERO: Self = Self(0);

    /// Whether there is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This volume less `other`, at least zero.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        let rest = self.0.saturating_sub(other.0);
        Self(if rest > 0 { rest } else { 0 })
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v", self.0)
    }
}

/// An instrument's place in the configured list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// The index in the list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How margin is computed (AC03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarginMode {
    /// lots x contract / leverage, in the base currency.
    Forex,
    /// lots x contract x price / leverage, in the profit currency.
    CfdLeverage,
}

/// Largest price in ticks and volume in steps that an instrument may meet (DM01).
const MAX_DECIMAL_MANTISSA: i128 = 79_000_000_000_000_000_000_000_000_000;

/// Why an instrument does not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// DM01: a position's value could leave the exact range.
    #[error(
        "INSTRUMENT_RANGE: {0}: max price x max volume x tick x step x contract exceeds 7.9e28 or 18 digits"
    )]
    Range(Symbol),
    /// Tick, step, contract size and volumes must be positive and on their grids.
    #[error("{symbol}: {field} must be positive and a whole multiple of its unit")]
    Field { symbol: Symbol, field: &'static str },
}

/// An instrument's specification. Immutable while orders or positions exist (DM04).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    pub symbol: Symbol,
    /// Digits after the point of a displayed price.
    pub digits: u32,
    /// 10^-digits: the unit of spreads, stops levels and swaps.
    pub point: Decimal,
    /// The price grid.
    pub tick: Decimal,
    /// The unit that traders count in.
    pub pip: Decimal,
    /// Units per lot.
    pub contract_size: Decimal,
    /// The volume grid, in lots.
    pub volume_step: Decimal,
    pub volume_min: Volume,
    pub volume_max: Volume,
    /// Largest price admitted, in ticks.
    pub price_max: Price,
    pub base_currency: Currency,
    /// Currency of the price and of profit and loss.
    pub quote_currency: Currency,
    pub margin_mode: MarginMode,
    /// Index into the configured calendars.
    pub calendar: u16,
    /// Spread assumed where data state none, in points.
    pub default_spread_points: i64,
    /// Least distance of protective levels and pending prices from the market, in points; 0 is none (OR10).
    #[serde(skip_serializing_if = "is_zero", default)]
    pub stops_level_points: i64,
    /// What lies so close to the market can be neither changed nor taken back, in points; 0 is none (OR10).
    #[serde(skip_serializing_if = "is_zero", default)]
    pub freeze_level_points: i64,
}

fn is_zero(points: &i64) -> bool {
    *points == 0
}

impl Instrument {
    /// Checks DM01 and that every grid is sane.
    pub fn validate(&self) -> Result<(), InstrumentError> {
        let field = |field| InstrumentError::Field { symbol: self.symbol.clone(), field };
        for (value, name) in [
            (self.point, "point"),
            (self.tick, "tick"),
            (self.pip, "pip"),
            (self.contract_size, "contract_size"),
            (self.volume_step, "volume_step"),
        ] {
            if value <= Decimal::ZERO {
                return Err(field(name));
            }
        }
        if self.volume_min.is_zero() || self.volume_min > self.volume_max {
            return Err(field("volume_min"));
        }
        let range = || InstrumentError::Range(self.symbol.clone());
        let unit = self.tick_step_value().normalize();
        let largest = i128::from(self.price_max.0)
            .checked_mul(i128::from(self.volume_max.0))
            .and_then(|n| n.checked_mul(unit.mantissa()))
            .ok_or_else(range)?;
        if largest >= MAX_DECIMAL_MANTISSA || unit.scale() > 18 { Err(range()) } else { Ok(()) }
    }

    /// What one tick of one step is worth in the quote currency: tick x step x contract.
    pub fn tick_step_value(&self) -> Decimal {
        Exact(self.tick).times(self.volume_step).times(self.contract_size).0
    }

    /// Units of one volume step: step x contract.
    pub fn step_units(&self) -> Decimal {
        Exact(self.volume_step).times(self.contract_size).0
    }

    /// The price's decimal.
    pub fn price(&self, price: Price) -> Decimal {
        money::from_grid(price.0, self.tick)
    }

    /// The volume in lots.
    pub fn lots(&self, volume: Volume) -> Decimal {
        money::from_grid(volume.0, self.volume_step)
    }

    /// The price in ticks if it lies on the grid and is positive.
    pub fn to_price(&self, value: Decimal) -> Option<Price> {
        money::on_grid(value, self.tick).filter(|t| *t > 0 && *t <= self.price_max.0).map(Price)
    }

    /// The volume in steps if it lies on the grid and is positive.
    pub fn to_volume(&self, lots: Decimal) -> Option<Volume> {
        money::on_grid(lots, self.volume_step).filter(|v| *v > 0).map(Volume)
    }

    /// Ticks in `points`, rounded down to the tick grid.
    pub fn points_to_ticks(&self, points: i64) -> i64 {
        let ratio = Exact(self.point).over(self.tick);
        i64::try_from(ratio.times(Decimal::from(points)).0.trunc()).unwrap_or(0)
    }

    /// Where a stop lies for a position that opened at `open`. `stop_loss` tells the direction:
    /// a long's stop loss lies below, its take profit above; a short's the other way round.
    pub fn stop_price(&self, stop: Stop, open: Price, side: Side, stop_loss: bool) -> Price {
        let below = (side == Side::Buy) == stop_loss;
        let away =
            |ticks: i64| if below { open.0.saturating_sub(ticks) } else { open.0.saturating_add(ticks) };
        match stop {
            Stop::At(price) => price,
            Stop::Ticks(ticks) => Price(away(ticks)),
            Stop::Percent(percent) => Price(away(money::percent_of_ticks(open.0, percent))),
        }
    }
}

/// A row of the built-in table: symbol, digits, tick, pip, contract, default spread, margin, calendar.
type BuiltIn = (&'static str, &'static str, &'static str, u32, i64, i64, i64, MarginMode, u16);

/// The calendars that built-in instruments refer to, by index in `Config::built_in`.
pub const CALENDAR_FOREX: u16 = 0;
pub const CALENDAR_ALWAYS: u16 = 1;
pub const CALENDAR_GOLD: u16 = 2;

#[rustfmt::skip]
const BUILT_IN: [BuiltIn; 6] = [
    // symbol,  base,  quote, digits, pip in ticks, contract, spread, margin, calendar
    ("EURUSD", "EUR", "USD", 5, 10, 100_000, 10, MarginMode::Forex, CALENDAR_FOREX),
    ("GBPUSD", "GBP", "USD", 5, 10, 100_000, 15, MarginMode::Forex, CALENDAR_FOREX),
    ("USDJPY", "USD", "JPY", 3, 10, 100_000, 10, MarginMode::Forex, CALENDAR_FOREX),
    ("XAUUSD", "XAU", "USD", 2, 10, 100, 30, MarginMode::CfdLeverage, CALENDAR_GOLD),
    ("BTCUSD", "BTC", "USD", 2, 10, 1, 1_000, MarginMode::CfdLeverage, CALENDAR_ALWAYS),
    ("ETHUSD", "ETH", "USD", 2, 10, 1, 100, MarginMode::CfdLeverage, CALENDAR_ALWAYS),
];

/// The symbols of `built_in`, in its order.
pub fn built_in_symbols() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|&(symbol, ..)| symbol)
}

/// The instruments that exist without configuration (DM03).
pub fn built_in() -> Vec<Instrument> {
    BUILT_IN
        .iter()
        .map(|&(symbol, base, quote, digits, pip_ticks, contract, spread, margin_mode, calendar)| {
            let point = Decimal::new(1, digits);
            Instrument {
                symbol: Symbol::new(symbol).expect("built-in symbols are identifiers"),
                digits,
                point,
                tick: point,
                pip: Decimal::new(pip_ticks, digits),
                contract_size: Decimal::from(contract),
                volume_step: Decimal::new(1, 2),
                volume_min: Volume(1),
                volume_max: Volume(10_000),
                price_max: Price(1_000_000_000),
                base_currency: Currency::new(base).expect("built-in currencies are codes"),
                quote_currency: Currency::new(quote).expect("built-in currencies are codes"),
                margin_mode,
                calendar,
                default_spread_points: spread,
                stops_level_points: 0,
                freeze_level_points: 0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dm03_built_in_instruments_load_and_state_their_grid() {
        let all = built_in();
        assert_eq!(all.len(), 6);
        for instrument in &all {
            instrument.validate().expect("built-in instruments are in range");
            assert_eq!(instrument.lots(instrument.volume_min), Decimal::new(1, 2));
            assert_eq!(instrument.lots(instrument.volume_max), Decimal::from(100));
        }
        assert_eq!(all[2].pip, Decimal::new(1, 2), "USDJPY's pip");
        assert_eq!(all[3].pip, Decimal::new(1, 1), "XAUUSD's pip");
    }

    #[test]
    fn dm01_an_instrument_out_of_range_does_not_load() {
        let mut btc = built_in().remove(4);
        btc.volume_step = Decimal::new(1, 8);
        btc.volume_max = Volume(1_000_000_000_000);
        btc.price_max = Price(10_000_000);
        assert_eq!(btc.validate(), Ok(()), "1e7 ticks x 1e12 steps fit in i128 and Decimal");
        btc.price_max = Price(i64::MAX);
        btc.volume_max = Volume(i64::MAX);
        assert!(matches!(btc.validate(), Err(InstrumentError::Range(_))));
    }
}
