//! What the checks look at, worked out once per order.

use super::{super::account::Account, super::market::Market, approved::Ticket};
use crate::domain::{
    config::Setup,
    instrument::{Instrument, InstrumentId, Price, Volume},
    margin::{margin, margin_rate},
    market::Quote,
    message::{Computed, PlaceOrder, StopLevel},
    money::{Currency, Exact, Money, Rounding},
    order::{Filling, OrderType, Side, Stop, TimeInForce},
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

/// Everything that is known about an order before it is decided.
pub(crate) struct Facts<'a> {
    pub(super) around: Circumstances<'a>,
    pub(super) order: &'a PlaceOrder,
    pub(super) instrument: Option<(InstrumentId, &'a Instrument)>,
    pub(super) quote: Option<(UnixNanos, Quote)>,
    /// In steps; `None` if off the grid or the instrument is unknown.
    pub(super) volume: Option<Volume>,
    pub(super) price: Option<Price>,
    pub(super) stop_loss: Level,
    pub(super) take_profit: Level,
    pub(super) reduces: Option<&'a Position>,
    pub(super) margin: Option<Money>,
    /// What the order that is modified holds back already.
    pub(super) reserved_before: Money,
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
            stop_loss: level(order.stop_loss),
            take_profit: level(order.take_profit),
            reduces: order.position.and_then(|id| around.account.positions.get(&id)),
            margin: None,
            reserved_before: Money::ZERO,
        };
        facts.margin = facts.required_margin();
        facts
    }

    /// Whether the order can only lower a position's volume.
    pub(crate) const fn is_reduction(&self) -> bool {
        self.order.reduce_only || self.order.position.is_some()
    }

    pub(super) const fn currency(&self) -> Currency {
        self.around.account.config.currency
    }

    /// The price that the order is decided on: its limit, or the quote's side.
    pub(super) fn reference_price(&self) -> Option<Price> {
        match self.order.order_type {
            OrderType::Limit => self.price,
            _ => self.quote.map(|(_, quote)| quote.price_for(self.order.side)),
        }
    }

    /// The price from which protective levels are measured: the side that would close the position
    /// now, or a pending order's own price (OR10).
    pub(super) fn stop_base(&self) -> Option<Price> {
        match self.order.order_type {
            OrderType::Limit => self.price,
            _ => self.quote.map(|(_, quote)| quote.price_for(self.order.side.opposite())),
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
            free_margin_after: margin_required.map(|m| self.free_margin() - m),
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
            OrderType::Market => Filling::Ioc,
            _ => Filling::Return,
        });
        Some(Ticket {
            instrument,
            side: self.order.side,
            order_type: self.order.order_type,
            volume: self.volume?,
            price: self.price.filter(|_| self.order.order_type == OrderType::Limit),
            reference_price: self.reference_price(),
            stop_loss: level(self.stop_loss),
            take_profit: level(self.take_profit),
            tif: TimeInForce::Gtc,
            filling,
            position: self.order.position,
            client_order_id: self.order.client_order_id.clone(),
            reason: self.order.reason.clone(),
        })
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
