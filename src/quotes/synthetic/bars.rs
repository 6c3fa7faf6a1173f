//! Synthetic bars, for a backtest without data.

use super::walk::Walk;
use crate::{
    domain::{
        calendar::Calendar,
        instrument::{Instrument, InstrumentId, Price},
        market::{Bar, Ohlc, Timeframe},
        message::Input,
        time::{MINUTE_NS, SECOND_NS, UnixNanos},
    },
    quotes::{DataError, MarketData, data_hash::DataHasher},
};
use std::collections::BTreeMap;

/// One-minute bars of one instrument over a period, drawn from twelve quotes a minute.
#[derive(Debug, Clone)]
pub struct SyntheticBars {
    walk: Walk,
    next: UnixNanos,
    /// The end of the session that the next bar is in; a cache of the calendar.
    open_until: UnixNanos,
    end: UnixNanos,
    counts: BTreeMap<&'static str, u64>,
    hasher: DataHasher,
}

impl SyntheticBars {
    const SLOT_NS: i64 = 5 * SECOND_NS;

    /// Bars that open in `[from, to)`, minutes that `calendar` has closed left out.
    pub fn new(
        seed: u64,
        id: InstrumentId,
        instrument: &Instrument,
        calendar: &Calendar,
        from: UnixNanos,
        to: UnixNanos,
    ) -> Self {
        let walk = Walk::new(seed, id, instrument, calendar, Some(Self::SLOT_NS));
        let hasher = DataHasher::of_bars(instrument, Timeframe::M1);
        Self {
            walk,
            next: from.floor(MINUTE_NS),
            open_until: UnixNanos(i64::MIN),
            end: to,
            counts: BTreeMap::new(),
            hasher,
        }
    }

    fn bar(&mut self, opens: UnixNanos) -> Bar {
        let first = self.walk.quote_at(opens);
        let point = |price| Ohlc { open: price, high: price, low: price, close: price };
        let (mut bid, mut ask) = (point(first.bid), point(first.ask));
        for slot in 1..MINUTE_NS / Self::SLOT_NS {
            let quote = self.walk.quote_at(opens.plus(slot * Self::SLOT_NS));
            extend(&mut bid, quote.bid);
            extend(&mut ask, quote.ask);
        }
        Bar { instrument: self.walk.id, bid, ask, len_ns: MINUTE_NS }
    }
}

fn extend(side: &mut Ohlc, price: Price) {
    side.high = side.high.max(price);
    side.low = side.low.min(price);
    side.close = price;
}

impl Iterator for SyntheticBars {
    type Item = Result<(UnixNanos, Input), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.open_until {
            let session = self.walk.calendar.state_at(self.next);
            if !session.open {
                self.next = session.until;
            }
            self.open_until = self.walk.calendar.state_at(self.next).until;
        }
        if self.next >= self.end {
            return None;
        }
        let opens = self.next;
        self.next = opens.plus(MINUTE_NS);
        let bar = self.bar(opens);
        self.hasher.add_bar(opens, &bar);
        Some(Ok((opens, Input::Bar(bar))))
    }
}

impl MarketData for SyntheticBars {
    fn timeframe(&self) -> Option<Timeframe> {
        Some(Timeframe::M1)
    }

    fn has_asks(&self) -> bool {
        true
    }

    fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn data_hash(&self) -> blake3::Hash {
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Config;

    fn bars(seed: u64, symbol: usize, days: i64) -> SyntheticBars {
        let config = Config::built_in();
        let instrument = &config.instruments[symbol];
        let from = UnixNanos::parse("2024-01-08T00:00:00Z").expect("an instant");
        let calendar = &config.calendars[usize::from(instrument.calendar)];
        let to = from.plus(days * 1_440 * MINUTE_NS);
        SyntheticBars::new(seed, InstrumentId(symbol as u16), instrument, calendar, from, to)
    }

    #[test]
    fn every_instrument_has_sane_bars_in_its_sessions() {
        for (symbol, expected) in
            [(0, 31_680), (1, 31_680), (2, 31_680), (3, 30_360), (4, 43_200), (5, 43_200)]
        {
            let mut count = 0;
            for row in bars(0, symbol, 30) {
                let (_, Input::Bar(bar)) = row.expect("synthetic data are sane") else { panic!("not a bar") };
                for side in [bar.bid, bar.ask] {
                    assert!(side.low <= side.open.min(side.close) && side.open.max(side.close) <= side.high);
                    assert!(side.low.0 > 0);
                }
                assert!(bar.bid.low < bar.ask.low && bar.bid.high < bar.ask.high, "{bar:?}");
                count += 1;
            }
            assert_eq!(count, expected, "symbol {symbol}");
        }
    }

    #[test]
    fn the_hash_tells_seeds_instruments_and_periods_apart() {
        let hash = |seed, symbol, days| {
            let mut bars = bars(seed, symbol, days);
            bars.by_ref().for_each(drop);
            bars.data_hash()
        };
        assert_eq!(hash(0, 0, 2), hash(0, 0, 2));
        let all = [hash(0, 0, 2), hash(1, 0, 2), hash(0, 1, 2), hash(0, 0, 3)];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn a_quarter_of_prices_stays_in_its_neighbourhood() {
        for symbol in [0, 3, 4] {
            let mut bars = bars(11, symbol, 90);
            bars.by_ref().for_each(drop);
            let (bid, anchor) = (bars.walk.bid, bars.walk.anchor);
            assert!((anchor / 2..anchor * 2).contains(&bid), "{symbol}: {bid} from {anchor}");
        }
    }
}
