//! The broker's front: its books, requests and quotes on their way in, stop-out.

use super::{
    account::{STOP_OUT_PERCENT, VenueAccount},
    deadlines::Deadlines,
    groups::{Groups, Held},
    played::PlayedBar,
    triggers::{Trigger, TriggerBook},
};
use crate::domain::{
    calendar::Sessions,
    config::Setup,
    exposure::{Dependents, Exposure, Marks},
    id::{AccountId, OrderId, PositionId},
    instrument::{InstrumentId, Price},
    market::Quote,
    message::{Mark, VenueReport, VenueRequest},
    money::Money,
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
    /// Orders that are decided at the next quote, oldest first: those that do not rest, and those that must not
    /// take liquidity.
    pub waiting: Vec<(usize, OrderId)>,
    /// Derived from orders and positions.
    #[serde(skip)]
    pub triggers: TriggerBook,
}

/// The simulated broker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Venue {
    pub(super) accounts: Vec<VenueAccount>,
    pub(super) index: BTreeMap<AccountId, usize>,
    pub(super) markets: Vec<VenueMarket>,
    sessions: Sessions,
    pub(super) ambiguous_bars: u64,
    /// When working orders end by their lifetime (OR08).
    #[serde(skip_serializing_if = "Deadlines::is_empty", default)]
    pub(super) deadlines: Deadlines,
    #[serde(skip)]
    pub(super) setup: Option<Arc<Setup>>,
    #[serde(skip)]
    pub(super) dependents: Dependents,
    #[serde(skip)]
    pub(super) played: Option<PlayedBar>,
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
                    held: BTreeMap::new(),
                    groups: Groups::default(),
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
        for (index, account) in self.accounts.iter_mut().enumerate() {
            account.groups = Groups::default();
            self.dependents.update(index, &account.exposure, &setup.rates, account.currency);
            for order in account.orders.values() {
                account.groups.add(order);
                let market = &mut self.markets[order.instrument.index()];
                let held = account.held.get(&order.order) == Some(&Held::Whole);
                if !held && !market.waiting.contains(&(index, order.order)) {
                    market.triggers.rest(index, order);
                }
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
            VenueRequest::Cancel { account, order } => self.cancel(now, account, *order, out),
            VenueRequest::Modify(request) => self.modify(now, &request.terms, out),
            VenueRequest::Link { .. } => {} // there is no wire to this venue
        }
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
        self.follow(now, instrument, kind, quote, out);
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
    pub(super) fn session_end(&mut self, now: UnixNanos, instrument: InstrumentId) -> UnixNanos {
        if !self.is_open(now, instrument) {
            return UnixNanos(i64::MIN);
        }
        let setup = self.setup.as_ref().expect("configured before use");
        self.sessions.state(setup.instrument(instrument).calendar).until
    }

    /// Whether the last quote can be traded at: the session is open and still the one it came in.
    pub(super) fn is_tradable(&mut self, now: UnixNanos, instrument: InstrumentId) -> bool {
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

    // ---- stop-out (AC08) -----------------------------------------------------------------------

    fn stop_out_all(&mut self, now: UnixNanos, instrument: InstrumentId, out: &mut VenueOut) {
        let mut account = 0;
        while let Some(index) = self.dependents.next(instrument, account) {
            let mut from = out.reports.len();
            while self.stop_out_step(now, index, out) {
                self.follow_groups(now, from, out);
                from = out.reports.len();
            }
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
