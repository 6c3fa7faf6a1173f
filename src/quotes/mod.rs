//! Where quotes come from: files of bars, and a synthetic market.
//!
//! Imports `domain` only. Knows nothing of engines, accounts or orders: it turns bytes, or a seed,
//! into stamped `Input`s and counts what it had to set aside or repair on the way.

mod bar_hash;
mod bars_csv;
mod data_error;
mod random;
mod rows;
mod source;
mod stamp;
mod synthetic;

use crate::domain::{market::Timeframe, message::Input, time::UnixNanos};
use std::collections::BTreeMap;

pub use bars_csv::{BarOptions, CsvBars, OffGrid};
pub use data_error::{Cell, DataError};
pub use source::Source;
pub use synthetic::{SyntheticBars, SyntheticFeed};

/// A bounded run of market data: inputs with their stamps, ascending.
///
/// After an error the iterator is at its end.
pub trait MarketData: Iterator<Item = Result<(UnixNanos, Input), DataError>> {
    /// The length of the bars.
    fn timeframe(&self) -> Timeframe;

    /// Rows that were set aside (`nan`, `zero`, `negative`, `unpaired`) or repaired (`crossed`,
    /// `off_grid`) so far, by reason.
    fn counts(&self) -> &BTreeMap<&'static str, u64>;

    /// Hash of everything that came out so far: equal for equal bars, however a file was compressed,
    /// formatted or cut into reads.
    fn data_hash(&self) -> blake3::Hash;
}
