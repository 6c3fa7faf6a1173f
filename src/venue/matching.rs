//! What a quote does to what waits for it: orders are decided, triggers fire, trailing stops follow.

use super::{
    broker::{QuoteKind, Venue, VenueOut},
    orders::{POST_ONLY_WOULD_CROSS, crosses},
    triggers::{Trigger, TriggerKind},
};
use crate::domain::{
    group::OrderGroup,
    id::{OrderId, PositionId},
    instrument::{InstrumentId, Price},
    market::Quote,
    message::{Mark, VenueReport},
    order::{Filling, OrderType, Side},
    position::FillReason,
    time::UnixNanos,
};

impl Venue {
    /// Fills what waits and what is triggered, until nothing more is. No fill outside sessions (OR09).
    pub(super) fn match_market(
        &mut self,
        now: UnixNanos,
        instrument: InstrumentId,
        kind: QuoteKind,
        out: &mut VenueOut,
    ) {
        let Some(quote) = self.markets[instrument.index()].quote else { return };
        if !self.is_tradable(now, instrument) {
            return;
        }
        let mut due = Vec::new();
        let mut waiting = std::mem::take(&mut self.markets[instrument.index()].waiting);
        let fed_by_bars = self.markets[instrument.index()].fed_by_bars;
        loop {
            for (index, order) in waiting.drain(..) {
                let from = out.reports.len();
                self.decide(now, index, order, quote, out);
                self.follow_groups(now, from, out);
            }
            self.markets[instrument.index()].triggers.due(quote, &mut due);
            let nothing_due = due.is_empty();
            for (trigger, price) in due.drain(..) {
                let from = out.reports.len();
                self.fire(now, trigger, price, quote, kind, out);
                self.follow_groups(now, from, out);
            }
            if !fed_by_bars {
                // what a fill has let in
                std::mem::swap(&mut waiting, &mut self.markets[instrument.index()].waiting);
            }
            if nothing_due && waiting.is_empty() {
                return;
            }
        }
    }

    /// An order meets the quote that decides on it: it fills, rests or ends.
    fn decide(&mut self, now: UnixNanos, index: usize, id: OrderId, quote: Quote, out: &mut VenueOut) {
        let Some(order) = self.accounts[index].orders.get(&id) else { return };
        let (side, limit) = (order.side, order.price.filter(|_| order.order_type == OrderType::Limit));
        let takes = limit.is_none_or(|limit| crosses(side, limit, quote));
        match (takes, order.post_only) {
            (true, false) => self.fill_order(now, index, id, quote.price_for(side), out),
            (true, true) => {
                out.marks.push(Mark::PostOnlyRefused);
                self.end_order(index, id, POST_ONLY_WOULD_CROSS, out);
            }
            (false, _) if order.filling == Filling::Return => {
                let order = order.clone();
                self.markets[order.instrument.index()].triggers.rest(index, &order);
            }
            (false, _) => self.end_order(index, id, "NOT_FILLED", out),
        }
    }

    /// Takes an order out of the book and tells why.
    pub(super) fn end_order(&mut self, index: usize, id: OrderId, reason: &str, out: &mut VenueOut) {
        if self.remove_order(index, id).is_some() {
            self.cancel_report(index, id, reason, out);
        }
    }

    /// One trigger fires, if it is still there: a fill before it may have removed it.
    fn fire(
        &mut self,
        now: UnixNanos,
        trigger: Trigger,
        level: Price,
        quote: Quote,
        kind: QuoteKind,
        out: &mut VenueOut,
    ) {
        // inside a bar the price passed the level; a tick or an open jumped to the quote (EX03, EX04)
        let price = |side: Side| if kind == QuoteKind::BarPath { level } else { quote.price_for(side) };
        let account = &self.accounts[trigger.account];
        let id = match trigger.kind {
            TriggerKind::Limit | TriggerKind::Stop => {
                let order = OrderId(trigger.number);
                let Some(waits) = account.orders.get(&order) else { return };
                let (side, exits) = (waits.side, waits.group.as_ref().is_some_and(OrderGroup::exits));
                match trigger.kind {
                    TriggerKind::Limit => {
                        let passed = exits && self.was_passed_before(kind, side.opposite(), level);
                        let price = if passed { level } else { price(side) };
                        self.fill_order(now, trigger.account, order, price, out);
                    }
                    _ => self.trigger_order(now, trigger.account, order, level, price(side), out),
                }
                return;
            }
            TriggerKind::StopLoss | TriggerKind::TakeProfit => PositionId(trigger.number),
        };
        let Some(position) = account.positions.get(&id) else { return };
        let (volume, side) = (position.volume, position.side);
        let passed = trigger.kind == TriggerKind::TakeProfit && self.was_passed_before(kind, side, level);
        let price = if passed { level } else { price(side.opposite()) };
        let reason = match trigger.kind {
            TriggerKind::StopLoss => FillReason::StopLoss,
            _ => FillReason::TakeProfit,
        };
        if reason == FillReason::StopLoss && price != level {
            out.marks.push(Mark::GapThroughStop);
        }
        self.close(now, trigger.account, id, volume, price, None, reason, out);
    }

