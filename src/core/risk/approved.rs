//! Approval as a type: what execution takes can only come from the gate.

use crate::domain::{
    group::OrderGroup,
    id::{ClientOrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    message::Lifetime,
    order::{Filling, OrderType, Side, Stop, Trail},
};

/// An order on the grid, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub instrument: InstrumentId,
    pub side: Side,
    pub order_type: OrderType,
    pub volume: Volume,
    pub price: Option<Price>,
    pub stop_price: Option<Price>,
    pub trail: Option<Trail>,
    pub reference_price: Option<Price>,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
    pub lifetime: Lifetime,
    pub filling: Filling,
    pub post_only: bool,
    pub position: Option<PositionId>,
    pub group: Option<OrderGroup>,
    pub client_order_id: Option<ClientOrderId>,
    pub reason: Option<String>,
}

/// Something that passed every risk check. Only `risk` can make one.
#[derive(Debug)]
pub(crate) struct RiskApproved<T>(T);

/// The only way to make an approval.
pub(super) fn approve<T>(value: T) -> RiskApproved<T> {
    RiskApproved(value)
}

impl<T> RiskApproved<T> {
    /// Uses it up: one approval, one order.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}
