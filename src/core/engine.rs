//! The engine: joins market, risk, execution, stops and strategies into one function.

use super::{
    account::{Account, LossLatch},
    execution::{Desk, Giver, closing_side},
    idempotency::{Admission, Idempotency},
    ledger,
    market::Market,
    risk::{self, Circumstances, Facts},
    stops::Stops,
    strategies::Slot,
    timers::{Timer, Timers},
};
use crate::domain::{
    account::LinkStatus,
    calendar::Zone,
    config::Setup,
    exposure::Dependents,
    id::{AccountId, CommandId, IntentId, OrderId, PositionId, StopId},
    instrument::InstrumentId,
    ledger::EntryKind,
    market::{Quote, QuoteFault, Timeframe},
    message::{
        AccountStatusChanged, CancelOrders, CancelReply, CancelTarget, ClosePosition, CloseReply,
        CloseTarget, Command, CommandBody, EmergencyStop, ErrorCode, FillView, GatewayState,
        GatewayStatusChanged, Mark, Outcome, OutcomeKind, OutcomeState, Outputs, PlaceOrder, PlaceReply,
        Refusal, Reply, ReplyBody, ResumeReply, ResumeTarget, ResumeTrading, RiskAlert, StopPhase, StopReply,
        StopScope, TradeIntent, TradeRejected, VenueReport, Violation, ViolationCode,
    },
    money::Money,
    order::{OrderStatus, OrderType, Origin, TimeInForce},
    time::{DAY_NS, HOUR_NS, UnixNanos},
};
use crate::strategy::Decision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// How long ended orders and idempotency keys are kept in memory.
const KEEP_NS: i64 = DAY_NS;

/// What the machine tells the engine, one thing at a time.
#[derive(Debug)]
pub enum EngineInput<'a> {
    Configure(Arc<Setup>),
    Gateway(GatewayState),
    /// A quote that passed the screen, after the venue has seen it.
    Quote(InstrumentId, Quote),
    Report(&'a VenueReport),
    Command(&'a Command),
    Deadline(Timer),
    ClockSuspect(bool),
    EndOfData,
}

/// A command whose answer waits for the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Awaiting {
    command: CommandId,
    what: Pending,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pending {
    Place { account: usize, order: OrderId },
    Cancel { account: usize, orders: Vec<OrderId> },
    Close { account: usize, intent: IntentId, orders: Vec<OrderId>, positions: Vec<PositionId> },
    Stop { stop: StopId, targets: Targets },
}

/// What an emergency stop went for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Targets {
    orders: Vec<(usize, OrderId)>,
    positions: Vec<(usize, PositionId)>,
}

/// Who acts.
#[derive(Debug, Clone)]
struct Actor {
    principal: String,
    origin: Origin,
    /// The strategy, by its slot.
    strategy: Option<usize>,
    trace: Option<String>,
}

/// The deterministic engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Engine {
    pub(super) accounts: Vec<Account>,
    pub(super) index: BTreeMap<AccountId, usize>,
    pub(super) market: Market,
    timers: Timers,
    slots: Vec<Slot>,
    pub(super) stops: Stops,
    idempotency: Idempotency,
    awaiting: Vec<Awaiting>,
    pub(super) clock_suspect: bool,
    pub(super) ended: bool,
    #[serde(skip)]
    pub(super) setup: Option<Arc<Setup>>,
    #[serde(skip)]
    dependents: Dependents,
}

