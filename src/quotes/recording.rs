//! Recorded data, whatever their layout is.

use super::{CsvBars, DataError, LeanTicks, MarketData, OffGrid, Sources, layout::Layout};
use crate::{
    domain::{
        calendar::Zone,
        instrument::{Instrument, InstrumentId},
        market::Timeframe,
    },
    quotes::Source,
};

/// How to read a recording.
#[derive(Debug, Clone)]
pub struct DataOptions {
    pub instrument: Instrument,
    pub id: InstrumentId,
    /// The zone of stamps without an offset.
    pub zone: Option<Zone>,
    pub off_grid: OffGrid,
    /// Of bars; `None`: the longest timeframe that divides all gaps between the first 256.
    pub timeframe: Option<Timeframe>,
}

/// Opens bars, or ticks of one file after the other, in the layout that the first file has. Bars are in
/// one file, or their asks in a second, `asks`.
pub fn open_recording(
    mut files: Sources,
    asks: Option<Source>,
    options: DataOptions,
) -> Result<Box<dyn MarketData + Send>, DataError> {
    let first = files.next().unwrap_or(Err(DataError::NoFile))?;
    if matches!(first.layout, Layout::LeanTicks(_)) {
        return match asks {
            Some(_) => Err(DataError::BothSides { file: first.name }),
            None => Ok(Box::new(LeanTicks::new(first, files, options)?)),
        };
    }
    match files.next() {
        Some(_) => Err(DataError::OneFileOfBars { file: first.name }),
        None => Ok(Box::new(CsvBars::new(first, asks, options)?)),
    }
}
