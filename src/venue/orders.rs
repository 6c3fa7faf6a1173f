//! Orders on their way in and out of the broker's book: taken or refused, cancelled, expired.

use super::{
    broker::{QuoteKind, Venue, VenueOut},
    deadlines::VenueDeadline,
    groups::GROUP_PARENT_ENDED,
};
use crate::domain::{
    id::{AccountId, OrderId},
    instrument::Price,
    market::Quote,
    message::{Mark, VenueOrder, VenueReport},
    order::{Filling, OrderType, Side},
    time::UnixNanos,
};

/// Why an order ended, or never began, that must not take liquidity (OR04).
pub(super) const POST_ONLY_WOULD_CROSS: &str = "POST_ONLY_WOULD_CROSS";

/// Whether an order of this side and limit would trade at once.
pub(super) fn crosses(side: Side, limit: Price, quote: Quote) -> bool {
    match side {
        Side::Buy => limit >= quote.ask,
        Side::Sell => limit <= quote.bid,
    }
}

/// Whether the order is decided at the next quote: it does not rest, or it must not take liquidity.
pub(super) fn meets_the_next_quote(order: &VenueOrder) -> bool {
    match order.order_type {
        OrderType::Market => true,
        OrderType::Limit => order.post_only || order.filling != Filling::Return,
        OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop => false,
    }
}

impl Venue {
    pub(super) fn submit(&mut self, now: UnixNanos, order: &VenueOrder, out: &mut VenueOut) {
        let rejected = |reason: &str| VenueReport::Rejected {
            account: order.account.clone(),
            order: order.order,
            reason: reason.to_owned(),
            code: None,
        };
        let Some(&index) = self.index.get(&order.account) else {
            out.reports.push(rejected("ACCOUNT_UNKNOWN"));
            return;
        };
        if let Some(reason) = self.refusal(now, index, order) {
            if reason == POST_ONLY_WOULD_CROSS {
                out.marks.push(Mark::PostOnlyRefused);
            }
            out.reports.push(rejected(reason));
            return;
        }
        out.reports.push(VenueReport::Accepted {
            account: order.account.clone(),
            order: order.order,
            venue_order: None,
        });
        self.join_group(index, order);
        self.enter(index, order.clone(), meets_the_next_quote(order));
        if self.is_held(index, order.order) {
            return;
        }
        if !self.markets[order.instrument.index()].fed_by_bars {
            self.match_market(now, order.instrument, QuoteKind::Tick, out);
        } else if order.order_type == OrderType::Market {
            out.marks.push(Mark::MarketOrderWaited);
        }
    }

    /// Puts an order into the book: it waits for the next quote, or for its price, or for another's fill.
    pub(super) fn enter(&mut self, index: usize, order: VenueOrder, waits: bool) {
        if let Some(at) = order.expires_at {
            self.deadlines.set(at, VenueDeadline::Expiry { account: index, order: order.order });
        }
        let held = self.is_held(index, order.order);
        let market = &mut self.markets[order.instrument.index()];
        if held {
            // nothing triggers it
        } else if waits {
            market.waiting.push((index, order.order));
        } else {
            market.triggers.rest(index, &order);
        }
        self.accounts[index].orders.insert(order.order, order);
    }

