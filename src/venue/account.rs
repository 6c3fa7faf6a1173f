//! A trading account as the broker keeps it.

use super::groups::{Groups, Held};
use crate::domain::{
    exposure::Exposure,
    id::{AccountId, FillId, OrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    message::VenueOrder,
    money::{Currency, Money, Rate},
    order::Side,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Equity in percent of margin at which the broker closes positions (AC08).
pub(super) const STOP_OUT_PERCENT: Decimal = Decimal::from_parts(50, 0, 0, false, 0);

/// The broker's books of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VenueAccount {
    pub id: AccountId,
    pub currency: Currency,
    pub leverage: u32,
    pub commission_per_lot: Decimal,
    pub balance: Money,
    /// Sum of the positions' margins.
    pub margin: Money,
    pub exposure: Exposure,
    pub positions: BTreeMap<PositionId, VenuePosition>,
    /// Resting limits, and market orders that wait for a quote.
    pub orders: BTreeMap<OrderId, VenueOrder>,
    /// Of orders that wait for another's fill, what is not in the book.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub held: BTreeMap<OrderId, Held>,
    /// Derived from the orders.
    #[serde(skip)]
    pub groups: Groups,
    pub last_fill: u64,
}

/// A position as the broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VenuePosition {
    pub id: PositionId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub volume: Volume,
    pub open_price: Price,
    pub stop_loss: Option<Price>,
    pub take_profit: Option<Price>,
    pub margin: Money,
    /// The conversion at open: margin does not float (AC03).
    pub margin_rate: Rate,
    pub opened_at: UnixNanos,
}

impl VenueAccount {
    pub(super) fn equity(&self) -> Money {
        self.balance + self.exposure.floating()
    }

    pub(super) fn free_margin(&self) -> Money {
        self.equity() - self.margin
    }

    pub(super) fn next_fill(&mut self) -> FillId {
        self.last_fill += 1;
        FillId(self.last_fill)
    }
}
