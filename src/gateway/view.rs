//! Market data in the wire's shape.

use crate::domain::{
    id::Symbol,
    instrument::{Instrument, Price},
    market::{Candle, Quote},
    time::UnixNanos,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Serialize;

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TickView {
    pub symbol: Symbol,
    pub bid: Decimal,
    pub ask: Decimal,
    pub ts: UnixNanos,
}

impl TickView {
    /// The quote in the instrument's decimals.
    pub fn new(ts: UnixNanos, quote: Quote, instrument: &Instrument) -> Self {
        Self {
            symbol: instrument.symbol.clone(),
            bid: instrument.price(quote.bid),
            ask: instrument.price(quote.ask),
            ts,
        }
    }
}

/// A candle of bids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandleView {
    /// Its opening instant.
    pub ts: UnixNanos,
    pub open: Decimal,
    pub high: Decimal,
    pub low: Decimal,
    pub close: Decimal,
    /// Number of quotes (tick volume).
    pub volume: u64,
    /// Ask less bid at the last quote, in price.
    pub spread: Decimal,
    /// Whether nothing can be added to it any more.
    pub complete: bool,
}

impl CandleView {
    /// The candle in the instrument's decimals.
    pub fn new(candle: &Candle, instrument: &Instrument, complete: bool) -> Self {
        Self {
            ts: candle.ts,
            open: instrument.price(candle.open),
            high: instrument.price(candle.high),
            low: instrument.price(candle.low),
            close: instrument.price(candle.close),
            volume: candle.ticks,
            spread: instrument.price(Price(candle.spread)),
            complete,
        }
    }
}

/// A trading session began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    pub symbol: Symbol,
    pub open: bool,
    pub ts: UnixNanos,
}
