//! Final answers: given when the orders behind a command have got far enough.

use super::engine::Engine;
use crate::domain::id::{CommandId, IntentId, OrderId, PositionId, StopId};
use crate::domain::message::{
    CancelReply, CloseReply, ErrorCode, FillView, OrderView, Outcome, OutcomeKind, OutcomeState, Outputs,
    PlaceReply, Refusal, Reply, ReplyBody, StopReply,
};
use crate::domain::order::OrderStatus;
use crate::domain::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A command whose answer waits for the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Awaiting {
    pub command: CommandId,
    pub what: Pending,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pending {
    Place {
        account: usize,
        order: OrderId,
    },
    Cancel {
        account: usize,
        orders: Vec<OrderId>,
    },
    Close {
        account: usize,
        intent: IntentId,
        orders: Vec<OrderId>,
        positions: Vec<PositionId>,
        /// What the gate did not let through, and why.
        refused: BTreeMap<PositionId, String>,
    },
    Stop {
        stop: StopId,
        targets: Targets,
    },
}

/// What an emergency stop went for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Targets {
    pub orders: Vec<(usize, OrderId)>,
    pub positions: Vec<(usize, PositionId)>,
}

impl Engine {
    /// Looks at the losses of accounts that had fills, completes stops and answers what can be
    /// answered. Called when no request and no report is left to carry out: between the reports of one
    /// quote a position may be valued at a price that it does not close at.
    pub fn settle(&mut self, now: UnixNanos, out: &mut Outputs) {
        for index in std::mem::take(&mut self.filled) {
            self.check_daily_loss(now, index, out);
        }
        if !out.venue.is_empty() {
            return;
        }
        if self.stops.busy() {
            self.complete_stops(out);
        }
        for waiting in std::mem::take(&mut self.awaiting) {
            match self.outcome(now, &waiting) {
                Some(result) => self.answer(waiting.command, result, out),
                None => self.awaiting.push(waiting),
            }
        }
    }

    /// Gives the final answer, to the command and to those that joined it.
    pub(super) fn answer(
        &mut self,
        command: CommandId,
        result: Result<ReplyBody, Refusal>,
        out: &mut Outputs,
    ) {
        for joined in self.idempotency.bind(command, &result) {
            out.replies.push(Reply { command: joined, result: result.clone() });
        }
        out.replies.push(Reply { command, result });
    }

    /// The final answer of a command, if its orders have got far enough.
    pub(super) fn outcome(&self, _now: UnixNanos, waiting: &Awaiting) -> Option<Result<ReplyBody, Refusal>> {
        let journal_offset = waiting.command.0;
        match &waiting.what {
            Pending::Place { account, order } => self.place_outcome(*account, *order, journal_offset),
            Pending::Cancel { account, orders } => {
                let outcomes = orders.iter().map(|id| self.order_outcome(*account, *id)).collect();
                Some(Ok(ReplyBody::Cancel(CancelReply { outcomes, journal_offset })))
            }
            Pending::Close { account: index, intent, orders, positions, refused } => {
                let account = &self.accounts[*index];
                let records = || orders.iter().map(|id| &account.orders[id]);
                if records().any(|r| r.order.status == OrderStatus::Submitted) {
                    return None;
                }
                let setup = self.setup();
                let fills = records()
                    .flat_map(|r| &r.fills)
                    .map(|fill| FillView::new(fill, setup.instrument(fill.instrument)))
                    .collect();
                let position = match positions.as_slice() {
                    [only] => account.positions.get(only),
                    _ => None,
                };
                Some(Ok(ReplyBody::Close(CloseReply {
                    fills,
                    position: position.map(|p| account.position_view(p, &setup, &self.market)),
                    intent_id: *intent,
                    outcomes: positions
                        .iter()
                        .map(|id| match refused.get(id) {
                            Some(reason) => Outcome {
                                state: OutcomeState::Failed,
                                reason: Some(reason.clone()),
                                ..self.position_outcome(*index, *id, orders)
                            },
                            None => self.position_outcome(*index, *id, orders),
                        })
                        .collect(),
                    journal_offset,
                })))
            }
            Pending::Stop { stop, targets } => {
                let orders = targets.orders.iter().map(|(index, id)| self.order_outcome(*index, *id));
                let positions =
                    targets.positions.iter().map(|(index, id)| self.position_outcome(*index, *id, &[]));
                Some(Ok(ReplyBody::Stop(StopReply {
                    stop_id: *stop,
                    latched: true,
                    outcomes: orders.chain(positions).collect(),
                    journal_offset,
                })))
            }
        }
    }

    pub(super) fn place_outcome(
        &self,
        index: usize,
        id: OrderId,
        journal_offset: u64,
    ) -> Option<Result<ReplyBody, Refusal>> {
        let setup = self.setup();
        let record = &self.accounts[index].orders[&id];
        let order = &record.order;
        let instrument = setup.instrument(order.instrument);
        match order.status {
            OrderStatus::Submitted | OrderStatus::Initialized | OrderStatus::Unknown => None,
            OrderStatus::Rejected => {
                let reason = order.reason.clone().unwrap_or_default();
                let message = format!("the venue rejected the order: {reason}");
                Some(Err(Refusal::new(ErrorCode::ConnectorError, "VENUE_REJECTED", message)
                    .with("venueReason", reason)
                    .with("outcome", "not_started")
                    .with("orderId", id.to_string())))
            }
            _ => Some(Ok(ReplyBody::Place(PlaceReply {
                intent_id: order.intent_id,
                order_id: id,
                client_order_id: order.client_order_id.clone(),
                status: order.status,
                filled_volume: instrument.lots(order.filled),
                avg_price: OrderView::new(order, instrument).avg_price,
                position_id: record.fills.first().map(|f| f.position),
                reason: order.reason.clone().filter(|_| order.status == OrderStatus::Canceled),
                risk_decision: "approved".to_owned(),
                journal_offset,
            }))),
        }
    }

    pub(super) fn order_outcome(&self, index: usize, id: OrderId) -> Outcome {
        let account = &self.accounts[index];
        let status = account.orders.get(&id).map(|r| r.order.status);
        let (state, reason) = match status {
            Some(OrderStatus::Canceled | OrderStatus::Expired) => (OutcomeState::Done, None),
            Some(OrderStatus::Filled) => (OutcomeState::Failed, Some("FILLED")),
            Some(status) if !status.is_terminal() => (OutcomeState::Pending, None),
            _ => (OutcomeState::Done, None),
        };
        Outcome {
            kind: OutcomeKind::Order,
            id: id.to_string(),
            account_id: account.id().to_string(),
            state,
            reason: reason.map(str::to_owned),
        }
    }

    pub(super) fn position_outcome(&self, index: usize, id: PositionId, orders: &[OrderId]) -> Outcome {
        let account = &self.accounts[index];
        let done = |order: &OrderId| {
            let order = &account.orders[order].order;
            order.position == Some(id) && order.status == OrderStatus::Filled
        };
        let reduced = orders.iter().any(done) || !account.positions.contains_key(&id);
        Outcome {
            kind: OutcomeKind::Position,
            id: id.to_string(),
            account_id: account.id().to_string(),
            state: if reduced { OutcomeState::Done } else { OutcomeState::Pending },
            reason: None,
        }
    }
}
