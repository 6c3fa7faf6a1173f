//! Why data cannot be used: each error names file, line, column and value.

use crate::domain::{id::Symbol, market::Timeframe, time::UnixNanos};
use rust_decimal::Decimal;
use std::{fmt, io, sync::Arc};

/// Longest piece of a file that an error quotes, in characters.
const QUOTED_CHARS: usize = 80;

/// One field of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub file: Arc<str>,
    /// From 1; the header is line 1.
    pub line: u64,
    pub column: String,
    pub value: String,
}

impl Cell {
    /// Quotes at most 80 characters of the value.
    pub(super) fn new(file: &Arc<str>, line: u64, column: &str, value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value).chars().take(QUOTED_CHARS).collect();
        Self { file: file.clone(), line, column: column.to_owned(), value }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, value } = self;
        write!(f, "{file}: line {line}, column `{column}`: `{value}`")
    }
}

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("{file}: {source}")]
    Io { file: Arc<str>, source: io::Error },
    #[error("{file}: there is no row of data")]
    Empty { file: Arc<str> },
    #[error(
        "{file}: line 1: no column `{column}`: the header must name timestamp, open, high, low and close"
    )]
    MissingColumn { file: Arc<str>, column: &'static str },
    #[error("{file}: line 1: the column `{column}` occurs twice")]
    RepeatedColumn { file: Arc<str>, column: &'static str },
    #[error(
        "{file}: line {line}: column `{column}` is missing: the row has {found} of {expected} fields: `{value}`"
    )]
    MissingField { file: Arc<str>, line: u64, column: String, found: usize, expected: usize, value: String },
    #[error(
        "{file}: line {line}: the row has {found} fields, the header names {expected}; the first without a column is `{value}`"
    )]
    ExtraField { file: Arc<str>, line: u64, found: usize, expected: usize, value: String },
    #[error("{0} is not a time: expected such as `2012-02-01 00:00:00` or `2012-02-01T00:00:00Z`")]
    NotATime(Cell),
    #[error("{0} has no time zone: name the zone of the file's clock with --tz, such as --tz Europe/London")]
    NoZone(Cell),
    #[error("{0} is not a price")]
    NotAPrice(Cell),
    #[error("{cell} exceeds {max}, the largest price of {symbol}")]
    PriceTooLarge { cell: Cell, symbol: Symbol, max: Decimal },
    #[error(
        "{cell} is not a multiple of {symbol}'s tick {tick}; --offgrid snap rounds bids down and asks up"
    )]
    OffGrid { cell: Cell, symbol: Symbol, tick: Decimal },
    #[error("{cell} is below the low of {low}")]
    HighBelowLow { cell: Cell, low: Decimal },
    #[error("{cell} lies outside the bar's range of {low} to {high}")]
    OutsideRange { cell: Cell, low: Decimal, high: Decimal },
    #[error("{cell}: time does not increase: the row before is stamped {previous}")]
    TimeNotIncreasing { cell: Cell, previous: UnixNanos },
    #[error(
        "{cell}: a bar of {timeframe} that opened at {previous} has not ended; state the bars' length with --timeframe"
    )]
    Overlap { cell: Cell, timeframe: Timeframe, previous: UnixNanos },
    #[error("{file}: bars open at {first} and {second}: bars shorter than a minute are not supported")]
    TooShort { file: Arc<str>, first: UnixNanos, second: UnixNanos },
    #[error("{bid} and {ask} have no bar with the same stamp: are they of the same period and time zone?")]
    NothingPairs { bid: Arc<str>, ask: Arc<str> },
}
