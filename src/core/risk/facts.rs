//! What the checks look at, worked out once per order.

use super::{super::account::Account, super::market::Market, approved::Ticket, groups::Joining};
use crate::domain::{
    config::Setup,
    group::GroupKind,
    id::PositionId,
    instrument::{Instrument, InstrumentId, Price, Volume},
    margin::{margin, margin_rate},
    market::Quote,
    message::{Computed, Lifetime, PlaceOrder, StopLevel, TrailBy},
    money::{Currency, Exact, Money, Rounding},
    order::{Filling, Order, OrderType, Side, Stop, TimeInForce, Trail},
    position::{Position, profit},
    rates::Conversion,
    time::UnixNanos,
};
use rust_decimal::Decimal;

/// The engine's state around an order.
#[derive(Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub now: UnixNanos,
    pub setup: &'a Setup,
    pub account: &'a Account,
    pub market: &'a Market,
    /// Why trading is halted, if an emergency stop is latched.
    pub halted: Option<&'a str>,
    pub clock_suspect: bool,
    /// The feed has ended: its last quote does not go stale.
    pub ended: bool,
    /// The client order id is in use, or was.
    pub duplicate: bool,
}

/// A protective level of the order, put on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    None,
    OffGrid(Decimal),
    Set(Stop),
}

/// How the order trails, put on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trailing {
    None,
    OffGrid(Decimal),
    Set(Trail),
}

impl Trailing {
    fn new(by: Option<TrailBy>, spec: Option<&Instrument>) -> Self {
        match (by, spec) {
            (None, _) => Self::None,
            (Some(TrailBy::Percent(percent)), _) => {
                let fits = percent > Decimal::ZERO && percent < Decimal::ONE_HUNDRED;
                if fits { Self::Set(Trail::Percent(percent)) } else { Self::OffGrid(percent) }
            }
            (Some(TrailBy::Distance(distance)), spec) => spec
                .and_then(|spec| spec.to_price(distance))
                .map_or(Self::OffGrid(distance), |Price(ticks)| Self::Set(Trail::Ticks(ticks))),
        }
    }
}

/// Prices that something waits for, each with the side that trades there.
pub(super) type AtStake = [Option<(Price, Side)>; 2];

/// A position's protective levels.
pub(super) fn at_stake_of_position(position: &Position) -> AtStake {
    let side = position.side.opposite();
    [position.stop_loss, position.take_profit].map(|level| level.map(|price| (price, side)))
}

/// Where a working order enters.
pub(super) fn at_stake_of_order(order: &Order) -> AtStake {
    [order.entry_price().map(|price| (price, order.side)), None]
}

/// OR10: within the freeze level nothing is changed any more; how close it is, and how close it may not be,
/// in ticks.
pub(crate) fn frozen(at_stake: AtStake, spec: &Instrument, quote: Quote) -> Option<(i64, i64)> {
    let level = spec.points_to_ticks(spec.freeze_level_points);
    if level <= 0 {
        return None;
    }
    let distance = |(price, side): (Price, Side)| (price.0 - quote.price_for(side).0).abs();
    let nearest = at_stake.into_iter().flatten().map(distance).min()?;
    (nearest <= level).then_some((nearest, level))
}

/// Everything that is known about an order before it is decided.
pub(crate) struct Facts<'a> {
    pub(super) around: Circumstances<'a>,
    pub(super) order: &'a PlaceOrder,
    pub(super) instrument: Option<(InstrumentId, &'a Instrument)>,
    pub(super) quote: Option<(UnixNanos, Quote)>,
    /// In steps; `None` if off the grid or the instrument is unknown.
    pub(super) volume: Option<Volume>,
    pub(super) price: Option<Price>,
    pub(super) stop_price: Option<Price>,
    pub(super) trail: Trailing,
    pub(super) stop_loss: Level,
    pub(super) take_profit: Level,
    pub(super) reduces: Option<&'a Position>,
    pub(super) margin: Option<Money>,
    /// What of a working order or a position the market is about to reach: prices, and the side that trades
    /// at them.
    pub(super) at_stake: AtStake,
    /// What the order that is modified holds back already.
    pub(super) reserved_before: Money,
    /// The group that a new order is to belong to.
    pub(super) joins: Option<Joining<'a>>,
    /// The order that holds this one back: it meets the market where that one enters.
    pub(super) held_by: Option<&'a Order>,
}

