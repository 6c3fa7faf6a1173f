//! Refusals that prove nothing: by their number the venue did what was asked, or does not know (LV03).
//!
//! An order is then `unknown`, and asked about. It is not refused before the venue says so without a doubt, or a
//! later session of one that fences does not know the order. New terms and cancels stay open: the order's state, a
//! report or the next session's books tell what became of them.

use crate::core::engine::Engine;
use crate::domain::{
    id::OrderId,
    message::{LinkReport, LinkRequest, Outputs, VenueRequest},
    order::{Order, OrderStatus},
    retcode,
};

/// Whether it refuses to cancel or to modify, and proves nothing.
pub(super) fn settles_nothing(report: &LinkReport) -> bool {
    match report {
        LinkReport::CancelRejected { retcode: Some(number), .. } => retcode::leaves_doubt(*number),
        LinkReport::ModifyRejected { retcode: Some(number), .. } => {
            *number != retcode::NO_CHANGES && retcode::leaves_doubt(*number)
        }
        _ => false,
    }
}

impl Engine {
    /// Whether this session has left the order's fate open.
    pub(super) fn is_in_doubt(&self, index: usize, order: &Order) -> bool {
        order.status == OrderStatus::Unknown && self.accounts[index].session.in_doubt.contains(&order.id)
    }

    /// Asks what became of an order that was refused in a way which proves nothing.
    pub(super) fn ask_about(&mut self, index: usize, order: OrderId, out: &mut Outputs) {
        let account = &mut self.accounts[index];
        account.session.in_doubt.insert(order);
        let (account, orders) = (account.id().clone(), vec![order]);
        out.venue.push(VenueRequest::Link { account, request: LinkRequest::Status { orders } });
    }
}
