//! One file of bars, row by row: checked, but not yet on an instrument's grid.

use super::{Cell, DataError, Source, layout::Layout, table::Table};
use crate::domain::{calendar::Zone, market::QuoteFault, time::UnixNanos};
use rust_decimal::Decimal;
use std::sync::Arc;

pub(super) const OPEN: usize = 0;
pub(super) const HIGH: usize = 1;
pub(super) const LOW: usize = 2;
pub(super) const CLOSE: usize = 3;

/// Open, high, low and close of one side. A fault sets the whole row aside (EX10).
pub(super) type Prices = Result<[Decimal; 4], QuoteFault>;

/// One row: when its bar opened, and what one side or both did.
pub(super) struct Row {
    pub at: UnixNanos,
    /// Of a file that holds one side: that side.
    pub bid: Prices,
    pub ask: Option<Prices>,
}

/// The places of a side's prices among a file's needed columns.
#[derive(Debug, Clone, Copy)]
pub(super) enum SideColumns {
    First = 1,
    Second = 5,
}

/// Reads one file.
pub(super) struct Rows {
    table: Table,
    both_sides: bool,
    previous: Option<UnixNanos>,
    /// Rows passed over because one of their two sides is empty, since this was last taken.
    pub unpaired: u64,
}

impl Rows {
    /// Reads the header, if there is one.
    pub fn new(source: Source, zone: Option<Zone>) -> Result<Self, DataError> {
        let both_sides = match source.layout {
            Layout::NamedBars => false,
            Layout::LeanBars(_) => true,
            Layout::LeanTicks(_) => return Err(DataError::NotBars { file: source.name }),
        };
        Ok(Self { table: Table::new(source, zone)?, both_sides, previous: None, unpaired: 0 })
    }

    /// The file's name.
    pub const fn name(&self) -> &Arc<str> {
        &self.table.name
    }

    /// Whether it holds bids and asks.
    pub const fn both_sides(&self) -> bool {
        self.both_sides
    }

    /// The next row, `None` at the end. Time strictly increases.
    pub fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        while self.table.advance()? {
            let at = self.table.stamp()?;
            if let Some(previous) = self.previous.replace(at)
                && at <= previous
            {
                return Err(DataError::TimeNotIncreasing { cell: self.stamp_cell(), previous });
            }
            if self.both_sides && (self.is_blank(SideColumns::First) || self.is_blank(SideColumns::Second)) {
                self.unpaired += 1; // LEAN leaves out a side that had no quote
                continue;
            }
            let bid = self.prices(SideColumns::First)?;
            let ask = self.both_sides.then(|| self.prices(SideColumns::Second)).transpose()?;
            return Ok(Some(Row { at, bid, ask }));
        }
        Ok(None)
    }

    /// The stamp of the row that was read last, for an error.
    pub fn stamp_cell(&self) -> Cell {
        self.table.cell(0)
    }

    /// A price of the row that was read last, for an error; `index` is `OPEN` to `CLOSE`.
    pub fn price_cell(&self, side: SideColumns, index: usize) -> Cell {
        self.table.cell(side as usize + index)
    }

    fn is_blank(&self, side: SideColumns) -> bool {
        (OPEN..=CLOSE).all(|index| self.table.field(side as usize + index).is_empty())
    }

    fn prices(&self, side: SideColumns) -> Result<Prices, DataError> {
        let mut prices = [Some(Decimal::ZERO); 4];
        for (index, price) in prices.iter_mut().enumerate() {
            *price = self.table.price(side as usize + index)?;
        }
        let [Some(open), Some(high), Some(low), Some(close)] = prices else {
            return Ok(Err(QuoteFault::Nan));
        };
        let prices = [open, high, low, close];
        if prices.iter().any(|p| *p < Decimal::ZERO) {
            return Ok(Err(QuoteFault::Negative));
        }
        if prices.iter().any(Decimal::is_zero) {
            return Ok(Err(QuoteFault::Zero));
        }
        if high < low {
            return Err(DataError::HighBelowLow { cell: self.price_cell(side, HIGH), low });
        }
        for index in [OPEN, CLOSE] {
            if !(low..=high).contains(&prices[index]) {
                return Err(DataError::OutsideRange { cell: self.price_cell(side, index), low, high });
            }
        }
        Ok(Ok(prices))
    }
}
