//! The engine: joins market, risk, execution, stops and strategies into one function.

use super::account::Account;
use super::answers::Awaiting;
use super::commands::Actor;
use super::execution::Desk;
use super::idempotency::Idempotency;
use super::ledger;
use super::market::Market;
use super::risk::Circumstances;
use super::stops::Stops;
use super::strategies::Slot;
use super::timers::{Timer, Timers};
use super::touched::Touched;
use crate::domain::config::{Config, Setup};
use crate::domain::exposure::Dependents;
use crate::domain::id::AccountId;
use crate::domain::instrument::InstrumentId;
use crate::domain::ledger::EntryKind;
use crate::domain::market::{Quote, QuoteFault, Timeframe};
use crate::domain::message::{
    Command, GatewayState, GatewayStatusChanged, LinkInput, Mark, Outputs, VenueReport,
};
use crate::domain::money::Money;
use crate::domain::order::Origin;
use crate::domain::time::{DAY_NS, HOUR_NS, UnixNanos};
use crate::strategy::Decision;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long ended orders and idempotency keys are kept in memory.
const KEEP_NS: i64 = DAY_NS;

/// What the machine tells the engine, one thing at a time.
#[derive(Debug)]
pub enum EngineInput<'a> {
    Configure(Arc<Setup>),
    Gateway(GatewayState),
    /// A quote that was admitted, after the venue has seen it.
    Quote(InstrumentId, Quote),
    Report(&'a VenueReport),
    /// News of a link to a venue outside the machine.
    Link(&'a LinkInput),
    Command(&'a Command),
    Deadline(Timer),
    ClockSuspect(bool),
    EndOfData,
}

/// The deterministic engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Engine {
    pub(super) accounts: Vec<Account>,
    pub(super) index: BTreeMap<AccountId, usize>,
    pub(super) market: Market,
    pub(super) timers: Timers,
    pub(super) slots: Vec<Slot>,
    pub(super) stops: Stops,
    pub(super) idempotency: Idempotency,
    pub(super) awaiting: Vec<Awaiting>,
    pub(super) clock_suspect: bool,
    pub(super) ended: bool,
    #[serde(skip)]
    pub(super) setup: Option<Arc<Setup>>,
    #[serde(skip)]
    dependents: Dependents,
    /// Accounts with fills that are not settled yet.
    #[serde(skip)]
    pub(super) filled: BTreeSet<usize>,
    #[serde(skip)]
    pub(super) touched: Touched,
    /// A configuration that a command asks for; the machine takes it into force at once.
    #[serde(skip)]
    pub(super) wanted_config: Option<Box<Config>>,
}

impl Engine {
    /// Whether the data feed has said that there is no more.
    pub const fn data_ended(&self) -> bool {
        self.ended
    }

    /// Applies one thing that happened. Requests to venues are appended to `out.venue`; the caller
    /// carries them out and applies the reports until there are none, then calls `settle`, which may
    /// append more.
    pub fn apply(&mut self, now: UnixNanos, input: EngineInput<'_>, out: &mut Outputs) {
        match input {
            EngineInput::Configure(setup) => self.configure(now, setup, out),
            EngineInput::Gateway(state) => self.gateway(now, state, out),
            EngineInput::Quote(instrument, quote) => self.quote(now, instrument, quote, out),
            EngineInput::Report(report) => self.report(now, report, out),
            EngineInput::Link(input) => self.link(now, input, out),
            EngineInput::Command(command) => self.command(now, command, out),
            EngineInput::Deadline(timer) => self.deadline(now, timer, out),
            EngineInput::ClockSuspect(suspect) => {
                self.clock_suspect = suspect;
                if suspect {
                    out.marks.push(Mark::ClockSuspect);
                }
            }
            EngineInput::EndOfData => self.end_of_data(now, out),
        }
    }

    /// Takes a quote in before the venue sees it, so that what the venue reports about it is valued at
    /// it. A quote that cannot be true is counted and must not be applied (EX10).
    pub fn admit(
        &mut self,
        now: UnixNanos,
        instrument: InstrumentId,
        quote: Quote,
        out: &mut Outputs,
    ) -> Result<(), QuoteFault> {
        self.market.admit(now, instrument, quote).inspect_err(|_| out.marks.push(Mark::QuoteQuarantined))?;
        let setup = self.setup();
        // a calendar that is wrong must not blind the margin: such a quote fills nothing, but it marks (OR09)
        if !self.market.is_quoted(&setup, instrument, now) {
            out.marks.push(Mark::QuoteOutOfSession);
        }
        if self.dependents.is_empty(instrument) {
            return Ok(());
        }
        let mut from = 0;
        while let Some(index) = self.dependents.next(instrument, from) {
            self.accounts[index].mark(instrument, &setup, &self.market);
            if self.accounts[index].exposure.conversion_missing {
                out.marks.push(Mark::ConversionMissing);
            }
            from = index + 1;
        }
        Ok(())
    }

    /// The configuration that a command has asked for.
    pub fn take_wanted_config(&mut self) -> Option<Box<Config>> {
        self.wanted_config.take()
    }

    /// The next deadline.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.timers.next()
    }

    /// Takes the next deadline at or before `now`.
    pub fn pop_deadline(&mut self, now: UnixNanos) -> Option<(UnixNanos, Timer)> {
        self.timers.pop(now)
    }

    /// Rebuilds what is derived, after a snapshot.
    pub fn adopt(&mut self, setup: Arc<Setup>) {
        self.dependents = Dependents::new(setup.config.instruments.len());
        for (index, account) in self.accounts.iter().enumerate() {
            self.dependents.update(index, &account.exposure, &setup.rates, account.config.currency);
        }
        self.setup = Some(setup);
    }

    /// Balance plus floating profit of an account.
    pub fn equity(&self, account: &AccountId) -> Option<Money> {
        self.index.get(account).map(|i| self.accounts[*i].equity())
    }

    /// Quotes used, and quotes quarantined by reason.
    pub fn quote_counts(&self) -> (u64, BTreeMap<&'static str, u64>) {
        (self.market.quotes(), self.market.quarantined())
    }

    pub(super) fn setup(&self) -> Arc<Setup> {
        Arc::clone(self.setup.as_ref().expect("the machine configures before anything else"))
    }

    pub(super) fn desk<'a>(
        &'a mut self,
        index: usize,
        setup: &'a Setup,
        now: UnixNanos,
        out: &'a mut Outputs,
    ) -> Desk<'a> {
        let Self { accounts, market, touched, .. } = self;
        Desk { account: &mut accounts[index], setup, market, now, out, index, touched }
    }

    // ---- configuration, gateway, time ---------------------------------------------------------

    fn configure(&mut self, now: UnixNanos, setup: Arc<Setup>, out: &mut Outputs) {
        let first = self.setup.is_none();
        self.market.configure(&setup, now, &mut self.timers);
        for config in &setup.config.accounts {
            if let Some(&index) = self.index.get(&config.id) {
                self.accounts[index].config = config.clone();
                continue;
            }
            let index = self.accounts.len();
            self.index.insert(config.id.clone(), index);
            let mut account = Account::new(config.clone());
            account.session.since = now;
            if config.is_paper() {
                let deposit = Money::of(config.deposit, config.currency);
                ledger::post(&mut account, EntryKind::Deposit, deposit, "deposit".to_owned(), now, out);
            }
            self.accounts.push(account);
            if config.added {
                self.open_link(now, index, out);
            }
        }
        self.timers.drop_where(|t| matches!(t, Timer::DayRoll(_)));
        for index in 0..self.accounts.len() {
            let at = self.accounts[index].next_roll(&setup, now);
            self.timers.set(at, Timer::DayRoll(index));
        }
        if first {
            self.timers.set(now.floor(HOUR_NS).plus(HOUR_NS), Timer::Prune);
        }
        let known = std::mem::take(&mut self.slots);
        self.slots = setup
            .config
            .strategies
            .iter()
            .filter_map(|config| {
                known.iter().find(|slot| slot.config == *config).cloned().or_else(|| Slot::new(config))
            })
            .collect();
        self.adopt(setup);
    }

    fn gateway(&mut self, now: UnixNanos, state: GatewayState, out: &mut Outputs) {
        out.events.push(GatewayStatusChanged { state, details: None }.into());
        if state == GatewayState::Ready {
            self.begin_links(now, out);
        }
    }

    fn deadline(&mut self, now: UnixNanos, timer: Timer, out: &mut Outputs) {
        let setup = self.setup();
        match timer {
            Timer::Session(instrument) => {
                if self.market.session(now, instrument, &setup, &mut self.timers, out) {
                    self.close_for_stops(now, instrument, out);
                }
            }
            Timer::Candle(instrument, timeframe) => self.candle(now, instrument, timeframe, out),
            Timer::DayRoll(index) => {
                let account = &mut self.accounts[index];
                account.day.equity_at_roll = account.equity();
                account.day.cash_flows = Money::ZERO;
                let at = self.accounts[index].next_roll(&setup, now);
                self.timers.set(at, Timer::DayRoll(index));
            }
            Timer::Prune => {
                let until = now.plus(-KEEP_NS);
                self.accounts.iter_mut().for_each(|account| account.prune(until));
                self.idempotency.prune(until);
                self.timers.set(now.plus(HOUR_NS), Timer::Prune);
            }
            Timer::LinkAnswers(index) => self.ask_for_answers(now, index, out),
            Timer::Answer(command) => self.answer_now(command, out),
        }
    }

    // ---- market -------------------------------------------------------------------------------

    fn quote(&mut self, now: UnixNanos, instrument: InstrumentId, quote: Quote, out: &mut Outputs) {
        self.market.quote(now, instrument, quote, &mut self.timers, out);
        if self.ended {
            self.ended = false; // data go on after all: another feed took over
            self.slots.iter_mut().for_each(Slot::go_on);
        }
        if self.dependents.is_empty(instrument) {
            return;
        }
        let mut from = 0;
        while let Some(index) = self.dependents.next(instrument, from) {
            self.check_daily_loss(now, index, out);
            from = index + 1;
        }
        self.close_for_stops(now, instrument, out);
    }

    fn candle(&mut self, now: UnixNanos, instrument: InstrumentId, timeframe: Timeframe, out: &mut Outputs) {
        let Some(candle) = self.market.complete(instrument, timeframe, &mut self.timers, out) else { return };
        let setup = self.setup();
        for index in 0..self.slots.len() {
            if !self.slots[index].looks_at(&setup, instrument, timeframe) {
                continue;
            }
            let account = &self.accounts[self.index[&self.slots[index].config.account]];
            let decisions = self.slots[index].on_candle(index, &setup, account, &candle);
            self.decide(now, index, &decisions, out);
        }
    }

    fn end_of_data(&mut self, now: UnixNanos, out: &mut Outputs) {
        self.ended = true;
        let setup = self.setup();
        for index in 0..self.slots.len() {
            let account = &self.accounts[self.index[&self.slots[index].config.account]];
            let decisions = self.slots[index].on_end(index, &setup, account);
            self.decide(now, index, &decisions, out);
        }
    }

    /// Turns a strategy's decisions into ordinary orders.
    fn decide(&mut self, now: UnixNanos, slot: usize, decisions: &[Decision], out: &mut Outputs) {
        let account = self.index[&self.slots[slot].config.account];
        let actor = Actor {
            principal: self.slots[slot].principal(),
            origin: Origin::Agent,
            strategy: Some(slot),
            trace: None,
        };
        for decision in decisions {
            match decision {
                Decision::Open(side) => {
                    let order = self.slots[slot].order(*side);
                    let _ = self.place(now, account, &actor, &order, false, out);
                }
                Decision::Close(position) => {
                    let intent = self.intend_close(account, &actor, &[*position], Some("signal"), out);
                    let _ = self.reduce(now, account, &actor, intent, *position, None, Some("signal"), out);
                }
            }
        }
    }

    pub(super) fn report(&mut self, now: UnixNanos, report: &VenueReport, out: &mut Outputs) {
        let Some(&index) = self.index.get(report.account()) else {
            out.marks.push(Mark::OrphanReport);
            return;
        };
        let setup = self.setup();
        self.desk(index, &setup, now, out).report(report);
        if matches!(report, VenueReport::Filled(_)) {
            let account = &self.accounts[index];
            self.dependents.update(index, &account.exposure, &setup.rates, account.config.currency);
            self.filled.insert(index);
        }
    }

    pub(super) fn circumstances<'a>(
        &'a self,
        now: UnixNanos,
        account: usize,
        setup: &'a Setup,
    ) -> Circumstances<'a> {
        let account = &self.accounts[account];
        Circumstances {
            now,
            setup,
            account,
            market: &self.market,
            halted: self.stops.halted(account.id()),
            clock_suspect: self.clock_suspect,
            ended: self.ended,
            duplicate: false,
        }
    }
}
