//! The hash of bars: what was traded on, whatever file it came from.

use crate::domain::{
    instrument::Instrument,
    market::{Bar, Timeframe},
    time::UnixNanos,
};

/// Covers symbol, tick and timeframe, then stamp and eight prices of each bar.
#[derive(Debug, Clone)]
pub(super) struct BarHasher(blake3::Hasher);

impl BarHasher {
    pub fn new(instrument: &Instrument, timeframe: Timeframe) -> Self {
        let mut hasher = blake3::Hasher::new();
        let Instrument { symbol, tick, .. } = instrument;
        hasher.update(format!("bars 1 {symbol} {} {timeframe}\n", tick.normalize()).as_bytes());
        Self(hasher)
    }

    pub fn add(&mut self, at: UnixNanos, bar: &Bar) {
        let mut row = [0; 72];
        let numbers = [bar.bid, bar.ask].map(|side| [side.open, side.high, side.low, side.close]);
        let numbers = numbers.as_flattened().iter().map(|price| price.0);
        for (bytes, number) in row.as_chunks_mut::<8>().0.iter_mut().zip(std::iter::once(at.0).chain(numbers))
        {
            *bytes = number.to_le_bytes();
        }
        self.0.update(&row);
    }

    pub fn finish(&self) -> blake3::Hash {
        self.0.finalize()
    }
}
