//! New terms of resting orders and protective levels of positions.

use super::{
    broker::{QuoteKind, Venue, VenueOut},
    triggers::Trigger,
};
use crate::domain::{
    id::{OrderId, PositionId},
    instrument::Price,
    message::{ModifyTarget, VenueModify, VenueReport},
    order::{OrderType, Stop},
    time::UnixNanos,
};

impl Venue {
    /// Gives an order or a position the terms that are asked for, or says why it keeps its own.
    pub(super) fn modify(&mut self, now: UnixNanos, terms: &VenueModify, out: &mut VenueOut) {
        let index = self.index.get(&terms.account).copied();
        let done = match (index, &terms.target) {
            (None, _) => Err("ACCOUNT_UNKNOWN"),
            (Some(_), _) if !self.is_open(now, terms.instrument) => Err("MARKET_CLOSED"),
            (Some(index), ModifyTarget::Order(id)) => self.modify_order(index, *id, terms),
            (Some(index), ModifyTarget::Position { id, .. }) => self.modify_position(index, *id, terms),
        };
        let (account, target) = (terms.account.clone(), terms.target.clone());
        match done {
            Err(reason) => {
                out.reports.push(VenueReport::ModifyRejected { account, target, reason: reason.to_owned() });
            }
            Ok(()) => {
                out.reports.push(VenueReport::Modified(terms.clone()));
                let fed_by_bars = self.markets[terms.instrument.index()].fed_by_bars;
                if !fed_by_bars {
                    self.match_market(now, terms.instrument, QuoteKind::Tick, out);
                }
            }
        }
    }

    fn modify_order(&mut self, index: usize, id: OrderId, terms: &VenueModify) -> Result<(), &'static str> {
        let order = self.accounts[index].orders.get_mut(&id).ok_or("ORDER_UNKNOWN")?;
        let (OrderType::Limit, Some(was)) = (order.order_type, order.price) else {
            return Err("ORDER_TYPE_UNSUPPORTED");
        };
        let (volume, price) = (terms.volume.unwrap_or(order.volume), terms.price.unwrap_or(was));
        let held = order.position.and_then(|held| self.accounts[index].positions.get(&held));
        if held.is_some_and(|held| volume > held.volume) {
            return Err("POSITION_MISMATCH");
        }
        let order = self.accounts[index].orders.get_mut(&id).expect("looked up above");
        (order.volume, order.price) = (volume, Some(price));
        (order.stop_loss, order.take_profit) = (terms.stop_loss, terms.take_profit);
        let (side, trigger) = (order.side, Trigger::limit(index, id));
        let triggers = &mut self.markets[terms.instrument.index()].triggers;
        triggers.remove(trigger, side, was);
        triggers.add(trigger, side, price);
        Ok(())
    }

    fn modify_position(
        &mut self,
        index: usize,
        id: PositionId,
        terms: &VenueModify,
    ) -> Result<(), &'static str> {
        let before = self.accounts[index].positions.get(&id).ok_or("POSITION_UNKNOWN")?.clone();
        self.unprotect(index, &before);
        let position = self.accounts[index].positions.get_mut(&id).expect("looked up above");
        position.stop_loss = price_of(terms.stop_loss);
        position.take_profit = price_of(terms.take_profit);
        let after = position.clone();
        self.protect(index, &after);
        Ok(())
    }
}

/// A position's level is a price: what it is a distance from has happened.
const fn price_of(stop: Option<Stop>) -> Option<Price> {
    match stop {
        Some(Stop::At(price)) => Some(price),
        _ => None,
    }
}
