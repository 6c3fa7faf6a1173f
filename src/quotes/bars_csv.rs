//! Bars from CSV: `timestamp,open,high,low,close[,volume]`, one file of bids, or one of bids and one of
//! asks; or LEAN's bars, which hold both. A stamp is the instant at which its bar *opens*.

use super::{
    DataError, DataOptions, MarketData, Source,
    data_hash::DataHasher,
    grid::on_grid,
    rows::{CLOSE, HIGH, LOW, OPEN, Row, Rows, SideColumns},
};
use crate::domain::{
    instrument::Price,
    market::{Bar, Ohlc, QuoteFault, Timeframe},
    message::Input,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    mem,
};

/// Rows read ahead to learn the bars' length.
const ROWS_AHEAD: usize = 256;

/// A streaming reader of bars; holds at most 256 of them.
///
/// - Without asks, ask = bid + the instrument's default spread (EX02).
/// - Rows with a NaN, zero or negative price are set aside, on either side; so are stamps that only
///   one of two files has, or only one side of a LEAN file (`unpaired`). Time must increase in each file.
/// - A bar with a bid above its ask is repaired field by field: ask = max(ask, bid) (`crossed`, EX10).
/// - The hash covers symbol, tick, timeframe, and stamp and eight prices of each bar that came out.
pub struct CsvBars {
    bids: Rows,
    asks: Option<Rows>,
    options: DataOptions,
    spread: i64,
    timeframe: Timeframe,
    ahead: VecDeque<(UnixNanos, Bar)>,
    last: Option<UnixNanos>,
    /// Least distance of two bars: their length, once that is known.
    gap_min_ns: i64,
    ended: bool,
    counts: BTreeMap<&'static str, u64>,
    hasher: DataHasher,
}

impl CsvBars {
    /// Opens the data and reads up to 256 bars ahead, to learn their length.
    pub fn new(bids: Source, asks: Option<Source>, options: DataOptions) -> Result<Self, DataError> {
        let bids = Rows::new(bids, options.zone.clone())?;
        let asks = asks.map(|asks| Rows::new(asks, options.zone.clone())).transpose()?;
        if let Some(asks) = &asks
            && let Some(both) = [&bids, asks].into_iter().find(|rows| rows.both_sides())
        {
            return Err(DataError::BothSides { file: both.name().clone() });
        }
        let spread = options.instrument.points_to_ticks(options.instrument.default_spread_points);
        let mut bars = Self {
            bids,
            asks,
            spread,
            gap_min_ns: options.timeframe.map_or(0, Timeframe::len_ns),
            timeframe: options.timeframe.unwrap_or(Timeframe::M1),
            ahead: VecDeque::new(),
            last: None,
            ended: false,
            counts: BTreeMap::new(),
            hasher: DataHasher::of_bars(&options.instrument, Timeframe::M1),
            options,
        };
        bars.read_ahead()?;
        bars.hasher = DataHasher::of_bars(&bars.options.instrument, bars.timeframe);
        Ok(bars)
    }

    fn read_ahead(&mut self) -> Result<(), DataError> {
        while self.ahead.len() < ROWS_AHEAD
            && let Some(bar) = self.read_bar()?
        {
            self.ahead.push_back(bar);
        }
        if self.ahead.is_empty() {
            let bid = self.bids.name().clone();
            return Err(match &self.asks {
                Some(asks) if self.counts.contains_key("unpaired") => {
                    DataError::NothingPairs { bid, ask: asks.name().clone() }
                }
                _ => DataError::Empty { file: bid },
            });
        }
        if self.options.timeframe.is_none() {
            self.timeframe = self.common_timeframe()?;
        }
        self.gap_min_ns = self.timeframe.len_ns();
        for (_, bar) in &mut self.ahead {
            bar.len_ns = self.gap_min_ns;
        }
        Ok(())
    }

    fn common_timeframe(&self) -> Result<Timeframe, DataError> {
        let stamps: Vec<UnixNanos> = self.ahead.iter().map(|(at, _)| *at).collect();
        if stamps.len() < 2 {
            return Ok(Timeframe::M1);
        }
        let step = stamps.windows(2).map(|pair| pair[1].since(pair[0])).fold(0, greatest_common_divisor);
        let divides = |timeframe: &Timeframe| step % timeframe.len_ns() == 0;
        Timeframe::ALL.into_iter().rev().find(divides).ok_or_else(|| {
            let close = stamps.windows(2).min_by_key(|pair| pair[1].since(pair[0])).expect("two stamps");
            DataError::TooShort { file: self.bids.name().clone(), first: close[0], second: close[1] }
        })
    }