    /// A stop meets its trigger: it is a market order from now on, or a limit order (EX03, EX07). `price` is
    /// the first that can be traded at.
    fn trigger_order(
        &mut self,
        now: UnixNanos,
        index: usize,
        id: OrderId,
        level: Price,
        price: Price,
        out: &mut VenueOut,
    ) {
        let Some(order) = self.accounts[index].orders.get(&id).cloned() else { return };
        out.reports.push(VenueReport::Triggered {
            account: order.account.clone(),
            order: id,
            stop_price: Some(level),
        });
        if order.order_type != OrderType::StopLimit {
            if price != level {
                out.marks.push(Mark::GapThroughStop);
            }
            self.fill_order(now, index, id, price, out);
            return;
        }
        self.forget_trigger(index, &order);
        let limit = order.price.expect("a stop-limit order has a price");
        let order = self.accounts[index].orders.get_mut(&id).expect("looked up above");
        order.order_type = OrderType::Limit;
        let takes = match order.side {
            Side::Buy => limit >= price,
            Side::Sell => limit <= price,
        };
        let (post_only, rests) = (order.post_only, order.filling == Filling::Return);
        match (takes, post_only) {
            (true, false) => self.fill_order(now, index, id, price, out),
            (true, true) => {
                out.marks.push(Mark::PostOnlyRefused);
                self.end_order(index, id, POST_ONLY_WOULD_CROSS, out);
            }
            (false, _) if rests => {
                let order = self.accounts[index].orders[&id].clone();
                if !self.hold_until_close(index, &order) {
                    self.markets[order.instrument.index()].triggers.rest(index, &order);
                }
            }
            (false, _) => self.end_order(index, id, "NOT_FILLED", out),
        }
    }

    /// Trailing stops follow a quote that could be traded at and triggered none of them (EX09). Inside a bar whose path nobody knows
    /// they wait for its close.
    pub(super) fn follow(
        &mut self,
        now: UnixNanos,
        instrument: InstrumentId,
        kind: QuoteKind,
        quote: Quote,
        out: &mut VenueOut,
    ) {
        let pulls = self.markets[instrument.index()].triggers.trails_at(quote);
        if pulls && self.is_tradable(now, instrument) && !self.trails_wait(kind) {
            self.trail(instrument, quote, out);
        }
    }

    /// Moves the trailing stops that this quote pulls; the sides and triggers of those that it moved.
    pub(super) fn trail(
        &mut self,
        instrument: InstrumentId,
        quote: Quote,
        out: &mut VenueOut,
    ) -> Vec<(Side, Price)> {
        let mut moves = Vec::new();
        let pulled = self.markets[instrument.index()].triggers.pulled(quote);
        for (index, id) in pulled {
            let order = self.accounts[index].orders.get_mut(&id).expect("what trails is in the book");
            let (Some(trail), Some(was)) = (order.trail, order.stop_price) else { continue };
            let stop_price = trail.follow(order.side, was, quote.price_for(order.side));
            let mut moved = order.clone();
            moved.stop_price = Some(stop_price);
            let was = std::mem::replace(order, moved.clone());
            let triggers = &mut self.markets[instrument.index()].triggers;
            triggers.forget(index, &was);
            triggers.rest_seen(index, &moved, quote.price_for(moved.side));
            if moved.stop_price != was.stop_price {
                out.marks.push(Mark::StopTrailed);
                let account = moved.account;
                out.reports.push(VenueReport::Trailed { account, order: id, stop_price });
                moves.push((moved.side, stop_price));
            }
        }
        moves
    }
}
