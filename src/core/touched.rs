//! What changed of orders and positions since all was quiet last: each is told of once, as it is then.

use crate::domain::{
    id::{OrderId, PositionId},
    message::PositionView,
};
use std::collections::BTreeSet;

/// Orders and positions by the places of their accounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    pub orders: BTreeSet<(usize, OrderId)>,
    /// Those among them that are new.
    pub placed: BTreeSet<(usize, OrderId)>,
    pub positions: BTreeSet<(usize, PositionId)>,
    /// Positions that are no more, as they were last.
    pub closed: Vec<PositionView>,
}

impl Touched {
    pub(crate) fn order(&mut self, account: usize, id: OrderId) {
        self.orders.insert((account, id));
    }

    pub(crate) fn placed(&mut self, account: usize, id: OrderId) {
        self.order(account, id);
        self.placed.insert((account, id));
    }

    pub(crate) fn position(&mut self, account: usize, id: PositionId) {
        self.positions.insert((account, id));
    }

    pub(crate) fn closed(&mut self, position: PositionView) {
        self.closed.push(position);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.positions.is_empty() && self.closed.is_empty()
    }
}
