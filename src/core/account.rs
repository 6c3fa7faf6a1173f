//! An account as the engine keeps it, from what it asked and what the venue reported.

use super::link::Session;
use super::market::Market;
use super::rate_limit::RateLimit;
use crate::domain::config::Setup;
use crate::domain::{
    account::{AccountConfig, LinkStatus},
    calendar::Zone,
    exposure::{Exposure, Marks},
    id::{AccountId, AlertId, ClientOrderId, EntryId, FillId, GroupId, IntentId, OrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    margin::{margin, margin_rate},
    market::Quote,
    message::PositionView,
    money::{Money, Rounding},
    order::Order,
    position::{Fill, Position},
    rates::Conversion,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An order with its fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderRecord {
    pub order: Order,
    pub fills: Vec<Fill>,
    /// Which strategy gave it, if one did.
    pub strategy: Option<usize>,
    /// An operator said what became of it; what the venue says later is compared with that (LV03).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub resolved: bool,
    /// What of it was filled by that word alone: the venue's fills of so much are not booked again.
    #[serde(skip_serializing_if = "is_none", default)]
    pub unconfirmed: Volume,
}

fn is_none(volume: &Volume) -> bool {
    volume.is_zero()
}

impl OrderRecord {
    /// An order that nothing has happened to.
    pub(crate) const fn new(order: Order, strategy: Option<usize>) -> Self {
        Self { order, fills: Vec::new(), strategy, resolved: false, unconfirmed: Volume::ZERO }
    }
}

/// New terms that a venue did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TermsKept {
    pub at: UnixNanos,
    pub reason: String,
    /// The venue's number for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<i64>,
}

/// The day that daily limits look at (RK04).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    pub equity_at_roll: Money,
    /// Deposits less withdrawals since the roll.
    pub cash_flows: Money,
}

/// A loss limit that tripped and holds until resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LossLatch {
    pub since: UnixNanos,
    pub loss: Money,
    pub limit: Money,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub config: AccountConfig,
    pub link: LinkStatus,
    pub balance: Money,
    pub exposure: Exposure,
    pub positions: BTreeMap<PositionId, Position>,
    /// Open orders, and for a day those that ended.
    pub orders: BTreeMap<OrderId, OrderRecord>,
    pub open_orders: BTreeSet<OrderId>,
    pub client_ids: BTreeMap<ClientOrderId, OrderId>,
    pub intents: BTreeMap<IntentId, OrderId>,
    /// The orders of each group, oldest first, those that ended too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub groups: BTreeMap<GroupId, Vec<OrderId>>,
    pub day: Day,
    pub loss_latch: Option<LossLatch>,
    #[serde(default)]
    pub session: Session,
    /// New terms that did not come about, for a day, by the intent that asked for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub terms_kept: BTreeMap<IntentId, TermsKept>,
    #[serde(default)]
    pub trade_rate: RateLimit,
    pub last_fill: u64,
    last_order: u64,
    last_intent: u64,
    last_entry: u64,
    last_alert: u64,
}

impl Account {
    /// An account without money or history.
    pub(crate) fn new(config: AccountConfig) -> Self {
        Self {
            link: if config.is_paper() { LinkStatus::Connected } else { LinkStatus::Disconnected },
            config,
            balance: Money::ZERO,
            exposure: Exposure::default(),
            positions: BTreeMap::new(),
            orders: BTreeMap::new(),
            open_orders: BTreeSet::new(),
            client_ids: BTreeMap::new(),
            intents: BTreeMap::new(),
            groups: BTreeMap::new(),
            day: Day::default(),
            loss_latch: None,
            session: Session::default(),
            terms_kept: BTreeMap::new(),
            trade_rate: RateLimit::default(),
            last_fill: 0,
            last_order: 0,
            last_intent: 0,
            last_entry: 0,
            last_alert: 0,
        }
    }

    pub(crate) const fn id(&self) -> &AccountId {
        &self.config.id
    }

    pub(crate) fn next_order(&mut self) -> OrderId {
        self.last_order += 1;
        OrderId(self.last_order)
    }

    /// The newest order's number.
    pub(crate) const fn last_order_id(&self) -> u64 {
        self.last_order
    }

    pub(crate) fn next_intent(&mut self) -> IntentId {
        self.last_intent += 1;
        IntentId(self.last_intent)
    }

    /// The intent that will be next.
    pub(crate) const fn coming_intent(&self) -> IntentId {
        IntentId(self.last_intent + 1)
    }

    /// The newest intent's number.
    pub(crate) const fn last_intent_id(&self) -> u64 {
        self.last_intent
    }

    pub(crate) fn next_entry(&mut self) -> EntryId {
        self.last_entry += 1;
        EntryId(self.last_entry)
    }

    pub(crate) fn next_alert(&mut self) -> AlertId {
        self.last_alert += 1;
        AlertId(self.last_alert)
    }

    /// Whether its venue can be asked for anything.
    pub(crate) const fn is_reachable(&self) -> bool {
        matches!(self.link, LinkStatus::Connected | LinkStatus::Reconciling)
    }

    /// Balance plus floating profit and loss (AC01; no credit and no swap yet).
    pub(crate) fn equity(&self) -> Money {
        self.balance + self.exposure.floating()
    }

    /// Margin of all positions.
    pub(crate) fn margin(&self) -> Money {
        self.positions.values().map(|p| p.margin).sum()
    }

    /// Loss since the day roll, flows of cash aside; negative is a gain (RK04).
    pub(crate) fn daily_loss(&self) -> Money {
        self.day.equity_at_roll + self.day.cash_flows - self.equity()
    }

