//! The broker's front: requests, quotes, bars, and the matching loop.

use super::{
    account::{STOP_OUT_PERCENT, VenueAccount},
    bars::{self, BarLeg, Reach},
    triggers::{Trigger, TriggerBook, TriggerKind},
};
use crate::domain::{
    calendar::Sessions,
    config::Setup,
    exposure::{Dependents, Exposure, Marks},
    id::{AccountId, OrderId, PositionId},
    instrument::{InstrumentId, Price},
    market::{Bar, BarPolicy, Quote},
    message::{Mark, VenueOrder, VenueReport, VenueRequest},
    money::Money,
    order::{OrderType, Side},
    position::FillReason,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// How the price got to a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteKind {
    /// A tick: prices between this quote and the one before were not tradable.
    Tick,
    /// A bar's open: a gap like a tick, and market orders wait for it.
    BarOpen,
    /// Inside a bar: the price touched everything between.
    BarPath,
}

/// What the venue puts out. Reused between calls.
#[derive(Debug, Clone, Default)]
pub struct VenueOut {
    pub reports: Vec<VenueReport>,
    pub marks: Vec<Mark>,
}

/// One instrument as the venue sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct VenueMarket {
    pub quote: Option<Quote>,
    /// The end of the session that the last quote came in: outside of it the quote only marks (OR09).
    pub tradable_until: UnixNanos,
    /// Fed by bars: an order meets the next quote, not the last one (EX08).
    pub fed_by_bars: bool,
    /// Market orders that wait for the next quote, oldest first.
    pub waiting: Vec<(usize, OrderId)>,
    /// Derived from orders and positions.
    #[serde(skip)]
    pub triggers: TriggerBook,
}

/// The bar that is being played, and what its policy holds back.
#[derive(Debug, Clone)]
struct PlayedBar {
    bar: Bar,
    /// The last quote before it, if it came in a session.
    before: Option<Quote>,
    /// Triggers that are taken out until the bar's end.
    held_back: Vec<(Trigger, Side, Price)>,
    legs: [BarLeg; 4],
    /// Which leg is played. What fills after the first, fills inside the bar.
    leg: usize,
    ambiguous: bool,
}

/// The simulated broker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Venue {
    pub(super) accounts: Vec<VenueAccount>,
    pub(super) index: BTreeMap<AccountId, usize>,
    pub(super) markets: Vec<VenueMarket>,
    sessions: Sessions,
    ambiguous_bars: u64,
    #[serde(skip)]
    pub(super) setup: Option<Arc<Setup>>,
    #[serde(skip)]
    pub(super) dependents: Dependents,
    #[serde(skip)]
    played: Option<PlayedBar>,
}

impl Venue {
    /// Takes a configuration into force. New accounts open with their deposit.
    pub fn configure(&mut self, setup: &Arc<Setup>, now: UnixNanos) {
        for config in setup.config.accounts.iter().filter(|config| config.is_paper()) {
            let index = *self.index.entry(config.id.clone()).or_insert_with(|| {
                self.accounts.push(VenueAccount {
                    id: config.id.clone(),
                    currency: config.currency,
                    leverage: config.leverage,
                    commission_per_lot: config.commission_per_lot,
                    balance: Money::of(config.deposit, config.currency),
                    margin: Money::ZERO,
                    exposure: Exposure::default(),
                    positions: BTreeMap::new(),
                    orders: BTreeMap::new(),
                    last_fill: 0,
                });
                self.accounts.len() - 1
            });
            let account = &mut self.accounts[index];
            account.leverage = config.leverage;
            account.commission_per_lot = config.commission_per_lot;
        }
        self.markets.resize_with(setup.config.instruments.len(), VenueMarket::default);
        self.sessions = Sessions::new(&setup.config.calendars, now);
        for (market, instrument) in self.markets.iter_mut().zip(setup.instruments()) {
            // by another calendar the session of the last quote may end earlier; what data ended with stays
            if market.tradable_until != UnixNanos::MAX {
                let until = self.sessions.state(instrument.calendar).until;
                market.tradable_until = market.tradable_until.min(until);
            }
        }
        self.adopt(setup);
    }

