//! One CSV file of bars, row by row: checked, but not yet on an instrument's grid.

use super::{
    Cell, DataError, Source,
    stamp::{StampFault, parse_stamp},
};
use crate::domain::{calendar::Zone, market::QuoteFault, time::UnixNanos};
use csv::{ByteRecord, ReaderBuilder, Trim};
use rust_decimal::Decimal;
use std::{io::Read, sync::Arc};

/// The columns a file must have, by these names in any case and order. Others are ignored, so that
/// `volume` may follow.
const COLUMNS: [&str; 5] = ["timestamp", "open", "high", "low", "close"];
pub(super) const OPEN: usize = 0;
pub(super) const HIGH: usize = 1;
pub(super) const LOW: usize = 2;
pub(super) const CLOSE: usize = 3;

/// One row: when its bar opened, and its open, high, low and close.
pub(super) struct Row {
    pub line: u64,
    pub at: UnixNanos,
    /// A fault sets the whole row aside (EX10).
    pub prices: Result<[Decimal; 4], QuoteFault>,
}

/// Reads one file.
pub(super) struct Rows {
    pub name: Arc<str>,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: ByteRecord,
    /// Where each of `COLUMNS` is.
    places: [usize; 5],
    width: usize,
    zone: Option<Zone>,
    previous: Option<UnixNanos>,
}

impl Rows {
    /// Reads the header.
    pub fn new(source: Source, zone: Option<Zone>) -> Result<Self, DataError> {
        let Source { name, text } = source;
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text);
        let header = reader.byte_headers().map_err(|e| read_failed(&name, e))?.clone();
        if header.is_empty() {
            return Err(DataError::Empty { file: name });
        }
        let mut places = [0; 5];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            let mut found = (0..header.len()).filter(|i| header[*i].eq_ignore_ascii_case(column.as_bytes()));
            *place = found.next().ok_or_else(|| DataError::MissingColumn { file: name.clone(), column })?;
            if found.next().is_some() {
                return Err(DataError::RepeatedColumn { file: name, column });
            }
        }
        let (record, width) = (ByteRecord::new(), header.len());
        Ok(Self { name, reader, record, places, width, zone, previous: None })
    }

    /// The next row, `None` at the end. Time strictly increases.
    pub fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        if !self.reader.read_byte_record(&mut self.record).map_err(|e| read_failed(&self.name, e))? {
            return Ok(None);
        }
        self.check_width()?;
        let at = self.stamp()?;
        if let Some(previous) = self.previous.replace(at)
            && at <= previous
        {
            return Err(DataError::TimeNotIncreasing { cell: self.stamp_cell(), previous });
        }
        Ok(Some(Row { line: self.line(), at, prices: self.prices()? }))
    }

    /// The stamp of the row that was read last, for an error.
    pub fn stamp_cell(&self) -> Cell {
        self.cell(0)
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn cell(&self, column: usize) -> Cell {
        Cell::new(&self.name, self.line(), COLUMNS[column], &self.record[self.places[column]])
    }

    fn check_width(&self) -> Result<(), DataError> {
        let (file, line, found, expected) = (self.name.clone(), self.line(), self.record.len(), self.width);
        if found > expected {
            let value = String::from_utf8_lossy(&self.record[expected]).into_owned();
            return Err(DataError::ExtraField { file, line, found, expected, value });
        }
        // a needed column must be there; a missing `volume` at the end of a row is no matter
        let missing = (0..COLUMNS.len()).filter(|c| self.places[*c] >= found).min_by_key(|c| self.places[*c]);
        missing.map_or(Ok(()), |column| {
            let fields: Vec<_> = self.record.iter().map(String::from_utf8_lossy).collect();
            let value = Cell::new(&file, line, "", fields.join(",").as_bytes()).value;
            let column = COLUMNS[column].to_owned();
            Err(DataError::MissingField { file, line, column, found, expected, value })
        })
    }

    fn stamp(&self) -> Result<UnixNanos, DataError> {
        let text = std::str::from_utf8(&self.record[self.places[0]]).unwrap_or_default();
        parse_stamp(text, self.zone.as_ref()).map_err(|fault| match fault {
            StampFault::NotATime => DataError::NotATime(self.stamp_cell()),
            StampFault::NoZone => DataError::NoZone(self.stamp_cell()),
        })
    }

    fn prices(&self) -> Result<Result<[Decimal; 4], QuoteFault>, DataError> {
        let mut prices = [Some(Decimal::ZERO); 4];
        for (index, price) in prices.iter_mut().enumerate() {
            let field = &self.record[self.places[index + 1]];
            *price = parse_price(field).ok_or_else(|| DataError::NotAPrice(self.cell(index + 1)))?;
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
            return Err(DataError::HighBelowLow { cell: self.cell(HIGH + 1), low });
        }
        for index in [OPEN, CLOSE] {
            if !(low..=high).contains(&prices[index]) {
                return Err(DataError::OutsideRange { cell: self.cell(index + 1), low, high });
            }
        }
        Ok(Ok(prices))
    }
}

/// Reads a decimal exactly, also in scientific notation. The outer `None` is not a number at all, the
/// inner one is `NaN`.
#[expect(clippy::option_option, reason = "three cases, used in one place")]
fn parse_price(field: &[u8]) -> Option<Option<Decimal>> {
    let text = std::str::from_utf8(field).ok()?;
    if text.trim_start_matches(['+', '-']).eq_ignore_ascii_case("nan") {
        return Some(None);
    }
    let exact = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
    exact.ok().map(Some)
}

fn read_failed(file: &Arc<str>, error: csv::Error) -> DataError {
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => std::io::Error::other(format!("{other:?}")),
    };
    DataError::Io { file: file.clone(), source }
}
