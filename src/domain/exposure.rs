//! Floating profit and loss from sums, so that a quote costs the same however many tickets are open (AC12).

use super::{
    instrument::{Instrument, InstrumentId, Price, Volume},
    market::Quote,
    money::{Currency, Exact, Money, Rounding},
    order::Side,
    rates::{Conversion, Rates},
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The open volume of one side of one instrument, and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Leg {
    steps: i64,
    /// Sum of opening price x volume, in ticks x steps.
    tick_steps: i128,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Holding {
    long: Leg,
    short: Leg,
    /// Unrounded profit in the quote currency at the last mark.
    profit: Decimal,
}

impl Holding {
    fn is_flat(&self) -> bool {
        self.long.steps == 0 && self.short.steps == 0
    }

    /// Profit at a quote in ticks x steps: longs are marked at bid, shorts at ask.
    fn tick_steps_at(&self, quote: Quote) -> i128 {
        let long = i128::from(quote.bid.0) * i128::from(self.long.steps) - self.long.tick_steps;
        let short = self.short.tick_steps - i128::from(quote.ask.0) * i128::from(self.short.steps);
        long + short
    }
}

/// What an account holds, marked to the market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    holdings: BTreeMap<InstrumentId, Holding>,
    /// Unrounded profit per quote currency.
    by_currency: BTreeMap<Currency, Decimal>,
    floating: Money,
    /// A rate was missing at the last mark: the profits of that currency count as nothing.
    pub conversion_missing: bool,
}

/// What marking needs to know of the market.
pub struct Marks<'a, Q: Fn(InstrumentId) -> Option<Quote>> {
    pub instruments: &'a [Instrument],
    pub rates: &'a Rates,
    pub currency: Currency,
    pub quote: Q,
}

impl Exposure {
    /// Floating profit and loss as posted at the last mark.
    pub const fn floating(&self) -> Money {
        self.floating
    }

    /// Whether the instrument is held at all.
    pub fn holds(&self, instrument: InstrumentId) -> bool {
        self.holdings.contains_key(&instrument)
    }

    /// Long less short volume of the instrument, in steps.
    pub fn net_steps(&self, instrument: InstrumentId) -> i64 {
        self.holdings.get(&instrument).map_or(0, |h| h.long.steps - h.short.steps)
    }

    /// Whether a quote of `instrument` changes the floating profit.
    pub fn depends(&self, instrument: InstrumentId, rates: &Rates, currency: Currency) -> bool {
        !self.holdings.is_empty()
            && (self.holds(instrument)
                || self.by_currency.keys().any(|from| rates.depends(*from, currency, instrument)))
    }

    /// A position of this side grew or shrank at its opening price.
    pub fn change(&mut self, instrument: InstrumentId, side: Side, open: Price, volume: Volume, grew: bool) {
        self.change_at_cost(instrument, side, volume, i128::from(open.0) * i128::from(volume.0), grew);
    }

    /// A position of this side grew or shrank by a volume that cost so many ticks x steps.
    pub fn change_at_cost(
        &mut self,
        instrument: InstrumentId,
        side: Side,
        volume: Volume,
        tick_steps: i128,
        grew: bool,
    ) {
        let holding = self.holdings.entry(instrument).or_default();
        let leg = match side {
            Side::Buy => &mut holding.long,
            Side::Sell => &mut holding.short,
        };
        let sign = if grew { 1 } else { -1 };
        leg.steps = leg.steps.saturating_add(sign * volume.0);
        leg.tick_steps += i128::from(sign) * tick_steps;
    }

    /// Marks one instrument at its present quote and posts the floating profit anew.
    pub fn mark<Q: Fn(InstrumentId) -> Option<Quote>>(
        &mut self,
        instrument: InstrumentId,
        marks: &Marks<'_, Q>,
    ) {
        let spec = &marks.instruments[instrument.index()];
        if let Some(holding) = self.holdings.get_mut(&instrument) {
            let flat = holding.is_flat();
            let profit = match ((marks.quote)(instrument), flat) {
                (Some(quote), false) => {
                    Exact::product(spec.tick_step_value(), holding.tick_steps_at(quote)).0
                }
                _ => Decimal::ZERO,
            };
            let sum = self.by_currency.entry(spec.quote_currency).or_default();
            *sum = sum.saturating_add(profit.saturating_sub(holding.profit));
            holding.profit = profit;
            if flat {
                self.holdings.remove(&instrument);
                if !self
                    .holdings
                    .keys()
                    .any(|id| marks.instruments[id.index()].quote_currency == spec.quote_currency)
                {
                    self.by_currency.remove(&spec.quote_currency);
                }
            }
        }
        self.post(marks);
    }

    fn post<Q: Fn(InstrumentId) -> Option<Quote>>(&mut self, marks: &Marks<'_, Q>) {
        let mut floating = Money::ZERO;
        self.conversion_missing = false;
        for (from, profit) in &self.by_currency {
            let conversion = Conversion::of_sign(*profit < Decimal::ZERO);
            match marks.rates.rate(*from, marks.currency, conversion, marks.instruments, &marks.quote) {
                Some(rate) => floating += rate.apply(Exact(*profit)).post(marks.currency, Rounding::HalfAway),
                None => self.conversion_missing = true,
            }
        }
        self.floating = floating;
    }
}

/// Which accounts a quote of each instrument concerns. Derived: not part of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Dependents {
    accounts: Vec<BTreeSet<usize>>,
}

impl Dependents {
    /// No account depends on any of `instruments` instruments.
    pub fn new(instruments: usize) -> Self {
        Self { accounts: vec![BTreeSet::new(); instruments] }
    }

    /// Takes in that the account's exposure changed.
    pub fn update(&mut self, account: usize, exposure: &Exposure, rates: &Rates, currency: Currency) {
        for (id, accounts) in (0..=u16::MAX).map(InstrumentId).zip(&mut self.accounts) {
            if exposure.depends(id, rates, currency) {
                accounts.insert(account);
            } else {
                accounts.remove(&account);
            }
        }
    }

    /// Whether a quote of the instrument concerns nobody.
    pub fn is_empty(&self, instrument: InstrumentId) -> bool {
        self.accounts[instrument.index()].is_empty()
    }

    /// The first account at or after `from` that a quote of the instrument concerns.
    pub fn next(&self, instrument: InstrumentId, from: usize) -> Option<usize> {
        self.accounts[instrument.index()].range(from..).next().copied()
    }
}
