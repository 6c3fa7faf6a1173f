//! Market data on the grid: quotes, bars, candles and their timeframes.

use super::{
    instrument::{InstrumentId, Price},
    order::Side,
    time::{DAY_NS, HOUR_NS, MILLI_NS, MINUTE_NS, UnixNanos},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Best bid and ask (FIX tags 132 and 133).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    pub bid: Price,
    pub ask: Price,
}

impl Quote {
    /// Whether it can be used: both sides positive, bid not above ask (EX10).
    pub const fn fault(self) -> Option<QuoteFault> {
        if self.bid.0 < 0 || self.ask.0 < 0 {
            Some(QuoteFault::Negative)
        } else if self.bid.0 == 0 || self.ask.0 == 0 {
            Some(QuoteFault::Zero)
        } else if self.bid.0 > self.ask.0 {
            Some(QuoteFault::Crossed)
        } else {
            None
        }
    }

    /// The price at which an order of this side trades: buys at ask, sells at bid (EX01).
    pub const fn price_for(self, side: Side) -> Price {
        match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        }
    }
}

/// Why a quote is not used (EX10). A locked quote (bid = ask) is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteFault {
    Crossed,
    Zero,
    Negative,
    Nan,
}

impl QuoteFault {
    /// The reason as counted in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crossed => "crossed",
            Self::Zero => "zero",
            Self::Negative => "negative",
            Self::Nan => "nan",
        }
    }
}

/// Open, high, low and close of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ohlc {
    pub open: Price,
    pub high: Price,
    pub low: Price,
    pub close: Price,
}

/// A bar of both sides, which the venue expands into four quotes (EX05). It opens at the stamp of
/// its input and lasts `len_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    pub instrument: InstrumentId,
    pub bid: Ohlc,
    pub ask: Ohlc,
    pub len_ns: i64,
}

impl Bar {
    /// Whether its length is that of a bar: its four quotes come one after the other, and it is not
    /// longer than the longest timeframe.
    pub const fn has_length(&self) -> bool {
        4 * MILLI_NS <= self.len_ns && self.len_ns <= Timeframe::W1.len_ns()
    }
}

/// In what order the extremes inside a bar are visited, and which of two reachable exits counts (EX05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarPolicy {
    /// The extreme that hurts the open net volume first; SL before TP.
    #[default]
    Pessimistic,
    /// The extreme that helps first; TP before SL.
    Optimistic,
    /// The extreme nearer to the open first.
    Path,
}

/// A candle's length, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Timeframe {
    #[serde(rename = "1m")]
    M1,
    #[serde(rename = "5m")]
    M5,
    #[serde(rename = "15m")]
    M15,
    #[serde(rename = "30m")]
    M30,
    #[serde(rename = "1h")]
    H1,
    #[serde(rename = "4h")]
    H4,
    #[serde(rename = "1d")]
    D1,
    #[serde(rename = "1w")]
    W1,
}

impl Timeframe {
    /// All of them, shortest first; each is a whole multiple of the one before.
    pub const ALL: [Self; 8] =
        [Self::M1, Self::M5, Self::M15, Self::M30, Self::H1, Self::H4, Self::D1, Self::W1];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M5 => "5m",
            Self::M15 => "15m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H4 => "4h",
            Self::D1 => "1d",
            Self::W1 => "1w",
        }
    }

    /// Reads the wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Its place in `ALL`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Nanoseconds from open to close.
    pub const fn len_ns(self) -> i64 {
        match self {
            Self::M1 => MINUTE_NS,
            Self::M5 => 5 * MINUTE_NS,
            Self::M15 => 15 * MINUTE_NS,
            Self::M30 => 30 * MINUTE_NS,
            Self::H1 => HOUR_NS,
            Self::H4 => 4 * HOUR_NS,
            Self::D1 => DAY_NS,
            Self::W1 => 7 * DAY_NS,
        }
    }

    /// The open of the candle that holds `at`: aligned to UTC; weeks begin on Monday.
    pub const fn open_of(self, at: UnixNanos) -> UnixNanos {
        match self {
            // 1970-01-01 was a Thursday, three days after a Monday
            Self::W1 => at.plus(3 * DAY_NS).floor(7 * DAY_NS).plus(-3 * DAY_NS),
            _ => at.floor(self.len_ns()),
        }
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A candle of bids over `[ts, ts + len)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candle {
    /// Its opening instant.
    pub ts: UnixNanos,
    pub open: Price,
    pub high: Price,
    pub low: Price,
    pub close: Price,
    /// Number of quotes (tick volume).
    pub ticks: u64,
    /// Spread at the last quote, in ticks.
    pub spread: i64,
}

impl Candle {
    /// A candle that has seen one quote.
    pub const fn first(ts: UnixNanos, quote: Quote) -> Self {
        let bid = quote.bid;
        Self { ts, open: bid, high: bid, low: bid, close: bid, ticks: 1, spread: quote.ask.0 - bid.0 }
    }

    /// Takes in the next quote.
    pub fn add(&mut self, quote: Quote) {
        self.high = self.high.max(quote.bid);
        self.low = self.low.min(quote.bid);
        self.close = quote.bid;
        self.ticks += 1;
        self.spread = quote.ask.0 - quote.bid.0;
    }

    /// Takes in the next candle of a shorter timeframe.
    pub fn merge(&mut self, next: &Self) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.ticks += next.ticks;
        self.spread = next.spread;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday() {
        let friday = UnixNanos::parse("2012-02-03T12:34:56Z").expect("an instant");
        assert_eq!(Timeframe::W1.open_of(friday).to_string(), "2012-01-30T00:00:00Z");
        assert_eq!(Timeframe::H4.open_of(friday).to_string(), "2012-02-03T12:00:00Z");
    }

    #[test]
    fn each_timeframe_is_a_multiple_of_the_one_before() {
        for pair in Timeframe::ALL.windows(2) {
            assert_eq!(pair[1].len_ns() % pair[0].len_ns(), 0);
        }
    }
}