    /// Rebuilds what is derived, after a configuration or a snapshot.
    pub fn adopt(&mut self, setup: &Arc<Setup>) {
        self.setup = Some(Arc::clone(setup));
        self.dependents = Dependents::new(self.markets.len());
        for market in &mut self.markets {
            market.triggers = TriggerBook::default();
        }
        for (index, account) in self.accounts.iter().enumerate() {
            self.dependents.update(index, &account.exposure, &setup.rates, account.currency);
            for order in account.orders.values().filter(|o| o.order_type == OrderType::Limit) {
                let price = order.price.expect("a limit order has a price");
                let triggers = &mut self.markets[order.instrument.index()].triggers;
                triggers.add(Trigger::limit(index, order.order), order.side, price);
            }
            for position in account.positions.values() {
                let triggers = &mut self.markets[position.instrument.index()].triggers;
                if let Some(price) = position.stop_loss {
                    triggers.add(Trigger::stop_loss(index, position.id), position.side, price);
                }
                if let Some(price) = position.take_profit {
                    triggers.add(Trigger::take_profit(index, position.id), position.side, price);
                }
            }
        }
    }

    /// Bars in which the order of exits was a matter of policy.
    pub const fn ambiguous_bars(&self) -> u64 {
        self.ambiguous_bars
    }

    /// Whether the account is one of this venue.
    pub fn serves(&self, account: &AccountId) -> bool {
        self.index.contains_key(account)
    }

    /// Takes a request.
    pub fn request(&mut self, now: UnixNanos, request: &VenueRequest, out: &mut VenueOut) {
        match request {
            VenueRequest::Submit(order) => self.submit(now, order, out),
            VenueRequest::Cancel { account, order } => self.cancel(account, *order, out),
            VenueRequest::Modify(request) => self.modify(now, &request.terms, out),
            VenueRequest::Link { .. } => {} // there is no wire to this venue
        }
    }

    fn submit(&mut self, now: UnixNanos, order: &VenueOrder, out: &mut VenueOut) {
        let rejected = |reason: &str| VenueReport::Rejected {
            account: order.account.clone(),
            order: order.order,
            reason: reason.to_owned(),
        };
        let Some(&index) = self.index.get(&order.account) else {
            out.reports.push(rejected("ACCOUNT_UNKNOWN"));
            return;
        };
        if let Some(reason) = self.refusal(now, index, order) {
            out.reports.push(rejected(reason));
            return;
        }
        out.reports.push(VenueReport::Accepted {
            account: order.account.clone(),
            order: order.order,
            venue_order: None,
        });
        self.accounts[index].orders.insert(order.order, order.clone());
        let market = &mut self.markets[order.instrument.index()];
        match order.order_type {
            OrderType::Limit => {
                let price = order.price.expect("checked above");
                market.triggers.add(Trigger::limit(index, order.order), order.side, price);
            }
            _ => market.waiting.push((index, order.order)),
        }
        if market.fed_by_bars {
            out.marks.push(Mark::MarketOrderWaited);
        } else {
            self.match_market(now, order.instrument, QuoteKind::Tick, out);
        }
    }

