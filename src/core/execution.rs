//! Orders on their way: sent when approved, moved by the venue's reports, ended.
//!
//! Takes only what `risk` approved; never asks why.

use super::{
    RiskApproved, Ticket,
    account::{Account, OrderRecord},
    ledger,
    market::Market,
};
use crate::domain::{
    config::Setup,
    id::{IntentId, OrderId, PositionId},
    instrument::Volume,
    ledger::EntryKind,
    message::{
        ArchivedOrder, FillView, Mark, OrderView, Outputs, TradeCanceled, TradeClosed, TradeExecuted,
        TradeRejected, VenueFill, VenueOrder, VenueReport, VenueRequest,
    },
    order::{Filling, Order, OrderEvent, OrderStatus, OrderType, Origin, Side, TimeInForce},
    position::{Fill, FillReason, Position},
    time::{MILLI_NS, UnixNanos},
};
use rust_decimal::Decimal;

/// The state that execution changes, and what it reads.
pub(crate) struct Desk<'a> {
    pub account: &'a mut Account,
    pub setup: &'a Setup,
    pub market: &'a Market,
    pub now: UnixNanos,
    pub out: &'a mut Outputs,
}

/// Who gave an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Giver {
    pub intent: IntentId,
    pub origin: Origin,
    pub strategy: Option<usize>,
}

