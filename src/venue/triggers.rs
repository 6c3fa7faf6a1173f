//! Resting orders and protective levels by price, so that a quote touches only what it triggers (EX01).

use crate::domain::{
    id::{OrderId, PositionId},
    instrument::Price,
    market::Quote,
    message::VenueOrder,
    order::{OrderType, Side},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is triggered. Orders by age: the number, then the kind, decides who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trigger {
    pub account: usize,
    pub number: u64,
    pub kind: TriggerKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TriggerKind {
    Limit,
    /// Of an order: a stop, a stop-limit or a trailing stop.
    Stop,
    StopLoss,
    TakeProfit,
}

impl Trigger {
    pub(super) const fn limit(account: usize, order: OrderId) -> Self {
        Self { account, number: order.0, kind: TriggerKind::Limit }
    }

    pub(super) const fn stop(account: usize, order: OrderId) -> Self {
        Self { account, number: order.0, kind: TriggerKind::Stop }
    }

    pub(super) const fn stop_loss(account: usize, position: PositionId) -> Self {
        Self { account, number: position.0, kind: TriggerKind::StopLoss }
    }

    pub(super) const fn take_profit(account: usize, position: PositionId) -> Self {
        Self { account, number: position.0, kind: TriggerKind::TakeProfit }
    }
}

/// The triggers of one instrument: which side's price must come how.
#[derive(Debug, Clone, Default)]
pub(super) struct TriggerBook {
    ask_at_most: BTreeSet<(Price, Trigger)>,
    ask_at_least: BTreeSet<(Price, Trigger)>,
    bid_at_most: BTreeSet<(Price, Trigger)>,
    bid_at_least: BTreeSet<(Price, Trigger)>,
    trails: Trails,
}

/// Trailing stops by the best price that each has seen, so that a quote touches only those that it pulls.
#[derive(Debug, Clone, Default)]
struct Trails {
    seen: BTreeMap<(usize, OrderId), Price>,
    /// Pulled by an ask below.
    buys: BTreeSet<(Price, usize, OrderId)>,
    /// Pulled by a bid above.
    sells: BTreeSet<(Price, usize, OrderId)>,
}

impl Trails {
    fn side(&mut self, side: Side) -> &mut BTreeSet<(Price, usize, OrderId)> {
        match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        }
    }

    fn add(&mut self, account: usize, order: OrderId, side: Side, seen: Price) {
        self.seen.insert((account, order), seen);
        self.side(side).insert((seen, account, order));
    }

    fn remove(&mut self, account: usize, order: OrderId, side: Side) {
        if let Some(seen) = self.seen.remove(&(account, order)) {
            self.side(side).remove(&(seen, account, order));
        }
    }
}

impl TriggerBook {
    /// The set that a trigger belongs to. `side` is the order's, or the position's.
    fn set(&mut self, kind: TriggerKind, side: Side) -> &mut BTreeSet<(Price, Trigger)> {
        match (kind, side) {
            (TriggerKind::Limit, Side::Buy) | (TriggerKind::TakeProfit, Side::Sell) => &mut self.ask_at_most,
            (TriggerKind::StopLoss, Side::Sell) | (TriggerKind::Stop, Side::Buy) => &mut self.ask_at_least,
            (TriggerKind::StopLoss, Side::Buy) | (TriggerKind::Stop, Side::Sell) => &mut self.bid_at_most,
            (TriggerKind::Limit, Side::Sell) | (TriggerKind::TakeProfit, Side::Buy) => &mut self.bid_at_least,
        }
    }

    /// Waits for what an order waits for. A trailing stop looks at the next quote in any case.
    pub(super) fn rest(&mut self, account: usize, order: &VenueOrder) {
        let unseen = match order.side {
            Side::Buy => Price(i64::MAX),
            Side::Sell => Price(i64::MIN),
        };
        self.rest_seen(account, order, unseen);
    }

    /// The same of a trailing stop whose trigger was worked out at the price `seen`.
    pub(super) fn rest_seen(&mut self, account: usize, order: &VenueOrder, seen: Price) {
        if let Some((trigger, price)) = Self::trigger_of(account, order) {
            self.add(trigger, order.side, price);
        }
        if order.order_type == OrderType::TrailingStop {
            self.trails.add(account, order.order, order.side, seen);
        }
    }

    /// No longer waits for it.
    pub(super) fn forget(&mut self, account: usize, order: &VenueOrder) {
        if let Some((trigger, price)) = Self::trigger_of(account, order) {
            self.remove(trigger, order.side, price);
        }
        if order.order_type == OrderType::TrailingStop {
            self.trails.remove(account, order.order, order.side);
        }
    }

    fn trigger_of(account: usize, order: &VenueOrder) -> Option<(Trigger, Price)> {
        match order.order_type {
            OrderType::Market => None,
            OrderType::Limit => Some((Trigger::limit(account, order.order), order.price?)),
            OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop => {
                Some((Trigger::stop(account, order.order), order.stop_price?))
            }
        }
    }

    /// Whether anything trails.
    pub(super) fn has_trails(&self) -> bool {
        !self.trails.seen.is_empty()
    }

    /// Whether a quote pulls a trailing stop.
    pub(super) fn trails_at(&self, quote: Quote) -> bool {
        self.trails.sells.first().is_some_and(|(seen, ..)| *seen < quote.bid)
            || self.trails.buys.last().is_some_and(|(seen, ..)| *seen > quote.ask)
    }

    /// The trailing stops that a quote pulls, by account and age.
    pub(super) fn pulled(&self, quote: Quote) -> Vec<(usize, OrderId)> {
        let sells = self.trails.sells.iter().take_while(|(seen, ..)| *seen < quote.bid);
        let buys = self.trails.buys.iter().rev().take_while(|(seen, ..)| *seen > quote.ask);
        let mut pulled: Vec<(usize, OrderId)> = sells.chain(buys).map(|(_, a, order)| (*a, *order)).collect();
        pulled.sort_unstable();
        pulled
    }

    pub(super) fn add(&mut self, trigger: Trigger, side: Side, price: Price) {
        self.set(trigger.kind, side).insert((price, trigger));
    }

    pub(super) fn remove(&mut self, trigger: Trigger, side: Side, price: Price) {
        self.set(trigger.kind, side).remove(&(price, trigger));
    }

    /// Everything that the quote triggers, oldest first, with its trigger price.
    pub(super) fn due(&self, quote: Quote, due: &mut Vec<(Trigger, Price)>) {
        due.clear();
        let flip = |(price, trigger): &(Price, Trigger)| (*trigger, *price);
        due.extend(self.ask_at_most.iter().rev().take_while(|(p, _)| *p >= quote.ask).map(flip));
        due.extend(self.ask_at_least.iter().take_while(|(p, _)| *p <= quote.ask).map(flip));
        due.extend(self.bid_at_most.iter().rev().take_while(|(p, _)| *p >= quote.bid).map(flip));
        due.extend(self.bid_at_least.iter().take_while(|(p, _)| *p <= quote.bid).map(flip));
        due.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of a limit order and the two levels of a position a quote triggers.
    fn check(side: Side, bid: i64, ask: i64, expected: &[TriggerKind]) {
        let mut book = TriggerBook::default();
        let (limit, loss, profit) = match side {
            Side::Buy => (95, 90, 110),
            Side::Sell => (105, 110, 90),
        };
        book.add(Trigger::limit(0, OrderId(1)), side, Price(limit));
        book.add(Trigger::stop_loss(0, PositionId(2)), side, Price(loss));
        book.add(Trigger::take_profit(0, PositionId(2)), side, Price(profit));
        let mut due = Vec::new();
        book.due(Quote { bid: Price(bid), ask: Price(ask) }, &mut due);
        assert_eq!(due.iter().map(|(t, _)| t.kind).collect::<Vec<_>>(), expected, "{side:?} {bid}/{ask}");
    }

    #[test]
    fn ex01_buys_look_at_ask_and_longs_are_closed_at_bid() {
        use TriggerKind::{Limit, StopLoss, TakeProfit};
        check(Side::Buy, 99, 101, &[]);
        check(Side::Buy, 94, 96, &[]);
        check(Side::Buy, 93, 95, &[Limit]);
        check(Side::Buy, 90, 92, &[Limit, StopLoss]);
        check(Side::Buy, 109, 111, &[]);
        check(Side::Buy, 110, 112, &[TakeProfit]);
    }

    #[test]
    fn ex01_sells_look_at_bid_and_shorts_are_closed_at_ask() {
        use TriggerKind::{Limit, StopLoss, TakeProfit};
        check(Side::Sell, 104, 106, &[]);
        check(Side::Sell, 105, 107, &[Limit]);
        check(Side::Sell, 107, 109, &[Limit]);
        check(Side::Sell, 108, 110, &[Limit, StopLoss]);
        check(Side::Sell, 89, 91, &[]);
        check(Side::Sell, 88, 90, &[TakeProfit]);
    }
}
