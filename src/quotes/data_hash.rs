//! The hash of market data: what was traded on, whatever file it came from.

use crate::domain::{
    instrument::Instrument,
    market::{Bar, Quote, Timeframe},
    time::UnixNanos,
};

/// Covers symbol and tick, of bars their timeframe, then stamp and prices of each row.
#[derive(Debug, Clone)]
pub(super) struct DataHasher(blake3::Hasher);

impl DataHasher {
    pub fn of_bars(instrument: &Instrument, timeframe: Timeframe) -> Self {
        let Instrument { symbol, tick, .. } = instrument;
        Self::new(&format!("bars 1 {symbol} {} {timeframe}\n", tick.normalize()))
    }

    pub fn of_ticks(instrument: &Instrument) -> Self {
        let Instrument { symbol, tick, .. } = instrument;
        Self::new(&format!("ticks 1 {symbol} {}\n", tick.normalize()))
    }

    pub fn add_bar(&mut self, at: UnixNanos, bar: &Bar) {
        let [bid, ask] = [bar.bid, bar.ask].map(|side| [side.open.0, side.high.0, side.low.0, side.close.0]);
        let ([b0, b1, b2, b3], [a0, a1, a2, a3]) = (bid, ask);
        self.add([at.0, b0, b1, b2, b3, a0, a1, a2, a3]);
    }

    pub fn add_quote(&mut self, at: UnixNanos, quote: Quote) {
        self.add([at.0, quote.bid.0, quote.ask.0]);
    }

    pub fn finish(&self) -> blake3::Hash {
        self.0.finalize()
    }

    fn new(title: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(title.as_bytes());
        Self(hasher)
    }

    fn add<const N: usize>(&mut self, numbers: [i64; N]) {
        self.0.update(numbers.map(i64::to_le_bytes).as_flattened());
    }
}