impl Desk<'_> {
    /// Sends an approved order.
    pub(crate) fn submit(&mut self, approved: RiskApproved<Ticket>, giver: Giver) -> OrderId {
        let ticket = approved.into_inner();
        let id = self.account.next_order();
        let mut order = Order {
            id,
            client_order_id: ticket.client_order_id,
            intent_id: giver.intent,
            account: self.account.id().clone(),
            instrument: ticket.instrument,
            side: ticket.side,
            order_type: ticket.order_type,
            volume: ticket.volume,
            filled: Volume::ZERO,
            price: ticket.price,
            reference_price: ticket.reference_price,
            stop_loss: ticket.stop_loss,
            take_profit: ticket.take_profit,
            filled_tick_steps: 0,
            tif: ticket.tif,
            filling: ticket.filling,
            position: ticket.position,
            status: OrderStatus::Initialized,
            version: 1,
            origin: giver.origin,
            created_at: self.now,
            updated_at: self.now,
            reason: ticket.reason,
            ended_by: None,
        };
        transition(&mut order, OrderEvent::Submit, self.now, self.out);
        self.out.venue.push(VenueRequest::Submit(VenueOrder {
            account: order.account.clone(),
            order: id,
            instrument: order.instrument,
            side: order.side,
            order_type: order.order_type,
            volume: order.volume,
            price: order.price,
            stop_loss: order.stop_loss,
            take_profit: order.take_profit,
            filling: order.filling,
            position: order.position,
        }));
        self.record(order, giver.strategy);
        id
    }

    fn record(&mut self, order: Order, strategy: Option<usize>) {
        let id = order.id;
        if let Some(client) = &order.client_order_id {
            self.account.client_ids.insert(client.clone(), id);
        }
        self.account.intents.entry(order.intent_id).or_insert(id);
        if !order.status.is_terminal() {
            self.account.open_orders.insert(id);
        }
        self.account.orders.insert(id, OrderRecord { order, fills: Vec::new(), strategy });
    }

    /// Asks the venue to cancel. False if the order is not open or already on its way out.
    pub(crate) fn request_cancel(&mut self, id: OrderId, intent: Option<IntentId>) -> bool {
        if !self.account.open_orders.contains(&id) {
            return false;
        }
        let order = &mut self.account.orders.get_mut(&id).expect("open orders are recorded").order;
        if order.status.next(OrderEvent::RequestCancel).is_none() {
            return false;
        }
        transition(order, OrderEvent::RequestCancel, self.now, self.out);
        order.ended_by = intent;
        let account = order.account.clone();
        self.out.venue.push(VenueRequest::Cancel { account, order: id });
        true
    }

    /// Takes a report in. Reports about unknown orders are alarmed and change nothing.
    pub(crate) fn report(&mut self, report: &VenueReport) {
        match report {
            VenueReport::Accepted { order, .. } => {
                self.advance(*order, OrderEvent::Accept, None);
            }
            VenueReport::Rejected { order, reason, .. } => {
                if self.advance(*order, OrderEvent::Reject, Some(reason)) {
                    self.out.marks.push(Mark::OrderRejected);
                    self.rejected(*order, reason);
                    self.archive(*order);
                }
            }
            VenueReport::Canceled { order, reason, .. } => {
                if self.advance(*order, OrderEvent::Cancel, reason.as_deref()) {
                    self.canceled(*order);
                    self.archive(*order);
                }
            }
            VenueReport::CancelRejected { order, .. } => {
                // too late to cancel: its end was reported before
                let ended = self.account.orders.get(order).is_some_and(|r| r.order.status.is_terminal());
                if !ended {
                    self.advance(*order, OrderEvent::KeepResting, None);
                }
            }
            VenueReport::Filled(fill) => self.fill(fill),
        }
    }

    /// Moves an order along its table; false if it is unknown or may not move so.
    fn advance(&mut self, id: OrderId, event: OrderEvent, reason: Option<&str>) -> bool {
        let Some(record) = self.account.orders.get_mut(&id) else {
            self.out.marks.push(Mark::OrphanReport);
            return false;
        };
        if !transition(&mut record.order, event, self.now, self.out) {
            return false;
        }
        if let Some(reason) = reason {
            record.order.reason = Some(reason.to_owned());
        }
        if record.order.status.is_terminal() {
            self.account.open_orders.remove(&id);
        }
        true
    }

    fn rejected(&mut self, id: OrderId, reason: &str) {
        let order = &self.account.orders[&id].order;
        self.out.events.push(
            TradeRejected {
                intent_id: order.intent_id,
                order_id: Some(id),
                client_order_id: order.client_order_id.clone(),
                account_id: order.account.clone(),
                by: "venue".to_owned(),
                code: "VENUE_REJECTED".to_owned(),
                reason: reason.to_owned(),
                violations: Vec::new(),
            }
            .into(),
        );
    }

    fn canceled(&mut self, id: OrderId) {
        let order = &self.account.orders[&id].order;
        self.out.events.push(
            TradeCanceled {
                account_id: order.account.clone(),
                intent_id: order.ended_by.unwrap_or(order.intent_id),
                order: OrderView::new(order, self.setup.instrument(order.instrument)),
            }
            .into(),
        );
    }

    fn archive(&mut self, id: OrderId) {
        let record = &self.account.orders[&id];
        let instrument = self.setup.instrument(record.order.instrument);
        self.out.archived.push(ArchivedOrder {
            account: self.account.id().clone(),
            order_id: id,
            client_order_id: record.order.client_order_id.clone(),
            order: OrderView::new(&record.order, instrument),
            fills: record.fills.iter().map(|f| FillView::new(f, instrument)).collect(),
        });
    }

    fn fill(&mut self, fill: &VenueFill) {
        if fill.fill.0 <= self.account.last_fill {
            self.out.marks.push(Mark::DuplicateFill); // LV01
            return;
        }
        let order_id = match fill.order {
            Some(id) if self.account.orders.contains_key(&id) => id,
            Some(_) => {
                self.out.marks.push(Mark::OrphanReport);
                return;
            }
            None => self.venue_order(fill),
        };
        self.account.last_fill = fill.fill.0;
        self.fill_order(order_id, fill);
        self.fill_position(order_id, fill);
        ledger::post(
            self.account,
            EntryKind::Pnl,
            fill.realized_pnl,
            fill.fill.to_string(),
            self.now,
            self.out,
        );
        let commission = fill.commission;
        ledger::post(
            self.account,
            EntryKind::Commission,
            commission,
            fill.fill.to_string(),
            self.now,
            self.out,
        );
        self.account.mark(fill.instrument, self.setup, self.market);
        self.executed(order_id, fill);
        if self.account.orders[&order_id].order.status.is_terminal() {
            self.account.open_orders.remove(&order_id);
            self.archive(order_id);
        }
    }

    /// The order behind a fill that the venue made by itself: it belongs to the position's intent.
    fn venue_order(&mut self, fill: &VenueFill) -> OrderId {
        let id = self.account.next_order();
        let position = self.account.positions.get(&fill.position);
        let level = match fill.reason {
            FillReason::StopLoss => fill.stop_loss,
            FillReason::TakeProfit => fill.take_profit,
            _ => None,
        };
        let order = Order {
            id,
            client_order_id: None,
            intent_id: position_intent(position),
            account: self.account.id().clone(),
            instrument: fill.instrument,
            side: fill.side,
            order_type: OrderType::Market,
            volume: fill.volume,
            filled: Volume::ZERO,
            price: None,
            reference_price: level.or(Some(fill.price)),
            stop_loss: None,
            take_profit: None,
            filled_tick_steps: 0,
            tif: TimeInForce::Gtc,
            filling: Filling::Ioc,
            position: Some(fill.position),
            status: OrderStatus::Accepted,
            version: 1,
            origin: position.map_or(Origin::Risk, |p| p.origin),
            created_at: self.now,
            updated_at: self.now,
            reason: Some(reason_name(fill.reason).to_owned()),
            ended_by: None,
        };
        self.record(order, None);
        id
    }

    fn fill_order(&mut self, id: OrderId, fill: &VenueFill) {
        let record = self.account.orders.get_mut(&id).expect("looked up before");
        let order = &mut record.order;
        order.filled = Volume(order.filled.0 + fill.volume.0);
        order.filled_tick_steps += i128::from(fill.price.0) * i128::from(fill.volume.0);
        let event = if order.filled >= order.volume { OrderEvent::FillRest } else { OrderEvent::FillPart };
        transition(order, event, self.now, self.out);
        record.fills.push(Fill {
            id: fill.fill,
            order: id,
            position: fill.position,
            account: fill.account.clone(),
            instrument: fill.instrument,
            side: fill.side,
            volume: fill.volume,
            price: fill.price,
            commission: fill.commission,
            realized_pnl: fill.realized_pnl,
            reason: fill.reason,
            ts: fill.ts,
        });
    }

    fn fill_position(&mut self, order: OrderId, fill: &VenueFill) {
        if fill.closes {
            let Some(position) = self.account.positions.get_mut(&fill.position) else {
                self.out.marks.push(Mark::OrphanReport);
                return;
            };
            let (side, open) = (position.side, position.open_price);
            position.volume = fill.position_volume;
            position.margin = fill.position_margin;
            position.commission += fill.commission;
            position.version += 1;
            self.account.exposure.change(fill.instrument, side, open, fill.volume, false);
            return;
        }
        let given = &self.account.orders[&order].order;
        let position = Position {
            id: fill.position,
            instrument: fill.instrument,
            side: fill.side,
            volume: fill.position_volume,
            open_price: fill.price,
            stop_loss: fill.stop_loss,
            take_profit: fill.take_profit,
            margin: fill.position_margin,
            commission: fill.commission,
            opened_at: fill.ts,
            version: 1,
            origin: given.origin,
            intent_id: given.intent_id,
        };
        self.account.exposure.change(fill.instrument, fill.side, fill.price, fill.volume, true);
        self.account.positions.insert(fill.position, position);
    }

    /// Tells of a fill, and of the position that it made smaller.
    fn executed(&mut self, id: OrderId, fill: &VenueFill) {
        let record = &self.account.orders[&id];
        let order = &record.order;
        let instrument = self.setup.instrument(fill.instrument);
        let view = FillView::new(record.fills.last().expect("a fill was just recorded"), instrument);
        let slippage = order.reference_price.map_or(Decimal::ZERO, |reference| {
            let ticks = (fill.price.0 - reference.0) * fill.side.sign();
            crate::domain::money::from_grid(ticks, instrument.tick)
        });
        let intent_id = order.intent_id;
        self.out.events.push(
            TradeExecuted {
                trade_id: format!("t{}", fill.fill.0),
                fill_id: fill.fill,
                intent_id,
                order_id: id,
                position_id: fill.position,
                client_order_id: order.client_order_id.clone(),
                account_id: fill.account.clone(),
                symbol: instrument.symbol.clone(),
                side: fill.side,
                volume: view.volume,
                leaves_volume: instrument.lots(order.leaves()),
                price: view.price,
                commission: fill.commission,
                realized_pnl: fill.realized_pnl,
                slippage,
                risk_decision_id: format!("rd-{intent_id}"),
                timing_ms: fill.ts.since(order.created_at) / MILLI_NS,
                reason: fill.reason,
            }
            .into(),
        );
        if !fill.closes {
            return;
        }
        let Some(position) = self.account.positions.get(&fill.position) else { return };
        let position = self.account.position_view(position, self.setup, self.market);
        let account_id = fill.account.clone();
        self.out.events.push(
            TradeClosed { account_id, intent_id, position, fills: vec![view], reason: fill.reason }.into(),
        );
        self.forget_if_closed(fill.position);
    }

    fn forget_if_closed(&mut self, id: PositionId) {
        if self.account.positions.get(&id).is_some_and(|p| p.volume.is_zero()) {
            self.account.positions.remove(&id);
        }
    }
}

fn position_intent(position: Option<&Position>) -> IntentId {
    position.map_or(IntentId(0), |p| p.intent_id)
}

const fn reason_name(reason: FillReason) -> &'static str {
    match reason {
        FillReason::Order => "order",
        FillReason::StopLoss => "stop_loss",
        FillReason::TakeProfit => "take_profit",
        FillReason::StopOut => "stop_out",
    }
}

/// Moves an order along the table. An event that the table does not have is alarmed (OR01).
fn transition(order: &mut Order, event: OrderEvent, now: UnixNanos, out: &mut Outputs) -> bool {
    match order.status.next(event) {
        Some(next) => {
            order.status = next;
            order.version += 1;
            order.updated_at = now;
            true
        }
        None => {
            out.marks.push(Mark::IllegalTransition);
            false
        }
    }
}

/// The side that closes a position.
pub(crate) const fn closing_side(position: &Position) -> Side {
    position.side.opposite()
}
