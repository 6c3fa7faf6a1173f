//! New terms of an order or a position, through the same table as new orders (RK09).

use super::{
    approved::{self, RiskApproved},
    facts::{AtStake, Circumstances, Facts, Level, at_stake_of_order, at_stake_of_position},
    table::{CHECKS, Modify, Verdict},
};
use crate::domain::{
    id::IntentId,
    instrument::{Instrument, Price},
    message::{ModifyTarget, PlaceOrder, StopLevel, TrailBy, VenueModify, VenueModifyRequest, Violation},
    money::Money,
    order::{Order, OrderType, Side, Stop, Trail},
    position::Position,
    time::UnixNanos,
};

/// What is modified, and the terms that it shall have, as an order would ask for them: of a position,
/// one that would open it now.
pub(crate) struct Terms<'a> {
    pub order: PlaceOrder,
    pub target: ModifyTarget,
    pub before: Before<'a>,
    /// The margin that the order holds back as it is.
    pub reserved: Money,
}

/// The terms as they are.
pub(crate) enum Before<'a> {
    Order(&'a Order),
    Position(&'a Position),
}

/// Runs the checks that concern new terms. The first violation decides.
pub(crate) fn assess(
    around: Circumstances<'_>,
    terms: &Terms<'_>,
    intent: IntentId,
) -> Result<RiskApproved<VenueModifyRequest>, Vec<Violation>> {
    let mut facts = Facts::new(around, &terms.order);
    facts.reserved_before = terms.reserved;
    facts.held_by = match terms.before {
        Before::Order(order) => around.account.holder_of(order),
        Before::Position(_) => None,
    };
    facts.at_stake = match terms.before {
        Before::Order(_) if facts.held_by.is_some() => AtStake::default(), // no price reaches it
        Before::Order(order) => at_stake_of_order(order),
        Before::Position(position) => at_stake_of_position(position),
    };
    let adds_risk = adds_risk(&facts, &terms.before);
    let applies = |modify: Modify| modify == Modify::Always || modify == Modify::Risk && adds_risk;
    let violations: Vec<Violation> = CHECKS
        .iter()
        .filter(|row| applies(row.modify))
        .filter_map(|row| match (row.test)(&facts) {
            Verdict::Fail(violation) => Some(*violation),
            _ => None,
        })
        .collect();
    match facts.ticket().filter(|_| violations.is_empty()) {
        Some(ticket) => {
            let of_order = matches!(terms.target, ModifyTarget::Order(_));
            let terms = VenueModify {
                account: terms.order.account.clone(),
                target: terms.target.clone(),
                instrument: ticket.instrument,
                volume: of_order.then_some(ticket.volume),
                price: ticket.price.filter(|_| of_order),
                stop_price: ticket.stop_price.filter(|_| of_order),
                trail: ticket.trail.filter(|_| of_order),
                // as it was, unless it changes: old venues know of none
                lifetime: match terms.before {
                    Before::Order(order)
                        if (order.tif, order.expires_at)
                            != (ticket.lifetime.tif, ticket.lifetime.expires_at) =>
                    {
                        Some(ticket.lifetime)
                    }
                    _ => None,
                },
                stop_loss: ticket.stop_loss,
                take_profit: ticket.take_profit,
            };
            Ok(approved::approve(VenueModifyRequest { terms, intent, adds_risk }))
        }
        None => Err(violations),
    }
}

/// Whether the new terms can lose more than the old ones: more volume, another entry price, a stop loss
/// that is further away, or gone.
fn adds_risk(facts: &Facts<'_>, before: &Before<'_>) -> bool {
    let Some((_, instrument)) = facts.instrument else { return true };
    let now = match facts.stop_loss {
        Level::Set(stop) => Some(stop),
        _ => None,
    };
    match before {
        // a reduction cannot add any, whatever its terms
        Before::Order(order) if order.position.is_some() => false,
        Before::Order(order) => {
            facts.volume.is_none_or(|volume| volume > order.volume)
                || facts.price.is_some() && facts.price != order.price
                || !order.triggered && facts.trigger_price() != order.stop_price
                || facts.ticket().is_none_or(|ticket| ticket.trail != order.trail)
                || lives_longer(order, facts.lifetime().expires_at)
                || loosens(order.stop_loss, now, order.side, instrument, order.entry_price())
        }
        Before::Position(position) => {
            let was = position.stop_loss.map(Stop::At);
            loosens(was, now, position.side, instrument, Some(position.open_price))
        }
    }
}

/// Whether an order lives longer than it did.
fn lives_longer(order: &Order, expires_at: Option<UnixNanos>) -> bool {
    match (order.expires_at, expires_at) {
        (Some(was), Some(now)) => now > was,
        (was, None) => was.is_some(),
        (None, Some(_)) => false,
    }
}

fn loosens(
    was: Option<Stop>,
    now: Option<Stop>,
    side: Side,
    instrument: &Instrument,
    open: Option<Price>,
) -> bool {
    let (Some(was), Some(now)) = (was, now) else { return was.is_some() };
    if was == now {
        return false;
    }
    let Some(open) = open else { return true };
    let (was, now) =
        (instrument.stop_price(was, open, side, true), instrument.stop_price(now, open, side, true));
    match side {
        Side::Buy => now < was,
        Side::Sell => now > was,
    }
}

impl<'a> Terms<'a> {
    /// The terms of an order before anything of them is changed.
    pub(crate) fn of_order(order: &'a Order, instrument: &Instrument, reserved: Money) -> Self {
        let (symbol, volume) = (instrument.symbol.to_string(), instrument.lots(order.volume));
        let place = PlaceOrder::market(order.account.clone(), symbol, order.side, volume);
        // what was triggered is a limit order now
        let order_type = if order.triggered { OrderType::Limit } else { order.order_type };
        let place = PlaceOrder {
            order_type,
            price: order.price.map(|p| instrument.price(p)),
            stop_price: order.stop_price.filter(|_| !order.triggered).map(|p| instrument.price(p)),
            trail: order.trail.map(|trail| match trail {
                Trail::Ticks(ticks) => TrailBy::Distance(instrument.price(Price(ticks))),
                Trail::Percent(percent) => TrailBy::Percent(percent),
            }),
            tif: order.tif,
            expires_at: order.expires_at,
            post_only: order.post_only,
            stop_loss: order.stop_loss.map(|s| level(s, instrument)),
            take_profit: order.take_profit.map(|s| level(s, instrument)),
            ..place
        };
        Self { order: place, target: ModifyTarget::Order(order.id), before: Before::Order(order), reserved }
    }

    /// The levels of a position before any of them is changed.
    pub(crate) fn of_position(
        position: &'a Position,
        instrument: &Instrument,
        account: crate::domain::id::AccountId,
    ) -> Self {
        let at = |price: Price| StopLevel::Price(instrument.price(price));
        let (symbol, volume) = (instrument.symbol.to_string(), instrument.lots(position.volume));
        let place = PlaceOrder {
            stop_loss: position.stop_loss.map(at),
            take_profit: position.take_profit.map(at),
            ..PlaceOrder::market(account, symbol, position.side, volume)
        };
        let target = ModifyTarget::Position { id: position.id, venue: position.venue_position.clone() };
        Self { order: place, target, before: Before::Position(position), reserved: Money::ZERO }
    }
}

fn level(stop: Stop, instrument: &Instrument) -> StopLevel {
    match stop {
        Stop::At(price) => StopLevel::Price(instrument.price(price)),
        Stop::Ticks(ticks) => StopLevel::Ticks(ticks),
        Stop::Percent(percent) => StopLevel::Percent(percent),
    }
}
