//! Ticks in LEAN's layout: milliseconds since midnight, bid, ask; a file a day, one day after the other.

use super::{
    DataError, DataOptions, MarketData, Source, data_hash::DataHasher, grid::on_grid, layout::Layout,
    table::Table,
};
use crate::domain::{
    instrument::Price,
    market::{Quote, QuoteFault, Timeframe},
    message::Input,
    money,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Columns of a tick's two sides.
const BID: usize = 1;
const ASK: usize = 2;

/// Files that are opened when their turn comes.
pub type Sources = Box<dyn Iterator<Item = Result<Source, DataError>> + Send>;

/// A streaming reader of ticks; holds one row.
///
/// - Ticks may share a stamp; time must not go back, neither in a file nor from one to the next.
/// - Every tick that two prices can express comes out, also a crossed, zero or negative one: whether a
///   quote can be used is the machine's to say, and to count (EX10). One with a NaN is set aside.
/// - What lies between two ticks of the grid is moved and counted as EX13 says, but never so that a
///   crossed quote becomes a good one.
/// - The hash covers symbol, tick, and stamp and two prices of each quote that came out.
pub struct LeanTicks {
    options: DataOptions,
    table: Table,
    later: Sources,
    last: Option<UnixNanos>,
    ended: bool,
    counts: BTreeMap<&'static str, u64>,
    hasher: DataHasher,
}

impl LeanTicks {
    /// Reads `first`, then each of `later`.
    pub fn new(first: Source, later: Sources, options: DataOptions) -> Result<Self, DataError> {
        Ok(Self {
            table: table(first, &options)?,
            later,
            last: None,
            ended: false,
            counts: BTreeMap::new(),
            hasher: DataHasher::of_ticks(&options.instrument),
            options,
        })
    }

    /// The next tick that is not set aside.
    fn read_tick(&mut self) -> Result<Option<(UnixNanos, Quote)>, DataError> {
        loop {
            while !self.table.advance()? {
                let Some(next) = self.later.next() else { return Ok(None) };
                self.table = table(next?, &self.options)?;
            }
            let at = self.table.stamp()?;
            if let Some(previous) = self.last.replace(at)
                && at < previous
            {
                return Err(DataError::TimeGoesBack { cell: self.table.cell(0), previous });
            }
            if let (Some(bid), Some(ask)) = (self.table.price(BID)?, self.table.price(ASK)?) {
                return self.quote(bid, ask).map(|quote| Some((at, quote)));
            }
            self.count(QuoteFault::Nan.name());
        }
    }

    fn quote(&mut self, bid: Decimal, ask: Decimal) -> Result<Quote, DataError> {
        let crossed = bid > ask;
        let (bid, bid_moved) = self.price(BID, bid, crossed)?;
        let (ask, ask_moved) = self.price(ASK, ask, !crossed)?;
        if bid_moved || ask_moved {
            self.count("off_grid");
        }
        Ok(Quote { bid, ask })
    }

    fn price(&self, column: usize, value: Decimal, up: bool) -> Result<(Price, bool), DataError> {
        let DataOptions { instrument, off_grid, .. } = &self.options;
        if value < Decimal::ZERO {
            // no use whatever it is, so it stops nothing
            return Ok((Price(money::snap(value, instrument.tick, false).unwrap_or(i64::MIN)), false));
        }
        on_grid(instrument, *off_grid, value, up, || self.table.cell(column))
    }

    fn count(&mut self, reason: &'static str) {
        *self.counts.entry(reason).or_default() += 1;
    }
}

/// A file of ticks, and nothing else.
fn table(source: Source, options: &DataOptions) -> Result<Table, DataError> {
    if !matches!(source.layout, Layout::LeanTicks(_)) {
        return Err(DataError::NotTicks { file: source.name });
    }
    Table::new(source, options.zone.clone())
}

impl Iterator for LeanTicks {
    type Item = Result<(UnixNanos, Input), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let tick = self.read_tick().transpose();
        self.ended = !matches!(tick, Some(Ok(_)));
        tick.map(|tick| {
            let (at, quote) = tick?;
            self.hasher.add_quote(at, quote);
            let Quote { bid, ask } = quote;
            Ok((at, Input::Quote { instrument: self.options.id, bid, ask }))
        })
    }
}

impl MarketData for LeanTicks {
    fn timeframe(&self) -> Option<Timeframe> {
        None
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
mod tests;
