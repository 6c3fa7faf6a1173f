//! Between engine and venue: what a broker is asked for and what it reports.

use crate::domain::{
    id::{AccountId, FillId, OrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    money::Money,
    order::{Filling, OrderType, Side, Stop},
    position::FillReason,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};

/// A request to a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueRequest {
    Submit(VenueOrder),
    Cancel { account: AccountId, order: OrderId },
}

/// A new order (FIX: NewOrderSingle).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueOrder {
    pub account: AccountId,
    pub order: OrderId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub order_type: OrderType,
    pub volume: Volume,
    pub price: Option<Price>,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
    pub filling: Filling,
    /// The position to reduce; `None` opens one that bears the order's number.
    pub position: Option<PositionId>,
}

/// A report of a venue (FIX: ExecutionReport, OrderCancelReject).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueReport {
    Accepted { account: AccountId, order: OrderId },
    Rejected { account: AccountId, order: OrderId, reason: String },
    Canceled { account: AccountId, order: OrderId, reason: Option<String> },
    CancelRejected { account: AccountId, order: OrderId, reason: String },
    Filled(VenueFill),
}

/// A fill, with everything that the broker posted for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueFill {
    pub account: AccountId,
    /// Numbered by the venue, per account, without gaps.
    pub fill: FillId,
    /// `None`: the venue closed by itself (stop loss, take profit, stop-out).
    pub order: Option<OrderId>,
    pub position: PositionId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub volume: Volume,
    pub price: Price,
    pub commission: Money,
    pub realized_pnl: Money,
    /// Whether it reduced the position.
    pub closes: bool,
    /// The position after the fill.
    pub position_volume: Volume,
    pub position_margin: Money,
    pub stop_loss: Option<Price>,
    pub take_profit: Option<Price>,
    pub reason: FillReason,
    pub ts: UnixNanos,
}
