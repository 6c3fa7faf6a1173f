//! What a client knows of the market and its account, from what it was told.

use crate::history::Told;
use serde_json::Value;
use std::collections::BTreeMap;

/// A client's view.
#[derive(Debug, Default)]
pub struct Known {
    /// Whether orders of others are among `orders`, once it hears of them.
    learns_all: bool,
    /// Bid and ask in ticks, by symbol.
    quotes: BTreeMap<String, (i64, i64)>,
    /// Account and id of the orders it was told of, in that order.
    pub orders: Vec<(String, String)>,
    /// Orders that rest, as far as it was told.
    pub resting: Vec<Resting>,
    /// Open positions, in the order of opening.
    pub positions: Vec<Open>,
    /// The newest emergency stop.
    pub stop: Option<String>,
}

/// What a resting order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Limit,
    /// A stop or a stop-limit.
    Trigger,
    Trail,
}

/// A resting order.
#[derive(Debug, PartialEq, Eq)]
pub struct Resting {
    pub waits: Waits,
    pub account: String,
    pub id: String,
    pub symbol: String,
    pub buy: bool,
}

/// An open position.
#[derive(Debug, PartialEq, Eq)]
pub struct Open {
    pub account: String,
    pub id: String,
    pub symbol: String,
    pub buy: bool,
    /// In hundredths of a lot.
    pub volume: i64,
}

/// Decimals of the price; the tick is one unit of the last.
pub fn digits(symbol: &str) -> u32 {
    match symbol {
        "EURUSD" | "GBPUSD" => 5,
        "USDJPY" => 3,
        _ => 2,
    }
}

impl Known {
    /// Knows nothing yet; `learns_all`: also of others' orders, once it hears of them.
    pub fn new(learns_all: bool) -> Self {
        Self { learns_all, ..Self::default() }
    }

    /// Bid and ask in ticks.
    pub fn quote(&self, symbol: &str) -> Option<(i64, i64)> {
        self.quotes.get(symbol).copied()
    }

    /// Learns from an event.
    pub fn hear(&mut self, told: &Told) {
        match told.name.as_str() {
            "event.feed.event" => self.hear_tick(&told.read()),
            "event.trade.executed" => self.hear_fill(&told.read()),
            "event.order.updated" => self.hear_order(&told.read()["order"]),
            "event.emergency_stop" => self.stop = told.read()["stopId"].as_str().map(str::to_owned),
            _ => {}
        }
    }

    pub(super) fn hear_tick(&mut self, payload: &Value) {
        if payload["topic"] != "market.price.tick" {
            return;
        }
        let Some(symbol) = payload["symbol"].as_str() else { return };
        let price = |key: &str| scaled(payload["payload"][key].as_str()?, digits(symbol));
        if let (Some(bid), Some(ask)) = (price("bid"), price("ask")) {
            self.quotes.insert(symbol.to_owned(), (bid, ask));
        }
    }

    /// Learns from an answer to `feeds.getCandles`: a candle closes at its last bid and knows the spread.
    pub fn see_candles(&mut self, params: &Value, answer: &Value) {
        let Some(symbol) = params["symbol"].as_str() else { return };
        let Some(last) = answer["candles"].as_array().and_then(|candles| candles.last()) else { return };
        let price = |key: &str| scaled(last[key].as_str()?, digits(symbol));
        if let (Some(bid), Some(spread)) = (price("close"), price("spread")) {
            self.quotes.insert(symbol.to_owned(), (bid, bid + spread));
        }
    }

    fn hear_fill(&mut self, fill: &Value) {
        let text = |key: &str| fill[key].as_str();
        let (Some(account), Some(position), Some(order), Some(symbol)) =
            (text("accountId"), text("positionId"), text("orderId"), text("symbol"))
        else {
            return;
        };
        let Some(volume) = fill["volume"].as_str().and_then(|v| scaled(v, 2)) else { return };
        // A position bears the number of the order that opened it.
        let opens = position.trim_start_matches('p') == order.trim_start_matches('o');
        match self.positions.iter_mut().find(|open| open.account == account && open.id == position) {
            Some(open) => open.volume += if opens { volume } else { -volume },
            None if opens => self.positions.push(Open {
                account: account.to_owned(),
                id: position.to_owned(),
                symbol: symbol.to_owned(),
                buy: text("side") == Some("buy"),
                volume,
            }),
            None => {}
        }
        self.positions.retain(|open| open.volume > 0);
    }

    fn hear_order(&mut self, order: &Value) {
        let text = |key: &str| order[key].as_str();
        let (Some(account), Some(id), Some(symbol)) = (text("accountId"), text("orderId"), text("symbol"))
        else {
            return;
        };
        if self.learns_all {
            self.placed(account, id);
        }
        self.resting.retain(|known| known.account != account || known.id != id);
        let waits = match (text("type"), text("status")) {
            (Some("limit"), Some("accepted" | "partially_filled")) => Some(Waits::Limit),
            (Some("stop_limit"), Some("triggered")) => Some(Waits::Limit),
            (Some("stop" | "stop_limit"), Some("accepted")) => Some(Waits::Trigger),
            (Some("trailing_stop"), Some("accepted")) => Some(Waits::Trail),
            _ => None,
        };
        if let Some(waits) = waits {
            self.resting.push(Resting {
                waits,
                account: account.to_owned(),
                id: id.to_owned(),
                symbol: symbol.to_owned(),
                buy: text("side") == Some("buy"),
            });
        }
    }

    /// Learns of an order from an answer.
    pub fn placed(&mut self, account: &str, order: &str) {
        if !self.orders.iter().any(|(of, known)| of == account && known == order) {
            self.orders.push((account.to_owned(), order.to_owned()));
        }
    }
}

/// A decimal text as an integer of so many decimals. `None` if it is none or does not fit exactly.
pub fn scaled(text: &str, digits: u32) -> Option<i64> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let missing = (digits as usize).checked_sub(fraction.len())?;
    let number: i64 = format!("{whole}{fraction}{}", "0".repeat(missing)).parse().ok()?;
    Some(if negative { -number } else { number })
}

/// An integer of so many decimals as a decimal text.
pub fn decimal(number: i64, digits: u32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let unit = 10_u64.pow(digits);
    let (whole, fraction) = (number.unsigned_abs() / unit, number.unsigned_abs() % unit);
    if digits == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction:0width$}", width = digits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_trip_through_integers() {
        for (text, digits, number) in [
            ("1.07", 5, 107_000),
            ("-0.5", 2, -50),
            ("64000", 2, 6_400_000),
            ("0.01", 2, 1),
            ("-0.01", 2, -1),
        ] {
            assert_eq!(scaled(text, digits), Some(number), "{text}");
            assert_eq!(scaled(&decimal(number, digits), digits), Some(number), "{text}");
        }
        assert_eq!(scaled("0.001", 2), None, "finer than asked for");
        assert_eq!(scaled("x", 2), None);
    }
}
