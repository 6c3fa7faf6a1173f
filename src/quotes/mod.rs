//! Where quotes come from: files of bars or ticks, and a synthetic market.
//!
//! Imports `domain` only. Knows nothing of engines, accounts or orders: it turns bytes, or a seed,
//! into stamped `Input`s and counts what it had to set aside or repair on the way.

mod bars_csv;
mod data_error;
mod data_hash;
mod grid;
mod layout;
mod lean_ticks;
mod live_market;
mod random;
mod recording;
mod rows;
mod source;
mod stamp;
mod synthetic;
mod table;
mod zip_member;

#[cfg(test)]
mod testing;

use crate::domain::{market::Timeframe, message::Input, time::UnixNanos};
use std::collections::BTreeMap;

pub use bars_csv::CsvBars;
pub use data_error::{Cell, DataError};
pub use grid::OffGrid;
pub use lean_ticks::{LeanTicks, Sources};
pub use live_market::LiveMarket;
pub use recording::{DataOptions, open_recording};
pub use source::Source;
pub use synthetic::{SyntheticBars, SyntheticFeed};

/// A bounded run of market data: bars or ticks with their stamps, which never go back; those of bars
/// increase.
///
/// After an error the iterator is at its end.
pub trait MarketData: Iterator<Item = Result<(UnixNanos, Input), DataError>> {
    /// The length of the bars; `None`: ticks.
    fn timeframe(&self) -> Option<Timeframe>;

    /// Whether the asks come with the bids; else they are the instrument's default spread above (EX02).
    fn has_asks(&self) -> bool;

    /// Rows that were set aside (`nan`, `zero`, `negative`, `unpaired`) or repaired (`crossed`,
    /// `off_grid`) so far, by reason. Ticks that the machine refuses it counts itself.
    fn counts(&self) -> &BTreeMap<&'static str, u64>;

    /// Hash of everything that came out so far: equal for equal bars or ticks, however they were
    /// compressed, formatted, or cut into files and reads.
    fn data_hash(&self) -> blake3::Hash;
}
