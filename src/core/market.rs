//! The market as the engine knows it: last quotes, sessions, candles, and what was not usable.

use super::timers::{Timer, Timers};
use crate::domain::{
    calendar::Sessions,
    config::Setup,
    instrument::InstrumentId,
    market::{Candle, Quote, QuoteFault, Timeframe},
    message::{FeedEvent, Outputs},
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One instrument's market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    quote: Option<(UnixNanos, Quote)>,
    /// The candles that are still open, by timeframe. The shortest takes the quotes; each longer
    /// one holds what its complete shorter ones brought.
    open: [Option<Candle>; 8],
}

/// All instruments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Market {
    listings: Vec<Listing>,
    sessions: Sessions,
    quarantined: BTreeMap<QuoteFault, u64>,
    quotes: u64,
}

impl Market {
    /// Takes a configuration into force: sessions are read anew, their timers set.
    pub(crate) fn configure(&mut self, setup: &Setup, now: UnixNanos, timers: &mut Timers) {
        self.listings.resize_with(setup.config.instruments.len(), Listing::default);
        self.sessions = Sessions::new(&setup.config.calendars, now);
        timers.drop_where(|t| matches!(t, Timer::Session(_)));
        for (id, instrument) in (0..=u16::MAX).map(InstrumentId).zip(setup.instruments()) {
            timers.set(self.sessions.state(instrument.calendar).until, Timer::Session(id));
        }
    }

    /// Remembers a quote as the last one; refuses one that cannot be true, and counts it (EX10).
    pub(crate) fn admit(&mut self, now: UnixNanos, id: InstrumentId, quote: Quote) -> Result<(), QuoteFault> {
        match quote.fault() {
            None => {
                self.listings[id.index()].quote = Some((now, quote));
                Ok(())
            }
            Some(fault) => {
                *self.quarantined.entry(fault).or_default() += 1;
                Err(fault)
            }
        }
    }

    /// Makes candles of an admitted quote.
    pub(crate) fn quote(
        &mut self,
        now: UnixNanos,
        id: InstrumentId,
        quote: Quote,
        timers: &mut Timers,
        out: &mut Outputs,
    ) {
        self.quotes += 1;
        let listing = &mut self.listings[id.index()];
        match &mut listing.open[0] {
            Some(candle) => candle.add(quote),
            none => {
                let ts = Timeframe::M1.open_of(now);
                *none = Some(Candle::first(ts, quote));
                timers.set(ts.plus(Timeframe::M1.len_ns()), Timer::Candle(id, Timeframe::M1));
            }
        }
        out.feed.push(FeedEvent::Tick { instrument: id, ts: now, quote });
    }

    /// Completes a candle and hands it to the next longer timeframe.
    pub(crate) fn complete(
        &mut self,
        id: InstrumentId,
        timeframe: Timeframe,
        timers: &mut Timers,
        out: &mut Outputs,
    ) -> Option<Candle> {
        let open = &mut self.listings[id.index()].open;
        let candle = open[timeframe.index()].take()?;
        if let Some(longer) = Timeframe::ALL.get(timeframe.index() + 1) {
            match &mut open[longer.index()] {
                Some(sum) => sum.merge(&candle),
                none => {
                    let ts = longer.open_of(candle.ts);
                    *none = Some(Candle { ts, ..candle });
                    timers.set(ts.plus(longer.len_ns()), Timer::Candle(id, *longer));
                }
            }
        }
        out.feed.push(FeedEvent::CandleClosed { instrument: id, timeframe, candle });
        Some(candle)
    }

    /// The candle that is still open, with what its shorter ones hold.
    pub(crate) fn open_candle(&self, id: InstrumentId, timeframe: Timeframe) -> Option<Candle> {
        let open = &self.listings.get(id.index())?.open;
        let mut sum: Option<Candle> = None;
        for part in open[..=timeframe.index()].iter().rev().flatten() {
            match &mut sum {
                Some(sum) => sum.merge(part),
                none => *none = Some(Candle { ts: timeframe.open_of(part.ts), ..*part }),
            }
        }
        sum
    }

    /// A market opens or closes.
    pub(crate) fn session(
        &mut self,
        now: UnixNanos,
        id: InstrumentId,
        setup: &Setup,
        timers: &mut Timers,
        out: &mut Outputs,
    ) -> bool {
        let calendar = setup.instrument(id).calendar;
        let open = self.sessions.is_open(&setup.config.calendars, calendar, now);
        timers.set(self.sessions.state(calendar).until, Timer::Session(id));
        out.feed.push(FeedEvent::Session { instrument: id, ts: now, open });
        open
    }

    /// The last quote and its instant.
    pub(crate) fn last(&self, id: InstrumentId) -> Option<(UnixNanos, Quote)> {
        self.listings[id.index()].quote
    }

    /// The last quote.
    pub(crate) fn last_quote(&self, id: InstrumentId) -> Option<Quote> {
        self.last(id).map(|(_, quote)| quote)
    }

    /// Whether the instrument's session is open at `now`.
    pub(crate) fn is_open(&self, setup: &Setup, id: InstrumentId, now: UnixNanos) -> bool {
        let calendar = setup.instrument(id).calendar;
        let known = self.sessions.state(calendar);
        if now < known.until {
            return known.open;
        }
        setup.config.calendars[usize::from(calendar)].state_at(now).open
    }

    /// Whether the instrument is quoted at `now`, as its calendar says.
    pub(crate) fn is_quoted(&self, setup: &Setup, id: InstrumentId, now: UnixNanos) -> bool {
        let calendar = &setup.config.calendars[usize::from(setup.instrument(id).calendar)];
        // quote sessions hold the trade sessions, and nearly every quote comes in one of these
        self.is_open(setup, id, now) || (calendar.quote_weekly.is_some() && calendar.quoted_at(now).open)
    }

    /// Quotes that were used.
    pub(crate) const fn quotes(&self) -> u64 {
        self.quotes
    }

    /// Quotes that were not, by reason.
    pub(crate) fn quarantined(&self) -> BTreeMap<&'static str, u64> {
        self.quarantined.iter().map(|(fault, n)| (fault.name(), *n)).collect()
    }
}