    /// Why the broker would not take an order.
    fn refusal(&mut self, now: UnixNanos, index: usize, order: &VenueOrder) -> Option<&'static str> {
        let account = &self.accounts[index];
        if account.orders.contains_key(&order.order) {
            return Some("DUPLICATE_ORDER");
        }
        if !matches!(order.order_type, OrderType::Market | OrderType::Limit) {
            return Some("ORDER_TYPE_UNSUPPORTED");
        }
        if order.order_type == OrderType::Limit && order.price.is_none() {
            return Some("PRICE_MISSING");
        }
        if !self.is_open(now, order.instrument) {
            return Some("MARKET_CLOSED");
        }
        let position = order.position.map(|id| self.accounts[index].positions.get(&id));
        match position {
            Some(None) => Some("POSITION_UNKNOWN"),
            Some(Some(p)) if p.side == order.side || p.volume < order.volume => Some("POSITION_MISMATCH"),
            _ => None,
        }
    }

    fn cancel(&mut self, account: &AccountId, order: OrderId, out: &mut VenueOut) {
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
    }

    /// Takes a quote that passed the engine's screen.
    pub fn quote(
        &mut self,
        now: UnixNanos,
        instrument: InstrumentId,
        quote: Quote,
        kind: QuoteKind,
        out: &mut VenueOut,
    ) {
        let until = self.session_end(now, instrument);
        let market = &mut self.markets[instrument.index()];
        market.quote = Some(quote);
        market.tradable_until = until;
        market.fed_by_bars = kind != QuoteKind::Tick;
        let mut account = 0;
        while let Some(index) = self.dependents.next(instrument, account) {
            self.mark(index, instrument);
            account = index + 1;
        }
        self.match_market(now, instrument, kind, out);
        if !self.dependents.is_empty(instrument) {
            self.stop_out_all(now, instrument, out);
        }
    }

    /// There are no more quotes: what waits meets the last one.
    pub fn end_of_data(&mut self, now: UnixNanos, out: &mut VenueOut) {
        for index in 0..self.markets.len() {
            let instrument = InstrumentId(u16::try_from(index).expect("instruments are bounded"));
            self.markets[index].fed_by_bars = false;
            self.markets[index].tradable_until = UnixNanos::MAX;
            if self.markets[index].quote.is_some() {
                self.match_market(now, instrument, QuoteKind::Tick, out);
            }
        }
    }

    pub(super) fn is_open(&mut self, now: UnixNanos, instrument: InstrumentId) -> bool {
        let setup = self.setup.as_ref().expect("configured before use");
        self.sessions.is_open(&setup.config.calendars, setup.instrument(instrument).calendar, now)
    }

    /// The end of the instrument's session; long ago if it is closed.
    fn session_end(&mut self, now: UnixNanos, instrument: InstrumentId) -> UnixNanos {
        if !self.is_open(now, instrument) {
            return UnixNanos(i64::MIN);
        }
        let setup = self.setup.as_ref().expect("configured before use");
        self.sessions.state(setup.instrument(instrument).calendar).until
    }

    /// Whether the last quote can be traded at: the session is open and still the one it came in.
    fn is_tradable(&mut self, now: UnixNanos, instrument: InstrumentId) -> bool {
        now < self.markets[instrument.index()].tradable_until && self.is_open(now, instrument)
    }

    /// Marks an account at the instrument's quote.
    pub(super) fn mark(&mut self, index: usize, instrument: InstrumentId) {
        let Self { accounts, markets, setup, .. } = self;
        let setup = setup.as_ref().expect("configured before use");
        let account = &mut accounts[index];
        account.exposure.mark(
            instrument,
            &Marks {
                instruments: setup.instruments(),
                rates: &setup.rates,
                currency: account.currency,
                quote: |id: InstrumentId| markets[id.index()].quote,
            },
        );
    }

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
        for (index, order) in std::mem::take(&mut self.markets[instrument.index()].waiting) {
            let side = self.accounts[index].orders.get(&order).map(|o| o.side);
            if let Some(side) = side {
                self.fill_order(now, index, order, quote.price_for(side), out);
            }
        }
        let mut due = Vec::new();
        loop {
            self.markets[instrument.index()].triggers.due(quote, &mut due);
            if due.is_empty() {
                return;
            }
            for (trigger, price) in due.drain(..) {
                self.fire(now, trigger, price, quote, kind, out);
            }
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
        if trigger.kind == TriggerKind::Limit {
            let order = OrderId(trigger.number);
            if let Some(side) = account.orders.get(&order).map(|o| o.side) {
                self.fill_order(now, trigger.account, order, price(side), out);
            }
            return;
        }
        let id = PositionId(trigger.number);
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

    /// Whether a bar's open does not jump over a position's take profit, because the bar before went
    /// through it and its policy held the exit back. The better price of a gap is not for it.
    fn was_passed_before(&self, kind: QuoteKind, side: Side, level: Price) -> bool {
        let before = self.played.as_ref().and_then(|played| played.before);
        kind == QuoteKind::BarOpen
            && before.is_some_and(|quote| match side {
                Side::Buy => quote.bid >= level,
                Side::Sell => quote.ask <= level,
            })
    }

    // ---- bars -------------------------------------------------------------------------------

    /// Begins to play a bar. The caller hands each leg back as a quote, then ends the bar.
    pub fn begin_bar(&mut self, bar: &Bar) -> [BarLeg; 4] {
        let net = self.accounts.iter().map(|a| a.exposure.net_steps(bar.instrument)).sum();
        let legs = bars::expand(bar, self.policy(), net);
        let market = &self.markets[bar.instrument.index()];
        let before = market.quote.filter(|_| market.tradable_until > UnixNanos(i64::MIN));
        self.played =
            Some(PlayedBar { bar: *bar, before, held_back: Vec::new(), legs, leg: 0, ambiguous: false });
        legs
    }

    /// A leg is about to be played. From the second on, exits and fills are inside the bar.
    pub fn begin_leg(&mut self, leg: usize) {
        let Some(played) = &mut self.played else { return };
        played.leg = leg;
        if leg != 1 {
            return;
        }
        let instrument = played.bar.instrument;
        let held: Vec<(usize, PositionId)> = self
            .accounts
            .iter()
            .enumerate()
            .filter(|(_, account)| account.exposure.holds(instrument))
            .flat_map(|(index, account)| account.positions.values().map(move |p| (index, p)))
            .filter(|(_, p)| p.instrument == instrument)
            .map(|(index, p)| (index, p.id))
            .collect();
        for (index, id) in held {
            self.restrict(index, id, false);
        }
    }

    /// Takes out of the book what the policy does not let happen inside the bar that is played
    /// (EX05). `filled_inside`: the position was opened on the bar's path.
    pub(super) fn restrict(&mut self, index: usize, id: PositionId, filled_inside: bool) {
        let policy = self.policy();
        let Some(played) = self.played.as_mut().filter(|p| p.leg > 0) else { return };
        let position = &self.accounts[index].positions[&id];
        if position.instrument != played.bar.instrument {
            return;
        }
        let reach = bars::reachable(&played.bar, position.side, position.stop_loss, position.take_profit);
        let Reach { stop_loss, take_profit } = reach;
        if if filled_inside { stop_loss || take_profit } else { stop_loss && take_profit } {
            played.ambiguous = true;
        }
        let hold_profit = policy == BarPolicy::Pessimistic && take_profit && (stop_loss || filled_inside);
        // even an optimist exits at the stop if the profit is not to come any more
        let to_come =
            || bars::profit_to_come(&played.legs[played.leg..], position.side, position.take_profit);
        let hold_loss = policy == BarPolicy::Optimistic && take_profit && stop_loss && to_come();
        let triggers = &mut self.markets[position.instrument.index()].triggers;
        let mut hold = |trigger: Trigger, level: Option<Price>| {
            if let Some(price) = level {
                triggers.remove(trigger, position.side, price);
                played.held_back.push((trigger, position.side, price));
            }
        };
        if hold_profit {
            hold(Trigger::take_profit(index, id), position.take_profit);
        }
        if hold_loss {
            hold(Trigger::stop_loss(index, id), position.stop_loss);
        }
    }

    /// Ends the bar: what was held back may trigger again.
    pub fn end_bar(&mut self, out: &mut VenueOut) {
        let Some(played) = self.played.take() else { return };
        if played.ambiguous {
            self.ambiguous_bars += 1;
            out.marks.push(Mark::AmbiguousBar);
        }
        let triggers = &mut self.markets[played.bar.instrument.index()].triggers;
        for (trigger, side, price) in played.held_back {
            if self.accounts[trigger.account].positions.contains_key(&PositionId(trigger.number)) {
                triggers.add(trigger, side, price);
            }
        }
    }

    pub(super) fn is_inside_bar(&self) -> bool {
        self.played.as_ref().is_some_and(|p| p.leg > 0)
    }

    fn policy(&self) -> BarPolicy {
        self.setup.as_ref().map_or(BarPolicy::default(), |s| s.config.bar_policy)
    }

    // ---- stop-out (AC08) -----------------------------------------------------------------------

    fn stop_out_all(&mut self, now: UnixNanos, instrument: InstrumentId, out: &mut VenueOut) {
        let mut account = 0;
        while let Some(index) = self.dependents.next(instrument, account) {
            while self.stop_out_step(now, index, out) {}
            account = index + 1;
        }
    }

    /// Does the next thing that a stop-out asks for; false when there is none.
    fn stop_out_step(&mut self, now: UnixNanos, index: usize, out: &mut VenueOut) -> bool {
        let account = &self.accounts[index];
        let due = account.margin > Money::ZERO
            && account.equity().at_most_percent_of(STOP_OUT_PERCENT, account.margin);
        if !due {
            return false;
        }
        let pending = account
            .orders
            .values()
            .filter(|o| o.position.is_none())
            .map(|o| (self.reserved_margin(index, o), o.order))
            .max_by(|(a, x), (b, y)| a.cmp(b).then(y.cmp(x)));
        if let Some((_, order)) = pending {
            self.remove_order(index, order);
            let account = self.accounts[index].id.clone();
            out.reports.push(VenueReport::Canceled { account, order, reason: Some("STOP_OUT".to_owned()) });
            return true;
        }
        let Some((id, price)) = self.largest_loser(now, index) else { return false };
        let volume = self.accounts[index].positions[&id].volume;
        self.close(now, index, id, volume, price, None, FillReason::StopOut, out);
        true
    }

    /// The open-session position with the least profit by price; ties: the lowest ticket.
    fn largest_loser(&mut self, now: UnixNanos, index: usize) -> Option<(PositionId, Price)> {
        let candidates: Vec<(PositionId, InstrumentId)> =
            self.accounts[index].positions.values().map(|p| (p.id, p.instrument)).collect();
        let mut worst: Option<(Money, PositionId, Price)> = None;
        for (id, instrument) in candidates {
            let Some(quote) = self.markets[instrument.index()].quote else { continue };
            if !self.is_tradable(now, instrument) {
                continue;
            }
            let position = &self.accounts[index].positions[&id];
            let price = quote.price_for(position.side.opposite());
            let profit = self.profit(index, position, position.volume, price);
            if worst.is_none_or(|(least, ..)| profit < least) {
                worst = Some((profit, id, price));
            }
        }
        worst.map(|(_, id, price)| (id, price))
    }
}
