//! A seeded synthetic market: random walks with the volatility, spreads and sessions of real ones.
//!
//! Integers only. Each quote is a function of the seed, the instrument, its slot in time and the quote
//! before it, so a feed that resumes after a restart goes on exactly as if it had never stopped.

mod bars;
mod walk;

use crate::domain::{
    calendar::Calendar,
    instrument::{Instrument, InstrumentId},
    market::Quote,
    time::UnixNanos,
};
use std::collections::{BTreeMap, BTreeSet};
use walk::Walk;

pub use bars::SyntheticBars;

/// Endless quotes of several instruments, in order of time.
#[derive(Debug, Clone)]
pub struct SyntheticFeed {
    lanes: Vec<Lane>,
}

#[derive(Debug, Clone)]
struct Lane {
    walk: Walk,
    /// When it quotes next, once asked.
    next: UnixNanos,
}

impl SyntheticFeed {
    /// A feed of all `instruments`; an `InstrumentId` is an index into them. `last` holds the last
    /// quotes that were used before a restart: the walks go on from there.
    pub fn new(
        seed: u64,
        instruments: &[Instrument],
        calendars: &[Calendar],
        last: &BTreeMap<InstrumentId, Quote>,
    ) -> Self {
        let lane = |(index, instrument): (usize, &Instrument)| {
            let id = InstrumentId(u16::try_from(index).ok()?);
            let calendar = calendars.get(usize::from(instrument.calendar))?;
            let mut walk = Walk::new(seed, id, instrument, calendar, None);
            if let Some(quote) = last.get(&id) {
                walk.bid = quote.bid.0;
            }
            Some(Lane { walk, next: UnixNanos(i64::MIN) })
        };
        Self { lanes: instruments.iter().enumerate().filter_map(lane).collect() }
    }

    /// The same, of these instruments alone.
    #[must_use]
    pub fn only(mut self, ids: &BTreeSet<InstrumentId>) -> Self {
        self.lanes.retain(|lane| ids.contains(&lane.walk.id));
        self
    }

    /// The first quote of any instrument strictly later than `after`, which never goes back between
    /// calls. `None` if no market will ever open again.
    pub fn next(&mut self, after: UnixNanos) -> Option<(UnixNanos, InstrumentId, Quote)> {
        for lane in &mut self.lanes {
            if lane.next <= after {
                lane.next = lane.walk.next_stamp(after).unwrap_or(UnixNanos::MAX);
            }
        }
        let Lane { walk, next } = self.lanes.iter_mut().min_by_key(|lane| lane.next)?;
        (*next < UnixNanos::MAX).then(|| (*next, walk.id, walk.quote_at(*next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{config::Config, time::SECOND_NS};

    fn feed(seed: u64, last: &BTreeMap<InstrumentId, Quote>) -> SyntheticFeed {
        let config = Config::built_in();
        SyntheticFeed::new(seed, &config.instruments, &config.calendars, last)
    }

    fn take(
        feed: &mut SyntheticFeed,
        mut after: UnixNanos,
        count: usize,
    ) -> Vec<(UnixNanos, InstrumentId, Quote)> {
        let mut quotes = Vec::new();
        for _ in 0..count {
            let quote = feed.next(after).expect("coins always trade");
            assert!(quote.0 > after, "{quote:?} after {after}");
            after = quote.0;
            quotes.push(quote);
        }
        quotes
    }

    fn at(text: &str) -> UnixNanos {
        UnixNanos::parse(text).expect("an instant")
    }

    const TUESDAY: &str = "2024-01-09T14:00:00Z";

    #[test]
    fn dt01_the_seed_decides_everything() {
        let run = |seed| take(&mut feed(seed, &BTreeMap::new()), at(TUESDAY), 5_000);
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn dt01_a_feed_resumes_as_if_it_had_never_stopped() {
        let whole = take(&mut feed(3, &BTreeMap::new()), at(TUESDAY), 2_000);
        let (before, after) = whole.split_at(777);
        let last: BTreeMap<_, _> = before.iter().map(|(_, id, quote)| (*id, *quote)).collect();
        let resumed = take(&mut feed(3, &last), before[776].0, after.len());
        assert_eq!(resumed, after);
    }

    #[test]
    fn or09_currencies_sleep_at_the_weekend_and_coins_do_not() {
        for (start, ids) in [
            (TUESDAY, vec![0, 1, 2, 3, 4, 5]),
            ("2024-01-12T21:59:50Z", vec![0, 1, 2, 3, 4, 5]),
            ("2024-01-12T22:00:00Z", vec![4, 5]),
            ("2024-01-14T21:59:00Z", vec![4, 5]),
        ] {
            let quotes = take(&mut feed(0, &BTreeMap::new()), at(start), 60);
            let seen: std::collections::BTreeSet<u16> = quotes.iter().map(|(_, id, _)| id.0).collect();
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), ids, "{start}");
        }
    }

    #[test]
    fn quotes_are_frequent_and_their_spreads_near_the_default() {
        let config = Config::built_in();
        let quotes = take(&mut feed(9, &BTreeMap::new()), at(TUESDAY), 8_000);
        let seconds = quotes[7_999].0.since(quotes[0].0) / SECOND_NS;
        assert!((990..=1_010).contains(&seconds), "eight a second: {seconds}");
        for (_, id, quote) in quotes {
            let instrument = &config.instruments[id.index()];
            let (spread, usual) = (quote.ask.0 - quote.bid.0, instrument.default_spread_points);
            assert!((usual * 8 / 10..=usual * 12 / 10).contains(&spread), "{} {quote:?}", instrument.symbol);
        }
    }

    #[test]
    fn spreads_widen_around_the_roll() {
        let mean_spread = |start| {
            let quotes = take(&mut feed(5, &BTreeMap::new()), at(start), 2_000);
            let spreads = quotes.iter().filter(|q| q.1.0 == 0).map(|q| q.2.ask.0 - q.2.bid.0);
            spreads.clone().sum::<i64>() / spreads.count() as i64
        };
        assert_eq!(mean_spread("2024-01-09T14:00:00Z"), 10);
        assert!(mean_spread("2024-01-09T21:58:00Z") >= 25, "the roll is at 17:00 New York");
        assert!(mean_spread("2024-01-14T22:00:00Z") >= 25, "so is the week's opening");
    }
}
