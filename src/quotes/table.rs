//! One CSV file, record by record: the columns that are needed, and where an error is.

use super::{
    Cell, DataError, Source,
    layout::{Clock, LEAN_BAR_FIELDS, Layout},
};
use crate::domain::{calendar::Zone, time::UnixNanos};
use csv::{ByteRecord, ReaderBuilder, Trim};
use rust_decimal::Decimal;
use std::{io::Read, sync::Arc};

/// Where a needed column is, and what it is called.
type Column = (usize, &'static str);

/// The columns that a file with a header must have, by these names in any case and order. Others are
/// ignored, so that `volume` may follow.
const NAMED: [&str; 5] = ["timestamp", "open", "high", "low", "close"];
/// LEAN's bars have no header; these are the columns that are needed, without the sizes.
const LEAN_BARS: [Column; 9] = [
    (0, "time"),
    (1, "bid open"),
    (2, "bid high"),
    (3, "bid low"),
    (4, "bid close"),
    (6, "ask open"),
    (7, "ask high"),
    (8, "ask low"),
    (9, "ask close"),
];
const LEAN_TICKS: [Column; 3] = [(0, "time"), (1, "bid"), (2, "ask")];

/// Reads one file.
pub(super) struct Table {
    pub name: Arc<str>,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: ByteRecord,
    clock: Clock,
    /// The first is the stamp's.
    columns: Vec<Column>,
    width: usize,
}

impl Table {
    /// Reads the header, if the layout has one. `zone` is that of local times.
    pub fn new(source: Source, zone: Option<Zone>) -> Result<Self, DataError> {
        let Source { name, layout, text } = source;
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .trim(Trim::All)
            .has_headers(layout == Layout::NamedBars)
            .from_reader(text);
        let (columns, width) = match layout {
            Layout::NamedBars => named_columns(&name, &mut reader)?,
            Layout::LeanBars(_) => (LEAN_BARS.to_vec(), LEAN_BAR_FIELDS),
            Layout::LeanTicks(_) => (LEAN_TICKS.to_vec(), LEAN_TICKS.len()),
        };
        let (record, clock) = (ByteRecord::new(), Clock::new(layout, zone));
        Ok(Self { name, reader, record, clock, columns, width })
    }

    /// Reads the next record; `false` at the end.
    pub fn advance(&mut self) -> Result<bool, DataError> {
        if !self.reader.read_byte_record(&mut self.record).map_err(|e| read_failed(&self.name, e))? {
            return Ok(false);
        }
        self.check_width()?;
        Ok(true)
    }

    /// When the record stands.
    pub fn stamp(&self) -> Result<UnixNanos, DataError> {
        self.clock.read(self.field(0), || self.cell(0))
    }

    /// The price in a needed column; `None` is `NaN`.
    pub fn price(&self, column: usize) -> Result<Option<Decimal>, DataError> {
        parse_price(self.field(column)).ok_or_else(|| DataError::NotAPrice(self.cell(column)))
    }

    /// The content of a needed column.
    pub fn field(&self, column: usize) -> &[u8] {
        &self.record[self.columns[column].0]
    }

    /// A field of the record that was read last, for an error.
    pub fn cell(&self, column: usize) -> Cell {
        Cell::new(&self.name, self.line(), self.columns[column].1, self.field(column))
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn check_width(&self) -> Result<(), DataError> {
        let (file, line, found, expected) = (self.name.clone(), self.line(), self.record.len(), self.width);
        if found > expected {
            let value = String::from_utf8_lossy(&self.record[expected]).into_owned();
            return Err(DataError::ExtraField { file, line, found, expected, value });
        }
        // a needed column must be there; a missing `volume` at the end of a row is no matter
        let missing = self.columns.iter().filter(|(place, _)| *place >= found).min();
        missing.map_or(Ok(()), |(_, column)| {
            let fields: Vec<_> = self.record.iter().map(String::from_utf8_lossy).collect();
            let value = Cell::new(&file, line, "", fields.join(",").as_bytes()).value;
            let column = (*column).to_owned();
            Err(DataError::MissingField { file, line, column, found, expected, value })
        })
    }
}

/// The places of the needed columns, and how many fields the header has.
fn named_columns(
    name: &Arc<str>,
    reader: &mut csv::Reader<Box<dyn Read + Send>>,
) -> Result<(Vec<Column>, usize), DataError> {
    let header = reader.byte_headers().map_err(|e| read_failed(name, e))?;
    if header.is_empty() {
        return Err(DataError::Empty { file: name.clone() });
    }
    let mut columns = Vec::with_capacity(NAMED.len());
    for column in NAMED {
        let mut found = (0..header.len()).filter(|i| header[*i].eq_ignore_ascii_case(column.as_bytes()));
        let place = found.next().ok_or_else(|| DataError::MissingColumn { file: name.clone(), column })?;
        if found.next().is_some() {
            return Err(DataError::RepeatedColumn { file: name.clone(), column });
        }
        columns.push((place, column));
    }
    Ok((columns, header.len()))
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