impl<'a> Facts<'a> {
    /// Works the facts out.
    pub(crate) fn new(around: Circumstances<'a>, order: &'a PlaceOrder) -> Self {
        let instrument = around.setup.find(&order.symbol).map(|id| (id, around.setup.instrument(id)));
        let quote = instrument.and_then(|(id, _)| around.market.last(id));
        let level = |level: Option<StopLevel>| match (level, instrument) {
            (None, _) => Level::None,
            (Some(StopLevel::Ticks(ticks)), _) => Level::Set(Stop::Ticks(ticks)),
            (Some(StopLevel::Percent(percent)), _) => Level::Set(Stop::Percent(percent)),
            (Some(StopLevel::Price(price)), Some((_, spec))) => {
                spec.to_price(price).map_or(Level::OffGrid(price), |p| Level::Set(Stop::At(p)))
            }
            (Some(StopLevel::Price(price)), None) => Level::OffGrid(price),
        };
        let mut facts = Self {
            around,
            order,
            instrument,
            quote,
            volume: instrument.and_then(|(_, spec)| spec.to_volume(order.volume)),
            price: instrument.and_then(|(_, spec)| spec.to_price(order.price?)),
            stop_price: instrument.and_then(|(_, spec)| spec.to_price(order.stop_price?)),
            trail: Trailing::new(order.trail, instrument.map(|(_, spec)| spec)),
            stop_loss: level(order.stop_loss),
            take_profit: level(order.take_profit),
            reduces: order.position.and_then(|id| around.account.positions.get(&id)),
            margin: None,
            at_stake: AtStake::default(),
            reserved_before: Money::ZERO,
            joins: order.group.as_ref().map(|group| Joining::new(group, around.account)),
            held_by: None,
        };
        if let Some(joins) = &facts.joins {
            facts.held_by = joins.parent;
            if joins.group.kind == GroupKind::Oco {
                let account = around.account;
                facts.reserved_before =
                    account.reserved_for_group(&joins.group.id, around.setup, around.market);
            }
        }
        facts.margin = facts.required_margin();
        facts.at_stake = facts.reduces.map(at_stake_of_position).unwrap_or_default();
        facts
    }

    /// Whether the order can only lower a position's volume.
    pub(crate) fn is_reduction(&self) -> bool {
        self.order.reduce_only || self.order.position.is_some() || self.exits()
    }

    /// Whether it leaves the position that its bracket's first order opens.
    pub(super) fn exits(&self) -> bool {
        self.joins.as_ref().is_some_and(Joining::exits)
    }

    pub(super) const fn currency(&self) -> Currency {
        self.around.account.config.currency
    }

    /// The price at which a pending order enters: its limit, or its trigger. A market order has none.
    pub(super) fn entry_price(&self) -> Option<Price> {
        match self.order.order_type {
            OrderType::Market => None,
            OrderType::Limit | OrderType::StopLimit => self.price,
            OrderType::Stop => self.stop_price,
            OrderType::TrailingStop => self.trigger_price(),
        }
    }

    /// Where a stop triggers: a trailing one, where its distance puts it now, if it has no place yet.
    pub(super) fn trigger_price(&self) -> Option<Price> {
        match (self.order.order_type, self.trail) {
            (OrderType::Market | OrderType::Limit, _) => None,
            (OrderType::TrailingStop, Trailing::Set(trail)) => {
                self.stop_price.or_else(|| Some(trail.trigger(self.order.side, self.begins_at()?)))
            }
            _ => self.stop_price,
        }
    }

    /// The price at which a pending order begins to look at the market: its trigger side now, or where the order
    /// enters that holds it back. Of another instrument's nobody knows.
    pub(super) fn begins_at(&self) -> Option<Price> {
        match self.held_by {
            Some(parent) if self.enters_with_its_parent() => parent.entry_price(),
            _ => self.quote.map(|(_, quote)| quote.price_for(self.order.side)),
        }
    }

    /// Whether it is held back by an order of its own market.
    pub(super) fn enters_with_its_parent(&self) -> bool {
        self.held_by.zip(self.instrument).is_some_and(|(parent, (id, _))| parent.instrument == id)
    }

    /// The price that the order is decided on: where it enters, or the quote's side.
    pub(super) fn reference_price(&self) -> Option<Price> {
        match self.order.order_type {
            OrderType::Market => self.quote.map(|(_, quote)| quote.price_for(self.order.side)),
            _ => self.entry_price(),
        }
    }

    /// The price from which protective levels are measured: the side that would close the position
    /// now, or a pending order's own price (OR10).
    pub(super) fn stop_base(&self) -> Option<Price> {
        match self.order.order_type {
            OrderType::Market => self.quote.map(|(_, quote)| quote.price_for(self.order.side.opposite())),
            _ => self.entry_price(),
        }
    }

    fn required_margin(&self) -> Option<Money> {
        let (_, spec) = self.instrument?;
        let (setup, market) = (self.around.setup, self.around.market);
        let quote = |id: InstrumentId| market.last_quote(id);
        let side = self.order.side;
        let rate = margin_rate(spec, side, self.currency(), setup.instruments(), &setup.rates, quote)?;
        let leverage = self.around.account.config.leverage;
        Some(margin(spec, self.volume?, self.reference_price()?, leverage, rate, self.currency()))
    }

    /// Equity less the margin of positions and of working opening orders.
    pub(super) fn free_margin(&self) -> Money {
        let account = self.around.account;
        account.equity() - account.margin() - account.reserved_margin(self.around.setup, self.around.market)
    }

    /// An exact amount of the quote currency, posted in the account's.
    fn posted(&self, exact: Exact, conversion: Conversion) -> Option<Money> {
        let (_, spec) = self.instrument?;
        let (setup, market) = (self.around.setup, self.around.market);
        let quote = |id: InstrumentId| market.last_quote(id);
        let (from, to) = (spec.quote_currency, self.currency());
        let rate = setup.rates.rate(from, to, conversion, setup.instruments(), quote)?;
        Some(rate.apply(exact).post(to, Rounding::HalfAway))
    }

