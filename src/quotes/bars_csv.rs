//! Bars from CSV: `timestamp,open,high,low,close[,volume]`, one file of bids, or one of bids and one
//! of asks. A stamp is the instant at which its bar *opens*.

use super::{
    DataError, MarketData, Source,
    bar_hash::BarHasher,
    rows::{CLOSE, HIGH, LOW, OPEN, Row, Rows},
};
use crate::domain::{
    calendar::Zone,
    instrument::{Instrument, InstrumentId, Price},
    market::{Bar, Ohlc, QuoteFault, Timeframe},
    message::Input,
    money,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Rows read ahead to learn the bars' length.
const ROWS_AHEAD: usize = 256;
const COLUMN: [&str; 4] = ["open", "high", "low", "close"];

/// What to do with prices between two ticks (EX13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffGrid {
    /// Bids down, asks up; counted as `off_grid`.
    #[default]
    Snap,
    Fail,
}

/// How to read bars.
#[derive(Debug, Clone)]
pub struct BarOptions {
    pub instrument: Instrument,
    pub id: InstrumentId,
    /// The zone of stamps without an offset.
    pub zone: Option<Zone>,
    pub off_grid: OffGrid,
    /// `None`: the longest timeframe that divides all gaps between the first 256 bars.
    pub timeframe: Option<Timeframe>,
}

/// A streaming reader of bars; holds at most 256 of them.
///
/// - Without asks, ask = bid + the instrument's default spread (EX02).
/// - Rows with a NaN, zero or negative price are set aside, on either side; so are stamps that only
///   one of two files has (`unpaired`). Time must increase in each file.
/// - A bar with a bid above its ask is repaired field by field: ask = max(ask, bid) (`crossed`, EX10).
/// - The hash covers symbol, tick, timeframe, and stamp and eight prices of each bar that came out.
pub struct CsvBars {
    bids: Rows,
    asks: Option<Rows>,
    options: BarOptions,
    spread: i64,
    timeframe: Timeframe,
    ahead: VecDeque<(UnixNanos, Bar)>,
    last: Option<UnixNanos>,
    /// Least distance of two bars: their length, once that is known.
    gap_min_ns: i64,
    ended: bool,
    counts: BTreeMap<&'static str, u64>,
    hasher: BarHasher,
}

impl CsvBars {
    /// Opens the data and reads up to 256 bars ahead, to learn their length.
    pub fn new(bids: Source, asks: Option<Source>, options: BarOptions) -> Result<Self, DataError> {
        let spread = options.instrument.points_to_ticks(options.instrument.default_spread_points);
        let mut bars = Self {
            bids: Rows::new(bids, options.zone.clone())?,
            asks: asks.map(|asks| Rows::new(asks, options.zone.clone())).transpose()?,
            spread,
            gap_min_ns: options.timeframe.map_or(0, Timeframe::len_ns),
            timeframe: options.timeframe.unwrap_or(Timeframe::M1),
            ahead: VecDeque::new(),
            last: None,
            ended: false,
            counts: BTreeMap::new(),
            hasher: BarHasher::new(&options.instrument, Timeframe::M1),
            options,
        };
        bars.read_ahead()?;
        bars.hasher = BarHasher::new(&bars.options.instrument, bars.timeframe);
        Ok(bars)
    }

    fn read_ahead(&mut self) -> Result<(), DataError> {
        while self.ahead.len() < ROWS_AHEAD
            && let Some(bar) = self.read_bar()?
        {
            self.ahead.push_back(bar);
        }
        if self.ahead.is_empty() {
            let bid = self.bids.name.clone();
            return Err(match &self.asks {
                Some(asks) if self.counts.contains_key("unpaired") => {
                    DataError::NothingPairs { bid, ask: asks.name.clone() }
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
            DataError::TooShort { file: self.bids.name.clone(), first: close[0], second: close[1] }
        })
    }

    /// The next bar that both sides have and nothing sets aside.
    fn read_bar(&mut self) -> Result<Option<(UnixNanos, Bar)>, DataError> {
        while let Some((bid, ask)) = self.read_pair()? {
            let at = bid.at;
            match self.bar(bid, ask)? {
                Ok(bar) => {
                    self.check_overlap(at)?;
                    return Ok(Some((at, bar)));
                }
                Err(fault) => self.count(fault.name()),
            }
        }
        Ok(None)
    }

    /// The next rows of the same stamp.
    fn read_pair(&mut self) -> Result<Option<(Row, Option<Row>)>, DataError> {
        let Some(asks) = &mut self.asks else {
            return Ok(self.bids.next_row()?.map(|bid| (bid, None)));
        };
        let mut unpaired = 0;
        let (mut bid, mut ask) = (self.bids.next_row()?, asks.next_row()?);
        let pair = loop {
            let order = match (&bid, &ask) {
                (Some(bid), Some(ask)) => bid.at.cmp(&ask.at),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break None,
            };
            match order {
                Ordering::Equal => break bid.map(|bid| (bid, ask)),
                Ordering::Less => bid = self.bids.next_row()?,
                Ordering::Greater => ask = asks.next_row()?,
            }
            unpaired += 1;
        };
        if unpaired > 0 {
            *self.counts.entry("unpaired").or_default() += unpaired;
        }
        Ok(pair)
    }

    fn bar(&mut self, bid: Row, ask: Option<Row>) -> Result<Result<Bar, QuoteFault>, DataError> {
        let bids = match bid.prices {
            Ok(prices) => prices,
            Err(fault) => return Ok(Err(fault)),
        };
        let asks = match ask.as_ref().map(|ask| ask.prices).transpose() {
            Ok(prices) => prices,
            Err(fault) => return Ok(Err(fault)),
        };
        let (bids, mut snapped) = self.on_grid(&self.bids.name, bid.line, bids, false)?;
        if bids.iter().any(|p| p.0 == 0) {
            return Ok(Err(QuoteFault::Zero)); // less than a tick, snapped down
        }
        let mut asks = match (asks, &self.asks, &ask) {
            (Some(prices), Some(rows), Some(ask)) => {
                let (asks, moved) = self.on_grid(&rows.name, ask.line, prices, true)?;
                snapped |= moved;
                asks
            }
            _ => bids.map(|bid| Price(bid.0 + self.spread)),
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
        file: &Arc<str>,
        line: u64,
        prices: [Decimal; 4],
        up: bool,
    ) -> Result<([Price; 4], bool), DataError> {
        let Instrument { symbol, tick, price_max, .. } = &self.options.instrument;
        let mut ticks = [Price(0); 4];
        let mut snapped = false;
        for (index, value) in prices.into_iter().enumerate() {
            let cell = || super::Cell::new(file, line, COLUMN[index], value.to_string().as_bytes());
            let exact = money::on_grid(value, *tick);
            if exact.is_none() {
                snapped = true;
                if self.options.off_grid == OffGrid::Fail {
                    return Err(DataError::OffGrid { cell: cell(), symbol: symbol.clone(), tick: *tick });
                }
            }
            ticks[index] = exact
                .or_else(|| money::snap(value, *tick, up))
                .filter(|count| *count <= price_max.0)
                .map(Price)
                .ok_or_else(|| DataError::PriceTooLarge {
                    cell: cell(),
                    symbol: symbol.clone(),
                    max: self.options.instrument.price(*price_max),
                })?;
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
                self.hasher.add(at, &bar);
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
    fn timeframe(&self) -> Timeframe {
        self.timeframe
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