    /// The next bar that both sides have and nothing sets aside.
    fn read_bar(&mut self) -> Result<Option<(UnixNanos, Bar)>, DataError> {
        while let Some(row) = self.read_pair()? {
            let at = row.at;
            match self.bar(row)? {
                Ok(bar) => {
                    self.check_overlap(at)?;
                    return Ok(Some((at, bar)));
                }
                Err(fault) => self.count(fault.name()),
            }
        }
        Ok(None)
    }

    /// The next row, of two files that of a stamp which both have.
    fn read_pair(&mut self) -> Result<Option<Row>, DataError> {
        let mut bid = self.bids.next_row()?;
        let mut unpaired = mem::take(&mut self.bids.unpaired);
        if let Some(asks) = &mut self.asks {
            let mut ask = asks.next_row()?;
            loop {
                let order = match (&bid, &ask) {
                    (Some(bid), Some(ask)) => bid.at.cmp(&ask.at),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => break,
                };
                match order {
                    Ordering::Equal => break,
                    Ordering::Less => bid = self.bids.next_row()?,
                    Ordering::Greater => ask = asks.next_row()?,
                }
                unpaired += 1;
            }
            if let Some(bid) = &mut bid {
                bid.ask = ask.map(|ask| ask.bid);
            }
        }
        if unpaired > 0 {
            *self.counts.entry("unpaired").or_default() += unpaired;
        }
        Ok(bid)
    }

    fn bar(&mut self, row: Row) -> Result<Result<Bar, QuoteFault>, DataError> {
        let (bids, asks) = match (row.bid, row.ask.transpose()) {
            (Ok(bids), Ok(asks)) => (bids, asks),
            (Err(fault), _) | (_, Err(fault)) => return Ok(Err(fault)),
        };
        let (bids, mut snapped) = self.on_grid(&self.bids, SideColumns::First, bids, false)?;
        if bids.iter().any(|p| p.0 == 0) {
            return Ok(Err(QuoteFault::Zero)); // less than a tick, snapped down
        }
        let mut asks = match asks {
            Some(prices) => {
                let (rows, side) = match &self.asks {
                    Some(asks) => (asks, SideColumns::First),
                    None => (&self.bids, SideColumns::Second),
                };
                let (asks, moved) = self.on_grid(rows, side, prices, true)?;
                snapped |= moved;
                asks
            }
            None => bids.map(|bid| Price(bid.0 + self.spread)),
        };
        if snapped {
            self.count("off_grid");
        }
        if bids.iter().zip(&asks).any(|(bid, ask)| bid > ask) {
            self.count(QuoteFault::Crossed.name());
            for (ask, bid) in asks.iter_mut().zip(bids) {
                *ask = bid.max(*ask);
            }
        }
        let len_ns = self.timeframe.len_ns();
        Ok(Ok(Bar { instrument: self.options.id, bid: ohlc(bids), ask: ohlc(asks), len_ns }))
    }

    /// The prices in ticks, and whether one had to be moved onto the grid.
    fn on_grid(
        &self,
        rows: &Rows,
        side: SideColumns,
        prices: [Decimal; 4],
        up: bool,
    ) -> Result<([Price; 4], bool), DataError> {
        let DataOptions { instrument, off_grid, .. } = &self.options;
        let mut ticks = [Price(0); 4];
        let mut snapped = false;
        for (index, value) in prices.into_iter().enumerate() {
            let moved;
            (ticks[index], moved) =
                on_grid(instrument, *off_grid, value, up, || rows.price_cell(side, index))?;
            snapped |= moved;
        }
        Ok((ticks, snapped))
    }

    fn check_overlap(&mut self, at: UnixNanos) -> Result<(), DataError> {
        match self.last.replace(at) {
            Some(previous) if at.since(previous) < self.gap_min_ns => {
                let (cell, timeframe) = (self.bids.stamp_cell(), self.timeframe);
                Err(DataError::Overlap { cell, timeframe, previous })
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, reason: &'static str) {
        *self.counts.entry(reason).or_default() += 1;
    }
}

impl Iterator for CsvBars {
    type Item = Result<(UnixNanos, Input), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match self.ahead.pop_front() {
            Some(bar) => Ok(Some(bar)),
            None => self.read_bar(),
        };
        match next {
            Ok(Some((at, bar))) => {
                self.hasher.add_bar(at, &bar);
                Some(Ok((at, Input::Bar(bar))))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl MarketData for CsvBars {
    fn timeframe(&self) -> Option<Timeframe> {
        Some(self.timeframe)
    }

    fn has_asks(&self) -> bool {
        self.asks.is_some() || self.bids.both_sides()
    }

    fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn data_hash(&self) -> blake3::Hash {
        self.hasher.finish()
    }
}

const fn ohlc(prices: [Price; 4]) -> Ohlc {
    Ohlc { open: prices[OPEN], high: prices[HIGH], low: prices[LOW], close: prices[CLOSE] }
}

const fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests;