    /// Why the broker would not take an order.
    fn refusal(&mut self, now: UnixNanos, index: usize, order: &VenueOrder) -> Option<&'static str> {
        use OrderType::{Limit, Stop, StopLimit, TrailingStop};
        if self.accounts[index].orders.contains_key(&order.order) {
            return Some("DUPLICATE_ORDER");
        }
        let limited = matches!(order.order_type, Limit | StopLimit);
        let stopped = matches!(order.order_type, Stop | StopLimit | TrailingStop);
        if limited && order.price.is_none() || stopped && order.stop_price.is_none() {
            return Some("PRICE_MISSING");
        }
        if order.order_type == TrailingStop && order.trail.is_none() {
            return Some("TRAIL_MISSING");
        }
        if order.post_only && (!limited || order.filling != Filling::Return) {
            return Some("POST_ONLY_UNSUPPORTED");
        }
        if order.expires_at.is_some_and(|at| at <= now) {
            return Some("EXPIRY_IN_PAST");
        }
        if !self.is_open(now, order.instrument) {
            return Some("MARKET_CLOSED");
        }
        if self.lacks_parent(index, order) {
            return Some(GROUP_PARENT_ENDED);
        }
        if order.group.as_ref().is_some_and(|group| group.parent.is_some()) {
            return None; // it meets neither a position nor the market yet
        }
        let position = order.position.map(|id| self.accounts[index].positions.get(&id));
        match position {
            Some(None) => return Some("POSITION_UNKNOWN"),
            Some(Some(p)) if p.side == order.side || p.volume < order.volume => {
                return Some("POSITION_MISMATCH");
            }
            _ => {}
        }
        let takes = order.order_type == Limit && order.post_only && self.would_cross(now, order);
        takes.then_some(POST_ONLY_WOULD_CROSS)
    }

    /// Whether a limit order would trade at the present quote. On bars nobody knows before the next one.
    pub(super) fn would_cross(&mut self, now: UnixNanos, order: &VenueOrder) -> bool {
        let market = &self.markets[order.instrument.index()];
        let (Some(quote), Some(limit), false) = (market.quote, order.price, market.fed_by_bars) else {
            return false;
        };
        self.is_tradable(now, order.instrument) && crosses(order.side, limit, quote)
    }

    pub(super) fn cancel(&mut self, now: UnixNanos, account: &AccountId, order: OrderId, out: &mut VenueOut) {
        let from = out.reports.len();
        let known =
            self.index.get(account).copied().filter(|i| self.accounts[*i].orders.contains_key(&order));
        let report = match known {
            Some(index) => {
                self.remove_order(index, order);
                VenueReport::Canceled { account: account.clone(), order, reason: None }
            }
            None => VenueReport::CancelRejected {
                account: account.clone(),
                order,
                reason: "ORDER_UNKNOWN".to_owned(),
            },
        };
        out.reports.push(report);
        self.follow_groups(now, from, out);
    }

    /// Takes an order out of the book.
    pub(super) fn remove_order(&mut self, index: usize, id: OrderId) -> Option<VenueOrder> {
        let order = self.accounts[index].orders.remove(&id)?;
        if let Some(at) = order.expires_at {
            self.deadlines.drop(at, VenueDeadline::Expiry { account: index, order: id });
        }
        self.forget_trigger(index, &order);
        Some(order)
    }

    /// Takes what an order waits for out of the books.
    pub(super) fn forget_trigger(&mut self, index: usize, order: &VenueOrder) {
        let market = &mut self.markets[order.instrument.index()];
        market.waiting.retain(|waiting| *waiting != (index, order.order));
        market.triggers.forget(index, order);
    }

    // ---- deadlines ------------------------------------------------------------------------------

    /// When something is due without a request or a quote.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.deadlines.next()
    }

    /// Takes the next deadline at or before `now`.
    pub fn pop_deadline(&mut self, now: UnixNanos) -> Option<(UnixNanos, VenueDeadline)> {
        self.deadlines.pop(now)
    }

    /// Does what is due.
    pub fn deadline(&mut self, now: UnixNanos, deadline: VenueDeadline, out: &mut VenueOut) {
        let from = out.reports.len();
        match deadline {
            VenueDeadline::Expiry { account: index, order } => {
                if self.remove_order(index, order).is_some() {
                    out.marks.push(Mark::OrderExpired);
                    let account = self.accounts[index].id.clone();
                    out.reports.push(VenueReport::Expired { account, order });
                }
            }
        }
        self.follow_groups(now, from, out);
    }
}
