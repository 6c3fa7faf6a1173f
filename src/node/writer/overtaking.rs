//! Cancels take a lane of their own and may go before orders that were sent earlier. Such an order is
//! not started: whoever cancels it does not want it any more (RK05).

use crate::domain::message::{CancelOrders, CancelTarget, PlaceOrder};
use std::{collections::VecDeque, time::Duration};

/// Cancels that are remembered; orders do not wait behind more.
const CANCELS_MAX: usize = 1_024;
/// How long; orders do not wait longer.
const REMEMBERED_FOR_NS: u64 = Duration::from_secs(60).as_nanos() as u64;

struct Applied {
    /// When the cancel was sent, counted in requests.
    arrival: u64,
    mono_ns: u64,
    cancel: CancelOrders,
}

/// The cancels of late.
#[derive(Default)]
pub(super) struct Overtaking {
    cancels: VecDeque<Applied>,
}

impl Overtaking {
    /// Takes in a cancel that was applied.
    pub fn canceled(&mut self, arrival: u64, mono_ns: u64, cancel: &CancelOrders) {
        // an order that has an id is not waiting
        if matches!(cancel.target, CancelTarget::Order(_)) {
            return;
        }
        let old = |c: &Applied| c.mono_ns.saturating_add(REMEMBERED_FOR_NS) < mono_ns;
        while self.cancels.len() >= CANCELS_MAX || self.cancels.front().is_some_and(old) {
            self.cancels.pop_front();
        }
        self.cancels.push_back(Applied { arrival, mono_ns, cancel: cancel.clone() });
    }

    /// Whether a cancel that was sent after the order, and concerns it, went before it.
    pub fn overtook(&self, arrival: u64, order: &PlaceOrder) -> bool {
        self.cancels.iter().any(|applied| applied.arrival > arrival && concerns(&applied.cancel, order))
    }
}

fn concerns(cancel: &CancelOrders, order: &PlaceOrder) -> bool {
    cancel.account == order.account
        && match &cancel.target {
            CancelTarget::Order(_) => false,
            CancelTarget::ClientOrder(id) => order.client_order_id.as_ref() == Some(id),
            CancelTarget::All { symbol } => symbol.as_ref().is_none_or(|symbol| *symbol == order.symbol),
        }
}
