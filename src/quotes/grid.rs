//! Prices from data on an instrument's grid (EX13).

use super::{Cell, DataError};
use crate::domain::{
    instrument::{Instrument, Price},
    money,
};
use rust_decimal::Decimal;

/// What to do with prices between two ticks (EX13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffGrid {
    /// Bids down, asks up; counted as `off_grid`.
    #[default]
    Snap,
    Fail,
}

/// The price in ticks, and whether it had to be moved onto the grid, `up` or down. `cell` is where it
/// stands, for an error.
pub(super) fn on_grid(
    instrument: &Instrument,
    off_grid: OffGrid,
    value: Decimal,
    up: bool,
    cell: impl Fn() -> Cell,
) -> Result<(Price, bool), DataError> {
    let Instrument { symbol, tick, price_max, .. } = instrument;
    let exact = money::on_grid(value, *tick);
    if exact.is_none() && off_grid == OffGrid::Fail {
        return Err(DataError::OffGrid { cell: cell(), symbol: symbol.clone(), tick: *tick });
    }
    let ticks = exact.or_else(|| money::snap(value, *tick, up)).filter(|count| *count <= price_max.0);
    match ticks {
        Some(ticks) => Ok((Price(ticks), exact.is_none())),
        None => Err(DataError::PriceTooLarge {
            cell: cell(),
            symbol: symbol.clone(),
            max: instrument.price(*price_max),
        }),
    }
}