impl Engine {
    /// Applies one thing that happened. Requests to venues are appended to `out.venue`; the caller
    /// carries them out and applies the reports until there are none, then calls `settle`.
    pub fn apply(&mut self, now: UnixNanos, input: EngineInput<'_>, out: &mut Outputs) {
        match input {
            EngineInput::Configure(setup) => self.configure(now, setup, out),
            EngineInput::Gateway(state) => self.gateway(state, out),
            EngineInput::Quote(instrument, quote) => self.quote(now, instrument, quote, out),
            EngineInput::Report(report) => self.report(now, report, out),
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

    /// Whether a quote can be true; if not it is counted and must not be applied (EX10).
    pub fn screen(&mut self, quote: Quote, out: &mut Outputs) -> Result<(), QuoteFault> {
        self.market.screen(quote).inspect_err(|_| out.marks.push(Mark::QuoteQuarantined))
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

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(self.setup.as_ref().expect("the machine configures before anything else"))
    }

    fn desk<'a>(
        &'a mut self,
        index: usize,
        setup: &'a Setup,
        now: UnixNanos,
        out: &'a mut Outputs,
    ) -> Desk<'a> {
        Desk { account: &mut self.accounts[index], setup, market: &self.market, now, out }
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
            let deposit = Money::of(config.deposit, config.currency);
            ledger::post(&mut account, EntryKind::Deposit, deposit, "deposit".to_owned(), now, out);
            self.accounts.push(account);
        }
        self.timers.drop_where(|t| matches!(t, Timer::DayRoll(_)));
        for index in 0..self.accounts.len() {
            let at = self.next_roll(index, &setup, now);
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

    fn gateway(&mut self, state: GatewayState, out: &mut Outputs) {
        out.events.push(GatewayStatusChanged { state, details: None }.into());
        let (status, previous) = match state {
            GatewayState::Ready => (LinkStatus::Connected, LinkStatus::Disconnected),
            GatewayState::Draining => return,
        };
        for account in &self.accounts {
            let account_id = account.id().clone();
            out.events.push(AccountStatusChanged { account_id, status, previous, reason: None }.into());
        }
    }

    /// The next day roll: 00:00 UTC for accounts that trade coins only, else the broker's (RK04).
    fn next_roll(&self, index: usize, setup: &Setup, now: UnixNanos) -> UnixNanos {
        let allowed = &self.accounts[index].config.allowed_symbols;
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
                let at = self.next_roll(index, &setup, now);
                self.timers.set(at, Timer::DayRoll(index));
            }
            Timer::Prune => {
                let until = now.plus(-KEEP_NS);
                self.accounts.iter_mut().for_each(|account| account.prune(until));
                self.idempotency.prune(until);
                self.timers.set(now.plus(HOUR_NS), Timer::Prune);
            }
        }
    }

    // ---- market -------------------------------------------------------------------------------

    fn quote(&mut self, now: UnixNanos, instrument: InstrumentId, quote: Quote, out: &mut Outputs) {
        self.market.quote(now, instrument, quote, &mut self.timers, out);
        if self.dependents.is_empty(instrument) {
            return;
        }
        let setup = self.setup();
        let mut from = 0;
        while let Some(index) = self.dependents.next(instrument, from) {
            self.accounts[index].mark(instrument, &setup, &self.market);
            if self.accounts[index].exposure.conversion_missing {
                out.marks.push(Mark::ConversionMissing);
            }
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
            let decisions = self.slots[index].on_candle(index, account, &candle);
            self.decide(now, index, &decisions, out);
        }
    }

    fn end_of_data(&mut self, now: UnixNanos, out: &mut Outputs) {
        self.ended = true;
        for index in 0..self.slots.len() {
            let account = &self.accounts[self.index[&self.slots[index].config.account]];
            let decisions = self.slots[index].on_end(index, account);
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

    fn report(&mut self, now: UnixNanos, report: &VenueReport, out: &mut Outputs) {
        let account = match report {
            VenueReport::Accepted { account, .. }
            | VenueReport::Rejected { account, .. }
            | VenueReport::Canceled { account, .. }
            | VenueReport::CancelRejected { account, .. } => account,
            VenueReport::Filled(fill) => &fill.account,
        };
        let Some(&index) = self.index.get(account) else {
            out.marks.push(Mark::OrphanReport);
            return;
        };
        let setup = self.setup();
        self.desk(index, &setup, now, out).report(report);
        if matches!(report, VenueReport::Filled(_)) {
            let account = &self.accounts[index];
            self.dependents.update(index, &account.exposure, &setup.rates, account.config.currency);
            self.check_daily_loss(now, index, out);
        }
    }

    /// Trips the daily loss limit: new risk is denied and working opening orders are cancelled.
    fn check_daily_loss(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        if account.loss_latch.is_some() {
            return;
        }
        let setup = self.setup();
        let Some((loss, limit)) = risk::daily_loss_tripped(account, &setup.config.limits) else { return };
        let account = &mut self.accounts[index];
        account.loss_latch = Some(LossLatch { since: now, loss, limit });
        out.marks.push(Mark::DailyLossTripped);
        let message =
            format!("the loss since the day roll reached {loss}, the limit is {limit}: only reductions");
        let violation = Violation {
            code: ViolationCode::MaxDailyLoss,
            message: message.clone(),
            limit: Some(limit.amount()),
            actual: Some(loss.amount()),
            would_satisfy: None,
        };
        out.events.push(
            RiskAlert {
                alert_id: account.next_alert(),
                account_id: Some(account.id().clone()),
                code: ViolationCode::MaxDailyLoss,
                message,
                violations: vec![violation],
                blocked_action: None,
                would_satisfy: None,
            }
            .into(),
        );
        self.cancel_opening(now, index, &setup, out);
    }

    fn cancel_opening(
        &mut self,
        now: UnixNanos,
        index: usize,
        setup: &Setup,
        out: &mut Outputs,
    ) -> Vec<OrderId> {
        let orders: Vec<OrderId> = self.accounts[index].opening().map(|o| o.id).collect();
        let mut desk = self.desk(index, setup, now, out);
        orders.iter().for_each(|id| {
            desk.request_cancel(*id, None);
        });
        orders
    }

    // ---- commands -----------------------------------------------------------------------------

    fn command(&mut self, now: UnixNanos, command: &Command, out: &mut Outputs) {
        match self.idempotency.admit(command, now) {
            Admission::Execute => {}
            Admission::Joined => {
                out.marks.push(Mark::IdempotentReplay);
                return;
            }
            Admission::Answered(answer) => {
                let mismatch = matches!(&*answer, Err(r) if r.reason() == "IDEMPOTENCY_MISMATCH");
                out.marks.push(if mismatch { Mark::IdempotencyMismatch } else { Mark::IdempotentReplay });
                out.replies.push(Reply { command: command.id, result: *answer });
                return;
            }
        }
        let actor = Actor {
            principal: command.principal.clone(),
            origin: command.origin,
            strategy: None,
            trace: Some(command.id.to_string()),
        };
        let account = match command.body.account().map(|id| (id, self.index.get(id).copied())) {
            Some((id, None)) => {
                let message = format!("there is no account `{id}`: accounts.list names them");
                let refusal = Refusal::new(ErrorCode::NotFound, "ACCOUNT_UNKNOWN", message);
                self.answer(command.id, Err(refusal), out);
                return;
            }
            Some((_, Some(index))) => index,
            None => usize::MAX, // global commands do not look at it
        };
        let started = match &command.body {
            CommandBody::Place(order) => {
                let used = command.prior.is_some();
                self.place(now, account, &actor, order, used, out)
                    .map(|order| Some(Pending::Place { account, order }))
            }
            CommandBody::Cancel(cancel) => self.cancel(now, account, &actor, cancel, out).map(Some),
            CommandBody::Close(close) => self.close(now, account, &actor, close, out).map(Some),
            CommandBody::EmergencyStop(stop) => Ok(Some(self.emergency_stop(now, &actor, stop, out))),
            CommandBody::Resume(resume) => self.resume(command.id, &actor, resume, out).map(|()| None),
        };
        match started {
            Ok(Some(what)) => self.awaiting.push(Awaiting { command: command.id, what }),
            Ok(None) => {}
            Err(refusal) => self.answer(command.id, Err(*refusal), out),
        }
    }

    /// Gives the final answer, to the command and to those that joined it.
    fn answer(&mut self, command: CommandId, result: Result<ReplyBody, Refusal>, out: &mut Outputs) {
        for joined in self.idempotency.bind(command, &result) {
            out.replies.push(Reply { command: joined, result: result.clone() });
        }
        out.replies.push(Reply { command, result });
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

    /// Decides on an order and sends it.
    fn place(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        order: &PlaceOrder,
        id_used: bool,
        out: &mut Outputs,
    ) -> Result<OrderId, Box<Refusal>> {
        let setup = self.setup();
        let intent =
            self.intend(index, actor, &order.symbol, "place", place_params(order), order.reason.clone(), out);
        let assessment = {
            let known = |id| self.accounts[index].client_ids.contains_key(id);
            let duplicate = id_used || order.client_order_id.as_ref().is_some_and(known);
            let around = Circumstances { duplicate, ..self.circumstances(now, index, &setup) };
            risk::assess(&Facts::new(around, order))
        };
        match assessment.approved {
            Some(approved) => {
                let giver = Giver { intent, origin: actor.origin, strategy: actor.strategy };
                Ok(self.desk(index, &setup, now, out).submit(approved, giver))
            }
            None => Err(Box::new(self.deny(index, intent, order, assessment.violations, out))),
        }
    }

    fn intend(
        &mut self,
        index: usize,
        actor: &Actor,
        symbol: &str,
        action: &str,
        params: Map<String, Value>,
        reason: Option<String>,
        out: &mut Outputs,
    ) -> IntentId {
        let account = &mut self.accounts[index];
        let intent_id = account.next_intent();
        let trace_id = actor.trace.clone().unwrap_or_else(|| format!("{}-{intent_id}", account.id()));
        out.events.push(
            TradeIntent {
                intent_id,
                trace_id,
                origin: actor.origin,
                account_id: account.id().clone(),
                symbol: symbol.chars().take(64).collect(),
                action: action.to_owned(),
                params,
                reason,
            }
            .into(),
        );
        intent_id
    }

    /// Refused by us: told to everybody who reads the account, and alerted unless it is only that
    /// the market is closed.
    fn deny(
        &mut self,
        index: usize,
        intent_id: IntentId,
        order: &PlaceOrder,
        violations: Vec<Violation>,
        out: &mut Outputs,
    ) -> Refusal {
        let refusal = Refusal::from_violations(&violations).with("intentId", intent_id.to_string());
        let first = violations.first().expect("a denial has a violation").clone();
        out.marks.push(match first.code {
            ViolationCode::MarketClosed => Mark::MarketClosedDenied,
            ViolationCode::TradingHalted => Mark::HaltedDenied,
            _ => Mark::OrderDenied,
        });
        let account = &mut self.accounts[index];
        let account_id = account.id().clone();
        out.events.push(
            TradeRejected {
                intent_id,
                order_id: None,
                client_order_id: order.client_order_id.clone(),
                account_id: account_id.clone(),
                by: "gateway".to_owned(),
                code: first.code.name().to_owned(),
                reason: first.message.clone(),
                violations: violations.clone(),
            }
            .into(),
        );
        if first.code != ViolationCode::MarketClosed {
            out.events.push(
                RiskAlert {
                    alert_id: account.next_alert(),
                    account_id: Some(account_id),
                    code: first.code,
                    message: first.message,
                    violations,
                    blocked_action: Some(if order.position.is_some() { "close" } else { "place" }.to_owned()),
                    would_satisfy: first.would_satisfy,
                }
                .into(),
            );
        }
        refusal
    }

    fn cancel(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        cancel: &CancelOrders,
        out: &mut Outputs,
    ) -> Result<Pending, Box<Refusal>> {
        let setup = self.setup();
        let orders = self.cancel_targets(index, &setup, &cancel.target)?;
        let account = &self.accounts[index];
        let symbol = orders.first().map_or_else(String::new, |id| {
            setup.instrument(account.orders[id].order.instrument).symbol.to_string()
        });
        let named: Vec<String> = orders.iter().map(ToString::to_string).collect();
        let mut params = Map::new();
        params.insert("orderIds".into(), json!(named));
        let intent = self.intend(index, actor, &symbol, "cancel", params, None, out);
        let mut desk = self.desk(index, &setup, now, out);
        for order in &orders {
            desk.request_cancel(*order, Some(intent));
        }
        Ok(Pending::Cancel { account: index, orders })
    }

    fn cancel_targets(
        &self,
        index: usize,
        setup: &Setup,
        target: &CancelTarget,
    ) -> Result<Vec<OrderId>, Box<Refusal>> {
        let account = &self.accounts[index];
        let unknown = |name: String| {
            let message = format!("there is no order `{name}` on this account");
            Box::new(Refusal::new(ErrorCode::NotFound, "ORDER_UNKNOWN", message))
        };
        let id = match target {
            CancelTarget::Order(id) => *id,
            CancelTarget::ClientOrder(id) => {
                *account.client_ids.get(id).ok_or_else(|| unknown(id.to_string()))?
            }
            CancelTarget::All { symbol } => {
                let instrument = match symbol.as_deref().map(|s| (s, setup.find(s))) {
                    Some((name, None)) => {
                        let message = format!("there is no instrument `{name}`");
                        return Err(Box::new(Refusal::new(ErrorCode::NotFound, "SYMBOL_UNKNOWN", message)));
                    }
                    Some((_, found)) => found,
                    None => None,
                };
                let wanted = |id: InstrumentId| instrument.is_none_or(|i| i == id);
                return Ok(account.opening().filter(|o| wanted(o.instrument)).map(|o| o.id).collect());
            }
        };
        let record = account.orders.get(&id).ok_or_else(|| unknown(id.to_string()))?;
        if record.order.status.is_terminal() {
            let status = serde_json::to_value(record.order.status).unwrap_or_default();
            let message = format!("order {id} has ended as {}", status.as_str().unwrap_or_default());
            let refusal = Refusal::new(ErrorCode::Conflict, "ORDER_TERMINAL", message).with("status", status);
            return Err(Box::new(refusal));
        }
        Ok(vec![id])
    }

    fn close(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        close: &ClosePosition,
        out: &mut Outputs,
    ) -> Result<Pending, Box<Refusal>> {
        let setup = self.setup();
        let account = &self.accounts[index];
        let positions: Vec<PositionId> = match &close.target {
            CloseTarget::Position(id) => {
                account.positions.contains_key(id).then_some(*id).into_iter().collect()
            }
            CloseTarget::Symbol(symbol) => {
                let instrument = setup.find(symbol);
                account
                    .positions
                    .values()
                    .filter(|p| Some(p.instrument) == instrument)
                    .map(|p| p.id)
                    .collect()
            }
        };
        if positions.is_empty() {
            let message = "there is no such open position: accounts.get lists them";
            return Err(Box::new(Refusal::new(ErrorCode::NotFound, "POSITION_UNKNOWN", message)));
        }
        let reason = close.reason.as_deref();
        let intent = self.intend_close(index, actor, &positions, reason, out);
        let mut orders = Vec::new();
        let mut refused = None;
        for position in &positions {
            match self.reduce(now, index, actor, intent, *position, close.volume, reason, out) {
                Ok(order) => orders.push(order),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if orders.is_empty() => Err(refusal),
            _ => Ok(Pending::Close { account: index, intent, orders, positions }),
        }
    }

    fn intend_close(
        &mut self,
        index: usize,
        actor: &Actor,
        positions: &[PositionId],
        reason: Option<&str>,
        out: &mut Outputs,
    ) -> IntentId {
        let setup = self.setup();
        let held = positions.first().and_then(|id| self.accounts[index].positions.get(id));
        let symbol = held.map_or_else(String::new, |p| setup.instrument(p.instrument).symbol.to_string());
        let named: Vec<String> = positions.iter().map(ToString::to_string).collect();
        let mut params = Map::new();
        params.insert("positionIds".into(), json!(named));
        self.intend(index, actor, &symbol, "close", params, reason.map(str::to_owned), out)
    }

    /// Sends a reduction of one position through the gate.
    #[allow(clippy::too_many_arguments)] // who, what, how much and why: each is its own fact
    fn reduce(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        intent: IntentId,
        position: PositionId,
        volume: Option<rust_decimal::Decimal>,
        reason: Option<&str>,
        out: &mut Outputs,
    ) -> Result<OrderId, Box<Refusal>> {
        let setup = self.setup();
        let Some(order) = self.reduction(index, &setup, position, volume, reason) else {
            let message = format!("there is no open position {position}");
            return Err(Box::new(Refusal::new(ErrorCode::NotFound, "POSITION_UNKNOWN", message)));
        };
        let assessment = risk::assess(&Facts::new(self.circumstances(now, index, &setup), &order));
        match assessment.approved {
            Some(approved) => {
                let giver = Giver { intent, origin: actor.origin, strategy: actor.strategy };
                Ok(self.desk(index, &setup, now, out).submit(approved, giver))
            }
            None => Err(Box::new(self.deny(index, intent, &order, assessment.violations, out))),
        }
    }

    /// The order that reduces a position; all of it unless a volume is given.
    fn reduction(
        &self,
        index: usize,
        setup: &Setup,
        id: PositionId,
        volume: Option<rust_decimal::Decimal>,
        reason: Option<&str>,
    ) -> Option<PlaceOrder> {
        let account = &self.accounts[index];
        let position = account.positions.get(&id)?;
        let instrument = setup.instrument(position.instrument);
        Some(PlaceOrder {
            account: account.id().clone(),
            symbol: instrument.symbol.to_string(),
            side: closing_side(position),
            order_type: OrderType::Market,
            volume: volume.unwrap_or_else(|| instrument.lots(position.volume)),
            price: None,
            stop_price: None,
            stop_loss: None,
            take_profit: None,
            tif: TimeInForce::Gtc,
            filling: None,
            expires_at: None,
            post_only: false,
            reduce_only: true,
            position: Some(id),
            client_order_id: None,
            reason: reason.map(str::to_owned),
        })
    }

    // ---- emergency stop -----------------------------------------------------------------------

    fn emergency_stop(
        &mut self,
        now: UnixNanos,
        actor: &Actor,
        stop: &EmergencyStop,
        out: &mut Outputs,
    ) -> Pending {
        let setup = self.setup();
        let (id, new) = self.stops.latch(stop, &actor.principal, now);
        out.marks.push(if new { Mark::EmergencyStopLatched } else { Mark::EmergencyStopRepeated });
        let latched = self.stops.get(id).expect("just latched").clone();
        out.events.push(latched.event(StopPhase::Latched, &actor.principal, &stop.reason, Vec::new()).into());
        let mut targets = Targets::default();
        for index in 0..self.accounts.len() {
            if !latched.covers(self.accounts[index].id()) {
                continue;
            }
            if latched.cancels() {
                let orders = self.cancel_opening(now, index, &setup, out);
                targets.orders.extend(orders.into_iter().map(|order| (index, order)));
            }
            if latched.closes() {
                let held = self.accounts[index].positions.keys().map(|id| (index, *id));
                targets.positions.extend(held);
            }
        }
        for instrument in (0..=u16::MAX).map(InstrumentId).take(setup.instruments().len()) {
            self.close_for_stops(now, instrument, out);
        }
        Pending::Stop { stop: id, targets }
    }

    /// Closes what latched stops want closed on one instrument, where the gate lets it: a closed
    /// market and missing quotes wait for the next session or quote (RK06).
    fn close_for_stops(&mut self, now: UnixNanos, instrument: InstrumentId, out: &mut Outputs) {
        if !self.stops.busy() {
            return;
        }
        let setup = self.setup();
        for index in 0..self.accounts.len() {
            if !self.stops.closing(self.accounts[index].id()) {
                continue;
            }
            let account = &self.accounts[index];
            let being_closed = |id: PositionId| account.working().any(|r| r.order.position == Some(id));
            let positions: Vec<PositionId> = account
                .positions
                .values()
                .filter(|p| p.instrument == instrument && !being_closed(p.id))
                .map(|p| p.id)
                .collect();
            let actor =
                Actor { principal: "risk".to_owned(), origin: Origin::Risk, strategy: None, trace: None };
            for position in positions {
                let Some(order) = self.reduction(index, &setup, position, None, Some("emergency_stop"))
                else {
                    continue;
                };
                let around = self.circumstances(now, index, &setup);
                let Some(approved) = risk::assess(&Facts::new(around, &order)).approved else { continue };
                let intent = self.intend_close(index, &actor, &[position], Some("emergency_stop"), out);
                let giver = Giver { intent, origin: Origin::Risk, strategy: None };
                self.desk(index, &setup, now, out).submit(approved, giver);
            }
        }
    }

    fn resume(
        &mut self,
        command: CommandId,
        actor: &Actor,
        resume: &ResumeTrading,
        out: &mut Outputs,
    ) -> Result<(), Box<Refusal>> {
        let stops: Vec<StopId> = match &resume.target {
            ResumeTarget::Stop(id) => match self.stops.get(*id) {
                Some(_) => vec![*id],
                None => {
                    let message = format!("no stop {id} is latched: risk.status lists the latches");
                    return Err(Box::new(Refusal::new(ErrorCode::NotFound, "STOP_UNKNOWN", message)));
                }
            },
            ResumeTarget::Scope(scope) => {
                self.stops.all().iter().filter(|s| s.scope == *scope).map(|s| s.id).collect()
            }
        };
        if let Some(stop) = stops.iter().filter_map(|id| self.stops.get(*id)).find(|s| !s.complete) {
            let message =
                format!("stop {} is still cancelling or closing: wait until it is complete", stop.id);
            return Err(Box::new(Refusal::new(ErrorCode::Conflict, "STOP_INCOMPLETE", message).retryable()));
        }
        let mut cleared = Vec::new();
        if let ResumeTarget::Scope(StopScope::Account(id)) = &resume.target {
            cleared.extend(self.clear_loss_latch(id)?);
        }
        for id in stops {
            let Some(stop) = self.stops.lift(id) else { continue };
            out.events
                .push(stop.event(StopPhase::Resumed, &actor.principal, &resume.reason, Vec::new()).into());
            out.marks.push(Mark::Resumed);
            cleared.push(id.to_string());
        }
        let reply = ResumeReply { cleared, journal_offset: command.0 };
        self.answer(command, Ok(ReplyBody::Resume(reply)), out);
        Ok(())
    }

    /// Clears an account's loss latch; a loss that still exceeds its limit keeps it.
    fn clear_loss_latch(&mut self, id: &AccountId) -> Result<Option<String>, Box<Refusal>> {
        let setup = self.setup();
        let account = &mut self.accounts[self.index[id]];
        if account.loss_latch.is_none() {
            return Ok(None);
        }
        if let Some((loss, limit)) = risk::daily_loss_tripped(account, &setup.config.limits) {
            let message = format!(
                "the loss since the day roll is still {loss} of {limit}: raise max_daily_loss or wait for the roll"
            );
            return Err(Box::new(Refusal::new(ErrorCode::Conflict, "LIMIT_STILL_EXCEEDED", message)));
        }
        account.loss_latch = None;
        Ok(Some(format!("daily_loss:{id}")))
    }

    // ---- when the venue is quiet --------------------------------------------------------------

    /// Answers what can be answered and completes stops. Called when no request and no report is
    /// left to carry out.
    pub fn settle(&mut self, now: UnixNanos, out: &mut Outputs) {
        if self.stops.busy() {
            self.complete_stops(out);
        }
        for waiting in std::mem::take(&mut self.awaiting) {
            match self.outcome(now, &waiting) {
                Some(result) => self.answer(waiting.command, result, out),
                None => self.awaiting.push(waiting),
            }
        }
    }

    fn complete_stops(&mut self, out: &mut Outputs) {
        for stop in self.stops.all().to_vec() {
            let covered = || self.accounts.iter().filter(|a| stop.covers(a.id()));
            let orders_left = stop.cancels() && covered().any(|a| a.opening().next().is_some());
            let positions_left = stop.closes() && covered().any(|a| !a.positions.is_empty());
            if stop.complete || orders_left || positions_left {
                continue;
            }
            self.stops.complete(stop.id);
            out.marks.push(Mark::EmergencyStopCompleted);
            out.events.push(stop.event(StopPhase::Completed, &stop.actor, &stop.reason, Vec::new()).into());
        }
    }

    /// The final answer of a command, if its orders have got far enough.
    fn outcome(&self, _now: UnixNanos, waiting: &Awaiting) -> Option<Result<ReplyBody, Refusal>> {
        let journal_offset = waiting.command.0;
        match &waiting.what {
            Pending::Place { account, order } => self.place_outcome(*account, *order, journal_offset),
            Pending::Cancel { account, orders } => {
                let outcomes = orders.iter().map(|id| self.order_outcome(*account, *id)).collect();
                Some(Ok(ReplyBody::Cancel(CancelReply { outcomes, journal_offset })))
            }
            Pending::Close { account: index, intent, orders, positions } => {
                let account = &self.accounts[*index];
                let records = || orders.iter().map(|id| &account.orders[id]);
                if records().any(|r| r.order.status == OrderStatus::Submitted) {
                    return None;
                }
                let setup = self.setup();
                let fills = records()
                    .flat_map(|r| &r.fills)
                    .map(|fill| FillView::new(fill, setup.instrument(fill.instrument)))
                    .collect();
                let position = match positions.as_slice() {
                    [only] => account.positions.get(only),
                    _ => None,
                };
                Some(Ok(ReplyBody::Close(CloseReply {
                    fills,
                    position: position.map(|p| account.position_view(p, &setup, &self.market)),
                    intent_id: *intent,
                    outcomes: positions.iter().map(|id| self.position_outcome(*index, *id, orders)).collect(),
                    journal_offset,
                })))
            }
            Pending::Stop { stop, targets } => {
                let orders = targets.orders.iter().map(|(index, id)| self.order_outcome(*index, *id));
                let positions =
                    targets.positions.iter().map(|(index, id)| self.position_outcome(*index, *id, &[]));
                Some(Ok(ReplyBody::Stop(StopReply {
                    stop_id: *stop,
                    latched: true,
                    outcomes: orders.chain(positions).collect(),
                    journal_offset,
                })))
            }
        }
    }

    fn place_outcome(
        &self,
        index: usize,
        id: OrderId,
        journal_offset: u64,
    ) -> Option<Result<ReplyBody, Refusal>> {
        let setup = self.setup();
        let record = &self.accounts[index].orders[&id];
        let order = &record.order;
        let instrument = setup.instrument(order.instrument);
        match order.status {
            OrderStatus::Submitted | OrderStatus::Initialized | OrderStatus::Unknown => None,
            OrderStatus::Rejected => {
                let reason = order.reason.clone().unwrap_or_default();
                let message = format!("the venue rejected the order: {reason}");
                Some(Err(Refusal::new(ErrorCode::ConnectorError, "VENUE_REJECTED", message)
                    .with("venueReason", reason)
                    .with("outcome", "not_started")
                    .with("orderId", id.to_string())))
            }
            _ => Some(Ok(ReplyBody::Place(PlaceReply {
                intent_id: order.intent_id,
                order_id: id,
                client_order_id: order.client_order_id.clone(),
                status: order.status,
                filled_volume: instrument.lots(order.filled),
                avg_price: crate::domain::message::OrderView::new(order, instrument).avg_price,
                position_id: record.fills.first().map(|f| f.position),
                reason: order.reason.clone().filter(|_| order.status == OrderStatus::Canceled),
                risk_decision: "approved".to_owned(),
                journal_offset,
            }))),
        }
    }

    fn order_outcome(&self, index: usize, id: OrderId) -> Outcome {
        let account = &self.accounts[index];
        let status = account.orders.get(&id).map(|r| r.order.status);
        let (state, reason) = match status {
            Some(OrderStatus::Canceled | OrderStatus::Expired) => (OutcomeState::Done, None),
            Some(OrderStatus::Filled) => (OutcomeState::Failed, Some("FILLED")),
            Some(status) if !status.is_terminal() => (OutcomeState::Pending, None),
            _ => (OutcomeState::Done, None),
        };
        Outcome {
            kind: OutcomeKind::Order,
            id: id.to_string(),
            account_id: account.id().to_string(),
            state,
            reason: reason.map(str::to_owned),
        }
    }

    fn position_outcome(&self, index: usize, id: PositionId, orders: &[OrderId]) -> Outcome {
        let account = &self.accounts[index];
        let done = |order: &OrderId| {
            let order = &account.orders[order].order;
            order.position == Some(id) && order.status == OrderStatus::Filled
        };
        let reduced = orders.iter().any(done) || !account.positions.contains_key(&id);
        Outcome {
            kind: OutcomeKind::Position,
            id: id.to_string(),
            account_id: account.id().to_string(),
            state: if reduced { OutcomeState::Done } else { OutcomeState::Pending },
            reason: None,
        }
    }
}

/// What an intent to place says of itself.
fn place_params(order: &PlaceOrder) -> Map<String, Value> {
    let text = |value: Option<rust_decimal::Decimal>| value.map(|v| Value::String(v.to_string()));
    let level = |level: Option<crate::domain::message::StopLevel>| match level? {
        crate::domain::message::StopLevel::Price(price) => Some(Value::String(price.to_string())),
        crate::domain::message::StopLevel::Ticks(ticks) => Some(Value::String(format!("{ticks} ticks"))),
        crate::domain::message::StopLevel::Percent(percent) => Some(Value::String(format!("{percent}%"))),
    };
    let mut params = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            params.insert(key.to_owned(), value);
        }
    };
    set("side", serde_json::to_value(order.side).ok());
    set("type", serde_json::to_value(order.order_type).ok());
    set("volume", text(Some(order.volume)));
    set("price", text(order.price));
    set("stopLoss", level(order.stop_loss));
    set("takeProfit", level(order.take_profit));
    set("positionId", order.position.map(|id| Value::String(id.to_string())));
    set("clientOrderId", order.client_order_id.as_ref().map(|id| Value::String(id.to_string())));
    params
}
