//! Final answers: given when the orders behind a command have got far enough.

use super::account::Account;
use super::engine::Engine;
use super::execution::{ENDED_BEFORE, NOT_SENT};
use crate::domain::account::LinkStatus;
use crate::domain::id::{AccountId, CommandId, IntentId, OrderId, PositionId, StopId};
use crate::domain::message::{
    AccountReply, CancelReply, CloseReply, Command, ErrorCode, FillView, ModifyReply, OrderUpdated,
    OrderView, Outcome, OutcomeKind, OutcomeState, Outputs, PlaceReply, PositionUpdated, Refusal, Reply,
    ReplyBody, StopReply, TradeTarget,
};
use crate::domain::order::OrderStatus;
use crate::domain::retcode;
use crate::domain::time::{SECOND_NS, UnixNanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long whoever gave a command waits for its venue.
pub(super) const ANSWER_WITHIN_NS: i64 = 5 * SECOND_NS;

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
    Modify {
        account: usize,
        target: TradeTarget,
        /// `None`: there was nothing to change.
        intent: Option<IntentId>,
    },
    Connect {
        account: AccountId,
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
            self.rearm_stops(now, index, out);
        }
        if !out.venue.is_empty() {
            return;
        }
        if self.stops.busy() {
            self.complete_stops(out);
        }
        if !self.touched.is_empty() {
            self.tell_touched(out);
        }
        for waiting in std::mem::take(&mut self.awaiting) {
            match self.outcome(&waiting, false) {
                Some(result) => self.answer(waiting.command, result, out),
                None => self.awaiting.push(waiting),
            }
        }
    }

    /// Tells what orders and positions have become, each once.
    fn tell_touched(&mut self, out: &mut Outputs) {
        let touched = std::mem::take(&mut self.touched);
        let setup = self.setup();
        for (index, id) in touched.orders {
            if let Some(record) = self.accounts[index].orders.get(&id) {
                let order = OrderView::new(&record.order, setup.instrument(record.order.instrument));
                let placed = touched.placed.contains(&(index, id));
                out.events.push(OrderUpdated { order, placed }.into());
            }
        }
        for (index, id) in touched.positions {
            let account = &self.accounts[index];
            if let Some(position) = account.positions.get(&id) {
                let position = account.position_view(position, &setup, &self.market);
                out.events.push(PositionUpdated { position, closed: false }.into());
            }
        }
        let gone = touched.closed.into_iter();
        out.events.extend(gone.map(|position| PositionUpdated { position, closed: true }.into()));
    }

    /// Whoever gave the command waits no longer.
    pub(super) fn answer_now(&mut self, command: CommandId, out: &mut Outputs) {
        let Some(place) = self.awaiting.iter().position(|waiting| waiting.command == command) else { return };
        let waiting = self.awaiting.remove(place);
        let result = self.outcome(&waiting, true).unwrap_or_else(|| {
            self.idempotency.leave_open(&waiting);
            Err(timed_out(&waiting.what))
        });
        self.answer(command, result, out);
    }

    /// Answers a key that was answered `TIMEOUT`: what became of it since, for good if it has come to
    /// its end.
    pub(super) fn answer_timed_out(&mut self, repeated: &Command, waiting: &Awaiting, out: &mut Outputs) {
        let result = self.outcome(waiting, true);
        if let Some(result) = &result {
            self.idempotency.close(repeated, result);
        }
        let result = result.unwrap_or_else(|| Err(timed_out(&waiting.what)));
        out.replies.push(Reply { command: repeated.id, result });
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

    /// The final answer of a command, if its orders have got far enough; `due`: as far as they are.
    fn outcome(&self, waiting: &Awaiting, due: bool) -> Option<Result<ReplyBody, Refusal>> {
        let journal_offset = waiting.command.0;
        match &waiting.what {
            Pending::Place { account, order } => self.place_outcome(*account, *order, journal_offset),
            Pending::Cancel { account: index, orders } => {
                let account = &self.accounts[*index];
                let pending = |id: &OrderId| {
                    let status = account.orders.get(id).map(|r| r.order.status);
                    matches!(status, Some(OrderStatus::PendingCancel | OrderStatus::Unknown))
                };
                if !due && !account.config.is_paper() && orders.iter().any(pending) {
                    return None;
                }
                let account = index;
                let outcomes = orders.iter().map(|id| self.order_outcome(*account, *id)).collect();
                Some(Ok(ReplyBody::Cancel(CancelReply { outcomes, journal_offset })))
            }
            Pending::Close { account: index, intent, orders, positions, refused } => {
                let account = &self.accounts[*index];
                let records = || orders.iter().filter_map(|id| account.orders.get(id));
                let open = |status| matches!(status, OrderStatus::Submitted | OrderStatus::Unknown);
                if !due && records().any(|r| open(r.order.status)) {
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
            Pending::Modify { account, target, intent } => {
                self.modify_outcome(&self.accounts[*account], *target, *intent, journal_offset)
            }
            Pending::Connect { account } => {
                let account = &self.accounts[*self.index.get(account)?];
                let under_way = matches!(account.link, LinkStatus::Disconnected | LinkStatus::Reconciling);
                if under_way && !due {
                    return None;
                }
                let account = self.account_view(account, &self.setup());
                Some(Ok(ReplyBody::Account(Box::new(AccountReply { account, journal_offset }))))
            }
        }
    }

    fn modify_outcome(
        &self,
        account: &Account,
        target: TradeTarget,
        intent: Option<IntentId>,
        journal_offset: u64,
    ) -> Option<Result<ReplyBody, Refusal>> {
        let setup = self.setup();
        if let Some(kept) = intent.and_then(|intent| account.terms_kept.get(&intent)) {
            return Some(Err(terms_kept(target, &kept.reason, kept.code)));
        }
        let waits = |by: Option<IntentId>| intent.is_some() && by == intent;
        let reply = match target {
            TradeTarget::Order(id) => {
                let order = &account.orders.get(&id)?.order;
                if waits(order.modified_by) {
                    return None;
                }
                let order = OrderView::new(order, setup.instrument(order.instrument));
                ModifyReply::Order { order, journal_offset }
            }
            TradeTarget::Position(id) => match account.positions.get(&id) {
                Some(position) if waits(position.modified_by) => return None,
                Some(position) => {
                    let position = account.position_view(position, &setup, &self.market);
                    ModifyReply::Position { position, journal_offset }
                }
                None => return Some(Err(terms_kept(target, ENDED_BEFORE, None))),
            },
        };
        Some(Ok(ReplyBody::Modify(Box::new(reply))))
    }

    pub(super) fn place_outcome(
        &self,
        index: usize,
        id: OrderId,
        journal_offset: u64,
    ) -> Option<Result<ReplyBody, Refusal>> {
        let setup = self.setup();
        let record = self.accounts[index].orders.get(&id)?;
        let order = &record.order;
        let instrument = setup.instrument(order.instrument);
        let reason = order.reason.as_deref();
        if order.status == OrderStatus::Canceled && reason == Some(NOT_SENT) && order.filled.is_zero() {
            let message = "the order was stopped before it was sent to its venue";
            return Some(Err(Refusal::new(ErrorCode::ConnectorError, NOT_SENT, message)
                .with("outcome", "not_started")
                .with("orderId", id.to_string())));
        }
        match order.status {
            OrderStatus::Submitted
            | OrderStatus::Initialized
            | OrderStatus::Unknown
            | OrderStatus::PendingCancel => None,
            OrderStatus::Rejected => {
                let reason = order.reason.clone().unwrap_or_default();
                let message = format!("the venue rejected the order: {reason}");
                let refusal = venue_rejected(message, &reason, order.venue_code);
                Some(Err(refusal.with("orderId", id.to_string())))
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
        let order = account.orders.get(&id).map(|r| &r.order);
        let not_sent = order.is_some_and(|o| o.reason.as_deref() == Some(NOT_SENT));
        let (state, reason) = match order.map(|o| o.status) {
            Some(OrderStatus::Canceled) if not_sent => (OutcomeState::NotSent, None),
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
            let order = account.orders.get(order).map(|r| &r.order);
            order.is_some_and(|o| o.position == Some(id) && o.status == OrderStatus::Filled)
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

/// The terms that were asked for did not come about.
fn terms_kept(target: TradeTarget, reason: &str, code: Option<i64>) -> Refusal {
    match target {
        _ if reason == NOT_SENT => {
            let message = "the new terms were stopped before they were sent to their venue";
            Refusal::new(ErrorCode::ConnectorError, NOT_SENT, message).with("outcome", "not_started")
        }
        _ if reason != ENDED_BEFORE => {
            let message = format!("the venue keeps the terms as they are: {reason}");
            venue_rejected(message, reason, code)
        }
        TradeTarget::Order(id) => {
            let message = format!("order {id} ended before its venue took the new terms");
            Refusal::new(ErrorCode::Conflict, "ORDER_TERMINAL", message).with("orderId", id.to_string())
        }
        TradeTarget::Position(id) => {
            let message = format!("position {id} was closed before its venue took the new levels");
            Refusal::new(ErrorCode::Conflict, "POSITION_CLOSED", message).with("positionId", id.to_string())
        }
    }
}

/// A venue's refusal: its reason, and the number if it gave one, which tells whether to try again.
fn venue_rejected(message: String, reason: &str, code: Option<i64>) -> Refusal {
    let refusal = Refusal::new(ErrorCode::ConnectorError, "VENUE_REJECTED", message)
        .with("venueReason", reason)
        .with("outcome", "not_started");
    match code {
        None => refusal,
        Some(number) if retcode::is_retryable(number) => refusal.with("venueCode", number).retryable(),
        Some(number) => refusal.with("venueCode", number),
    }
}

/// The venue has not answered in time.
fn timed_out(what: &Pending) -> Refusal {
    let message = "the venue has not answered within 5 s: look at the order before you try again";
    let refusal = Refusal::new(ErrorCode::Timeout, "VENUE_SILENT", message)
        .retryable()
        .with("outcome", "may_have_executed");
    match what {
        Pending::Place { order, .. } | Pending::Modify { target: TradeTarget::Order(order), .. } => {
            refusal.with("orderId", order.to_string())
        }
        _ => refusal,
    }
}
