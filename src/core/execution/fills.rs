//! What a fill does to orders, positions and balance, and what is told of it.

use super::{Desk, ENDED_BEFORE, transition};
use crate::core::ledger;
use crate::domain::{
    id::{IntentId, OrderId, PositionId},
    instrument::Volume,
    ledger::EntryKind,
    message::{FillView, Mark, ModifyTarget, TradeClosed, TradeExecuted, VenueFill},
    order::{Filling, Order, OrderEvent, OrderStatus, OrderType, Origin, TimeInForce},
    position::{Fill, FillReason, Position},
    time::MILLI_NS,
};
use rust_decimal::Decimal;

impl Desk<'_> {
    pub(super) fn fill(&mut self, fill: &VenueFill) {
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
        self.remember_names(fill);
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
            self.end_terms_of(order_id);
            self.archive(order_id);
        }
    }

    /// A fill that is booked by an operator's word gets the names that the venue has for it.
    pub(super) fn confirmed(&mut self, id: OrderId, volume: Volume, venue_fill: &str, venue_position: &str) {
        let Some(record) = self.account.orders.get_mut(&id) else { return };
        record.unconfirmed = record.unconfirmed.less(volume);
        let Some(booked) = record.fills.iter().find(|fill| fill.reason == FillReason::Resolved) else {
            return;
        };
        let session = &mut self.account.session;
        session.fills.insert(venue_fill.to_owned(), booked.id);
        session.last_fill = Some(venue_fill.to_owned());
        if let Some(position) = self.account.positions.get_mut(&booked.position) {
            position.venue_position = Some(venue_position.to_owned());
            session.positions.insert(venue_position.to_owned(), position.id);
        }
    }

    /// Keeps what the venue calls the fill and its position (LV01).
    fn remember_names(&mut self, fill: &VenueFill) {
        let session = &mut self.account.session;
        if let Some(name) = &fill.venue_fill {
            session.fills.insert(name.clone(), fill.fill);
            session.last_fill = Some(name.clone());
        }
        let Some(name) = &fill.venue_position else { return };
        if fill.position_volume.is_zero() {
            session.positions.remove(name);
        } else {
            session.positions.insert(name.clone(), fill.position);
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
        let opener = self.account.orders.get(&OrderId(fill.position.0)).map(|r| r.order.intent_id);
        let order = Order {
            id,
            client_order_id: None,
            intent_id: position.map(|p| p.intent_id).or(opener).unwrap_or(IntentId(0)),
            account: self.account.id().clone(),
            instrument: fill.instrument,
            side: fill.side,
            order_type: OrderType::Market,
            volume: fill.volume,
            filled: Volume::ZERO,
            price: None,
            stop_price: None,
            trail: None,
            reference_price: level.or(Some(fill.price)),
            stop_loss: None,
            take_profit: None,
            filled_tick_steps: 0,
            tif: TimeInForce::Gtc,
            expires_at: None,
            filling: Filling::Ioc,
            post_only: false,
            triggered: false,
            position: Some(fill.position),
            group: None,
            status: OrderStatus::Accepted,
            version: 1,
            origin: position.map_or(Origin::Risk, |p| p.origin),
            created_at: self.now,
            updated_at: self.now,
            reason: Some(reason_name(fill.reason).to_owned()),
            venue_code: None,
            ended_by: None,
            modified_by: None,
            asked: None,
            venue_order: None,
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
        self.touched.order(self.index, id);
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
        self.touched.position(self.index, fill.position);
        let (volume, instrument) = (fill.volume, fill.instrument);
        if fill.closes {
            let Some(position) = self.account.positions.get_mut(&fill.position) else {
                self.out.marks.push(Mark::OrphanReport);
                return;
            };
            let (side, cost) = (position.side, position.cost_of(volume));
            position.averaged = position.averaged.map(|all| all - cost);
            position.volume = fill.position_volume;
            position.margin = fill.position_margin;
            position.commission += fill.commission;
            position.version += 1;
            self.account.exposure.change_at_cost(instrument, side, volume, cost, false);
            return;
        }
        let cost = i128::from(fill.price.0) * i128::from(volume.0);
        self.account.exposure.change_at_cost(instrument, fill.side, volume, cost, true);
        if let Some(position) = self.account.positions.get_mut(&fill.position) {
            position.averaged = Some(position.cost() + cost);
            position.volume = fill.position_volume;
            position.margin = fill.position_margin;
            position.commission += fill.commission;
            position.version += 1;
            return;
        }
        let given = &self.account.orders[&order].order;
        let position = Position {
            id: fill.position,
            instrument,
            side: fill.side,
            volume: fill.position_volume,
            open_price: fill.price,
            averaged: None,
            stop_loss: fill.stop_loss,
            take_profit: fill.take_profit,
            margin: fill.position_margin,
            commission: fill.commission,
            opened_at: fill.ts,
            version: 1,
            origin: given.origin,
            intent_id: given.intent_id,
            venue_position: fill.venue_position.clone(),
            modified_by: None,
        };
        self.account.positions.insert(fill.position, position);
    }

    /// Tells of a fill, and of the position that it made smaller.
    fn executed(&mut self, id: OrderId, fill: &VenueFill) {
        let record = &self.account.orders[&id];
        let order = &record.order;
        let instrument = self.setup.instrument(fill.instrument);
        let view = FillView::new(record.fills.last().expect("a fill was just recorded"), instrument);
        self.out.fills.push(view.clone());
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
        if position.volume.is_zero() {
            self.touched.closed(position.clone());
        }
        self.out.events.push(
            TradeClosed { account_id, intent_id, position, fills: vec![view], reason: fill.reason }.into(),
        );
        self.forget_if_closed(fill.position);
    }

    fn forget_if_closed(&mut self, id: PositionId) {
        if self.account.positions.get(&id).is_some_and(|p| p.volume.is_zero())
            && let Some(Position { modified_by: Some(intent), venue_position: venue, .. }) =
                self.account.positions.remove(&id)
        {
            self.terms_kept(&ModifyTarget::Position { id, venue }, intent, ENDED_BEFORE, None);
        }
    }
}

const fn reason_name(reason: FillReason) -> &'static str {
    match reason {
        FillReason::Order => "order",
        FillReason::StopLoss => "stop_loss",
        FillReason::TakeProfit => "take_profit",
        FillReason::StopOut => "stop_out",
        FillReason::Reconciled => "reconciled",
        FillReason::Resolved => "resolved",
    }
}
