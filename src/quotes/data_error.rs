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
    #[error("there is no file of data")]
    NoFile,
    #[error("{file}: there is no row of data")]
    Empty { file: Arc<str> },
    #[error(
        "{file}: the first line `{value}` is no header that names timestamp, open, high, low and close, and no \
         row of LEAN's quotes (ticks: milliseconds, bid, ask; bars: time, then open, high, low, close, size of \
         the bids and of the asks)"
    )]
    UnknownLayout { file: Arc<str>, value: String },
    #[error(
        "{file}: rows are stamped in milliseconds since midnight, and no name says of which day: name the \
         archive's member or the file such as 20140502_eurusd_tick_quote.csv"
    )]
    NoDay { file: Arc<str> },
    #[error("{file} holds ticks, and bars are expected")]
    NotBars { file: Arc<str> },
    #[error("{file} holds bars, and comes after a file of ticks: several files must all be ticks")]
    NotTicks { file: Arc<str> },
    #[error("{file} holds bids and asks: it goes without a second file of asks")]
    BothSides { file: Arc<str> },
    #[error("{file} holds bars, and other files follow it: several files must all be ticks")]
    OneFileOfBars { file: Arc<str> },
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
        "{file}: line {line}: the row has {found} fields, not {expected}; the first without a column is `{value}`"
    )]
    ExtraField { file: Arc<str>, line: u64, found: usize, expected: usize, value: String },
    #[error("{0} is not a time: expected such as `2012-02-01 00:00:00` or `2012-02-01T00:00:00Z`")]
    NotATime(Cell),
    #[error("{0} has no time zone: name the zone of the file's clock with --tz, such as --tz Europe/London")]
    NoZone(Cell),
    #[error("{cell} is not a time: expected {expected}")]
    NotALeanTime { cell: Cell, expected: &'static str },
    #[error(
        "{0} has no time zone: LEAN's files are in the data time zone of their market, FXCM's in UTC-05: state it \
         with --tz UTC-05, in a feed with ,tz=UTC-05"
    )]
    NoLeanZone(Cell),
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
    #[error("{cell}: time goes back: the row before is stamped {previous}")]
    TimeGoesBack { cell: Cell, previous: UnixNanos },
    #[error(
        "{cell}: a bar of {timeframe} that opened at {previous} has not ended; state the bars' length with --timeframe"
    )]
    Overlap { cell: Cell, timeframe: Timeframe, previous: UnixNanos },
    #[error("{file}: bars open at {first} and {second}: bars shorter than a minute are not supported")]
    TooShort { file: Arc<str>, first: UnixNanos, second: UnixNanos },
    #[error("{bid} and {ask} have no bar with the same stamp: are they of the same period and time zone?")]
    NothingPairs { bid: Arc<str>, ask: Arc<str> },
}