    /// The next day roll: 00:00 UTC for accounts that trade coins only, else the broker's (RK04).
    pub(crate) fn next_roll(&self, setup: &Setup, now: UnixNanos) -> UnixNanos {
        let allowed = &self.config.allowed_symbols;
        let always = |symbol: &str| {
            setup.find(symbol).is_some_and(|id| {
                setup.config.calendars[usize::from(setup.instrument(id).calendar)].is_always()
            })
        };
        if !allowed.is_empty() && allowed.iter().all(|s| always(s.as_str())) {
            return Zone::utc().next_time_of_day(now, 0);
        }
        setup.config.day_zone.next_time_of_day(now, i64::from(setup.config.day_minute))
    }

    /// Open orders in the order of their ids.
    pub(crate) fn working(&self) -> impl Iterator<Item = &OrderRecord> {
        self.open_orders.iter().map(|id| &self.orders[id])
    }

    /// Open orders that would open a position.
    pub(crate) fn opening(&self) -> impl Iterator<Item = &Order> {
        self.working().map(|r| &r.order).filter(|o| o.position.is_none())
    }

    /// Margin that an opening order takes while it works; while new terms are on their way, by those that
    /// take more.
    pub(crate) fn reserved_for(&self, order: &Order, setup: &Setup, market: &Market) -> Money {
        if order.position.is_some() {
            return Money::ZERO;
        }
        let price = order.entry_price().or(order.reference_price);
        let by = |volume, price: Option<Price>| {
            price
                .and_then(|price| self.margin_for(order, volume, price, setup, market))
                .unwrap_or(Money::ZERO)
        };
        let now = by(order.leaves(), price);
        match order.asked {
            Some(asked) => now.max(by(asked.volume.less(order.filled), asked.price.or(price))),
            None => now,
        }
    }

    fn margin_for(
        &self,
        order: &Order,
        volume: Volume,
        price: Price,
        setup: &Setup,
        market: &Market,
    ) -> Option<Money> {
        let instrument = setup.instrument(order.instrument);
        let quote = |id: InstrumentId| market.last_quote(id);
        let currency = self.config.currency;
        let rate = margin_rate(instrument, order.side, currency, setup.instruments(), &setup.rates, quote)?;
        Some(margin(instrument, volume, price, self.config.leverage, rate, currency))
    }

    /// Marks the account at an instrument's quote.
    pub(crate) fn mark(&mut self, instrument: InstrumentId, setup: &Setup, market: &Market) {
        self.exposure.mark(
            instrument,
            &Marks {
                instruments: setup.instruments(),
                rates: &setup.rates,
                currency: self.config.currency,
                quote: |id: InstrumentId| market.last_quote(id),
            },
        );
    }

    /// One position's floating profit, posted by itself.
    pub(crate) fn floating_of(&self, position: &Position, setup: &Setup, market: &Market) -> Money {
        let Some(quote) = market.last_quote(position.instrument) else { return Money::ZERO };
        self.realized(position, position.volume, position.closing_price(quote), setup, market)
    }

    /// What closing a part of a position at a price brings, by present rates.
    pub(crate) fn realized(
        &self,
        position: &Position,
        volume: Volume,
        price: Price,
        setup: &Setup,
        market: &Market,
    ) -> Money {
        let part = Position {
            volume,
            averaged: position.averaged.map(|_| position.cost_of(volume)),
            ..position.clone()
        };
        let instrument = setup.instrument(part.instrument);
        let exact = part.profit_at(price, instrument);
        let conversion = Conversion::of_sign(exact.0.is_sign_negative());
        let quotes = |id: InstrumentId| -> Option<Quote> { market.last_quote(id) };
        let currency = self.config.currency;
        setup
            .rates
            .rate(instrument.quote_currency, currency, conversion, setup.instruments(), quotes)
            .map_or(Money::ZERO, |rate| rate.apply(exact).post(currency, Rounding::HalfAway))
    }

    /// The margin that a volume of an instrument takes by our own count; venues do not tell theirs.
    pub(crate) fn margin_of(
        &self,
        instrument: InstrumentId,
        side: crate::domain::order::Side,
        volume: Volume,
        price: Price,
        setup: &Setup,
        market: &Market,
    ) -> Money {
        let (spec, currency) = (setup.instrument(instrument), self.config.currency);
        let quote = |id: InstrumentId| market.last_quote(id);
        margin_rate(spec, side, currency, setup.instruments(), &setup.rates, quote)
            .map_or(Money::ZERO, |rate| margin(spec, volume, price, self.config.leverage, rate, currency))
    }

    /// A position in the wire's shape.
    pub(crate) fn position_view(&self, position: &Position, setup: &Setup, market: &Market) -> PositionView {
        let instrument = setup.instrument(position.instrument);
        let quote = market.last_quote(position.instrument);
        let floating = self.floating_of(position, setup, market);
        PositionView::new(position, self.id(), instrument, quote, floating)
    }

    /// Forgets orders that ended before `until`; their ids live on in the node's index.
    pub(crate) fn prune(&mut self, until: UnixNanos) {
        self.terms_kept.retain(|_, kept| kept.at >= until);
        let open = &self.open_orders;
        let gone: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|(id, r)| {
                let ended = !open.contains(id) && r.order.updated_at < until;
                ended && !self.positions.contains_key(&PositionId(id.0)) // a position's opener stays with it
            })
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            if let Some(record) = self.orders.remove(&id) {
                if let Some(client) = &record.order.client_order_id {
                    self.client_ids.remove(client);
                }
                self.intents.remove(&record.order.intent_id);
                if let Some(group) = record.order.group {
                    self.forget_member(&group.id, id);
                }
                if !self.session.fills.is_empty() {
                    let forgotten = |id: &FillId| record.fills.iter().any(|fill| fill.id == *id);
                    self.session.fills.retain(|_, id| !forgotten(id));
                }
            }
        }
    }
}