    /// Whether profit of the instrument can be converted into the account's currency.
    pub(super) fn converts(&self) -> Option<bool> {
        self.instrument?;
        Some(self.posted(Exact(Decimal::ONE), Conversion::Loss).is_some() && self.margin_converts())
    }

    fn margin_converts(&self) -> bool {
        let Some((_, spec)) = self.instrument else { return false };
        let (setup, market) = (self.around.setup, self.around.market);
        let quote = |id: InstrumentId| market.last_quote(id);
        margin_rate(spec, self.order.side, self.currency(), setup.instruments(), &setup.rates, quote)
            .is_some()
    }

    /// The figures that a preview shows.
    pub(super) fn computed(&self) -> Computed {
        let opens = !self.is_reduction();
        let margin_required = self.margin.filter(|_| opens);
        let level = |level: Level, is_loss: bool| match (level, self.instrument, self.reference_price()) {
            (Level::Set(stop), Some((_, spec)), Some(open)) => {
                Some(spec.stop_price(stop, open, self.order.side, is_loss))
            }
            _ => None,
        };
        let (loss_level, profit_level) = (level(self.stop_loss, true), level(self.take_profit, false));
        let at = |level: Option<Price>| {
            let (_, spec) = self.instrument?;
            Some(profit(spec, self.order.side, self.volume?, self.reference_price()?, level?))
        };
        let risk = at(loss_level).and_then(|p| self.posted(p, Conversion::Loss)).map(|p| -p);
        let risk_reward = match (at(profit_level), at(loss_level)) {
            (Some(gain), Some(loss)) if loss.0 < Decimal::ZERO => Some(gain.over(-loss.0).round(2)),
            _ => None,
        };
        let notional = self.instrument.zip(self.volume).zip(self.reference_price()).and_then(
            |(((_, spec), volume), price)| {
                let count = i128::from(volume.0) * i128::from(price.0);
                self.posted(Exact::product(spec.tick_step_value(), count), Conversion::Loss)
            },
        );
        Computed {
            margin_required,
            // of what its group holds back already it takes no more
            free_margin_after: margin_required.map(|m| self.free_margin() + self.reserved_before.min(m) - m),
            notional,
            risk_amount: risk,
            risk_reward,
        }
    }

    /// The order on the grid; `None` where a check has failed that says so.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let (instrument, _) = self.instrument?;
        let level = |level: Level| match level {
            Level::Set(stop) => Some(stop),
            _ => None,
        };
        let filling = self.order.filling.unwrap_or(match self.order.order_type {
            OrderType::Market | OrderType::Stop | OrderType::TrailingStop => Filling::Ioc,
            OrderType::Limit | OrderType::StopLimit => Filling::Return,
        });
        let trail = match self.trail {
            Trailing::Set(trail) => Some(trail),
            _ => None,
        };
        let trails = self.order.order_type == OrderType::TrailingStop;
        let limited = matches!(self.order.order_type, OrderType::Limit | OrderType::StopLimit);
        Some(Ticket {
            instrument,
            side: self.order.side,
            order_type: self.order.order_type,
            volume: self.volume?,
            price: self.price.filter(|_| limited),
            stop_price: self.trigger_price(),
            trail: trail.filter(|_| trails),
            reference_price: self.reference_price(),
            stop_loss: level(self.stop_loss),
            take_profit: level(self.take_profit),
            lifetime: self.lifetime(),
            filling,
            post_only: self.order.post_only,
            position: match &self.joins {
                // a position bears the number of the order that opens it
                Some(joins) if joins.exits() => joins.parent.map(|parent| PositionId(parent.id.0)),
                _ => self.order.position,
            },
            group: self.joins.as_ref().map(Joining::place),
            client_order_id: self.order.client_order_id.clone(),
            reason: self.order.reason.clone(),
        })
    }

    /// How long the order lives: a day order until its account's day rolls (OR08).
    pub(super) fn lifetime(&self) -> Lifetime {
        let around = self.around;
        let expires_at = match self.order.tif {
            TimeInForce::Gtc => None,
            // one that is modified keeps the end of its own day
            TimeInForce::Day => Some(
                self.order.expires_at.unwrap_or_else(|| around.account.next_roll(around.setup, around.now)),
            ),
            TimeInForce::Gtd => self.order.expires_at,
        };
        Lifetime { tif: self.order.tif, expires_at }
    }

    /// Whether a level lies on the right side of its base, strictly.
    pub(super) fn level_fits(&self, stop: Stop, is_loss: bool) -> Option<bool> {
        let below = (self.order.side == Side::Buy) == is_loss;
        Some(match stop {
            Stop::Ticks(ticks) => ticks > 0,
            // a level below must stay a price, one above may be far
            Stop::Percent(percent) => percent > Decimal::ZERO && (!below || percent < Decimal::ONE_HUNDRED),
            Stop::At(price) => {
                let base = self.stop_base()?;
                if below { price < base } else { price > base }
            }
        })
    }
}
