//! A bar as four quotes: its open, its two extremes in the policy's order, its close (EX05).

use crate::domain::{
    instrument::Price,
    market::{Bar, BarPolicy, Quote},
    order::Side,
    time::MILLI_NS,
};
use serde::{Deserialize, Serialize};

/// One quote of an expanded bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarLeg {
    /// Nanoseconds after the bar's opening.
    pub after_ns: i64,
    pub quote: Quote,
    /// Whether the price came here from the leg before, touching everything between; the open did not.
    pub path: bool,
}

/// Expands a bar. `net_steps` is the open net volume at its opening.
pub(super) fn expand(bar: &Bar, policy: BarPolicy, net_steps: i64) -> [BarLeg; 4] {
    let at =
        |pick: fn(&crate::domain::market::Ohlc) -> Price| Quote { bid: pick(&bar.bid), ask: pick(&bar.ask) };
    let (high, low) = (at(|o| o.high), at(|o| o.low));
    let (first, second) = if high_first(bar, policy, net_steps) { (high, low) } else { (low, high) };
    [
        BarLeg { after_ns: 0, quote: at(|o| o.open), path: false },
        BarLeg { after_ns: bar.len_ns / 4, quote: first, path: true },
        BarLeg { after_ns: bar.len_ns / 2, quote: second, path: true },
        BarLeg { after_ns: bar.len_ns - MILLI_NS, quote: at(|o| o.close), path: true },
    ]
}

fn high_first(bar: &Bar, policy: BarPolicy, net_steps: i64) -> bool {
    let up = bar.bid.high.0.saturating_sub(bar.bid.open.0);
    let down = bar.bid.open.0.saturating_sub(bar.bid.low.0);
    // the extreme that hurts the open net volume: the low for longs, the high for shorts and when flat
    let adverse_is_high = net_steps <= 0;
    let near_is_high = if up == down { adverse_is_high } else { up < down };
    match policy {
        _ if net_steps == 0 => near_is_high,
        BarPolicy::Pessimistic => adverse_is_high,
        BarPolicy::Optimistic => !adverse_is_high,
        BarPolicy::Path => near_is_high,
    }
}

/// Whether a stop loss and a take profit of a position can be touched inside the bar.
pub(super) fn reachable(
    bar: &Bar,
    side: Side,
    stop_loss: Option<Price>,
    take_profit: Option<Price>,
) -> Reach {
    match side {
        Side::Buy => Reach {
            stop_loss: stop_loss.is_some_and(|p| bar.bid.low <= p),
            take_profit: take_profit.is_some_and(|p| bar.bid.high >= p),
        },
        Side::Sell => Reach {
            stop_loss: stop_loss.is_some_and(|p| bar.ask.high >= p),
            take_profit: take_profit.is_some_and(|p| bar.ask.low <= p),
        },
    }
}

/// Whether one of the legs reaches a position's take profit.
pub(super) fn profit_to_come(legs: &[BarLeg], side: Side, take_profit: Option<Price>) -> bool {
    take_profit.is_some_and(|price| {
        legs.iter().any(|leg| match side {
            Side::Buy => leg.quote.bid >= price,
            Side::Sell => leg.quote.ask <= price,
        })
    })
}

/// What of a position a bar can touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    pub stop_loss: bool,
    pub take_profit: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        instrument::InstrumentId,
        market::Ohlc,
        time::{MINUTE_NS, SECOND_NS},
    };

    fn bar(open: i64, high: i64, low: i64, close: i64) -> Bar {
        let side = |d: i64| Ohlc {
            open: Price(open + d),
            high: Price(high + d),
            low: Price(low + d),
            close: Price(close + d),
        };
        Bar { instrument: InstrumentId(0), bid: side(0), ask: side(2), len_ns: MINUTE_NS }
    }

    fn check(bar: &Bar, policy: BarPolicy, net_steps: i64, bids: [i64; 4]) {
        let legs = expand(bar, policy, net_steps);
        assert_eq!(legs.map(|l| l.quote.bid.0), bids, "{policy:?} {net_steps}");
        assert_eq!(legs.map(|l| l.quote.ask.0 - l.quote.bid.0), [2; 4]);
        assert_eq!(legs.map(|l| l.after_ns), [0, 15 * SECOND_NS, 30 * SECOND_NS, 59_999 * MILLI_NS]);
        assert_eq!(legs.map(|l| l.path), [false, true, true, true]);
    }

    #[test]
    fn ex05_the_policy_orders_the_extremes() {
        let near_high = bar(100, 105, 90, 95);
        check(&near_high, BarPolicy::Path, 5, [100, 105, 90, 95]);
        check(&near_high, BarPolicy::Pessimistic, 5, [100, 90, 105, 95]);
        check(&near_high, BarPolicy::Pessimistic, -5, [100, 105, 90, 95]);
        check(&near_high, BarPolicy::Pessimistic, 0, [100, 105, 90, 95]);
        check(&near_high, BarPolicy::Optimistic, 5, [100, 105, 90, 95]);
        check(&near_high, BarPolicy::Optimistic, -5, [100, 90, 105, 95]);
        let equal = bar(100, 110, 90, 95);
        check(&equal, BarPolicy::Path, 5, [100, 90, 110, 95]);
        check(&equal, BarPolicy::Path, -5, [100, 110, 90, 95]);
        check(&equal, BarPolicy::Path, 0, [100, 110, 90, 95]);
    }
}
