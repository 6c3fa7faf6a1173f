//! New terms of resting orders and protective levels of positions.

use super::{
    broker::{QuoteKind, Venue, VenueOut},
    orders::POST_ONLY_WOULD_CROSS,
};
use crate::domain::{
    id::{OrderId, PositionId},
    instrument::Price,
    message::{Mark, ModifyTarget, VenueModify, VenueReport},
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
            (Some(index), ModifyTarget::Order(id)) => self.modify_order(now, index, *id, terms),
            (Some(index), ModifyTarget::Position { id, .. }) => self.modify_position(index, *id, terms),
        };
        let (account, target) = (terms.account.clone(), terms.target.clone());
        match done {
            Err(reason) => {
                if reason == POST_ONLY_WOULD_CROSS {
                    out.marks.push(Mark::PostOnlyRefused);
                }
                out.reports.push(VenueReport::ModifyRejected {
                    account,
                    target,
                    reason: reason.to_owned(),
                    code: None,
                });
            }
            Ok(stop_price) => {
                let stop_price = stop_price.or(terms.stop_price);
                out.reports.push(VenueReport::Modified(VenueModify { stop_price, ..terms.clone() }));
                let fed_by_bars = self.markets[terms.instrument.index()].fed_by_bars;
                if !fed_by_bars {
                    self.match_market(now, terms.instrument, QuoteKind::Tick, out);
                }
            }
        }
    }

    /// The trigger that it has then, if it is a stop.
    fn modify_order(
        &mut self,
        now: UnixNanos,
        index: usize,
        id: OrderId,
        terms: &VenueModify,
    ) -> Result<Option<Price>, &'static str> {
        let was = self.accounts[index].orders.get(&id).ok_or("ORDER_UNKNOWN")?.clone();
        if was.order_type == OrderType::Market {
            return Err("ORDER_TYPE_UNSUPPORTED");
        }
        let mut order = was.clone();
        order.volume = terms.volume.unwrap_or(was.volume);
        order.price = terms.price.or(was.price);
        order.stop_price = terms.stop_price.or(was.stop_price);
        (order.stop_loss, order.take_profit) = (terms.stop_loss, terms.take_profit);
        if let (Some(trail), OrderType::TrailingStop) = (terms.trail, was.order_type) {
            // it trails by the new distance from now on, and never loosens (EX09)
            let market = self.markets[was.instrument.index()].quote.map(|quote| quote.price_for(was.side));
            let trigger = order.stop_price.ok_or("PRICE_MISSING")?;
            order.trail = Some(trail);
            order.stop_price = Some(market.map_or(trigger, |at| trail.follow(was.side, trigger, at)));
        }
        if let Some(lifetime) = terms.lifetime {
            (order.tif, order.expires_at) = (lifetime.tif, lifetime.expires_at);
        }
        let held = order.position.and_then(|held| self.accounts[index].positions.get(&held));
        if held.is_some_and(|held| order.volume > held.volume) {
            return Err("POSITION_MISMATCH");
        }
        if order.expires_at.is_some_and(|at| at <= now) {
            return Err("EXPIRY_IN_PAST");
        }
        if order.post_only && order.order_type == OrderType::Limit && self.would_cross(now, &order) {
            return Err(POST_ONLY_WOULD_CROSS);
        }
        let waits = self.markets[was.instrument.index()].waiting.contains(&(index, id));
        self.remove_order(index, id);
        let stop_price = order.stop_price;
        self.enter(index, order, waits);
        Ok(stop_price)
    }

    fn modify_position(
        &mut self,
        index: usize,
        id: PositionId,
        terms: &VenueModify,
    ) -> Result<Option<Price>, &'static str> {
        let before = self.accounts[index].positions.get(&id).ok_or("POSITION_UNKNOWN")?.clone();
        self.unprotect(index, &before);
        let position = self.accounts[index].positions.get_mut(&id).expect("looked up above");
        position.stop_loss = price_of(terms.stop_loss);
        position.take_profit = price_of(terms.take_profit);
        let after = position.clone();
        self.protect(index, &after);
        Ok(None)
    }
}

/// A position's level is a price: what it is a distance from has happened.
const fn price_of(stop: Option<Stop>) -> Option<Price> {
    match stop {
        Some(Stop::At(price)) => Some(price),
        _ => None,
    }
}
