//! A machine on a bench: feeds it, reads it, and after every step checks the laws that no step may break.

use super::laws;
use lockstep::{
    domain::{
        account::{AccountConfig, AccountMode, PositionMode},
        config::{Config, Limits},
        group::{GroupKind, JoinGroup},
        id::{AccountId, ClientOrderId, CommandId, GroupId, OrderId, PositionId, Symbol},
        instrument::{InstrumentId, Price},
        ledger::LedgerEntry,
        market::{Bar, Candle, Ohlc, Quote, Timeframe},
        message::{
            AccountView, Answer, CancelOrders, CancelReply, CancelTarget, ClosePosition, CloseReply,
            CloseTarget, Command, CommandBody, EmergencyStop, Event, FeedEvent, Idempotency, Input,
            LevelChange, Mark, ModifyReply, ModifyTrade, OrderDetail, OrderKey, OrderView, Outputs,
            PlaceOrder, PlaceReply, PreviewView, Query, Refusal, Reply, ReplyBody, ResumeReply, ResumeTarget,
            ResumeTrading, RiskStatusView, StopAction, StopLevel, StopReply, StopScope, TradeTarget, TrailBy,
            VenueRequest,
        },
        money::Currency,
        order::{Filling, OrderStatus, OrderType, Origin, Side, TimeInForce},
        time::{MINUTE_NS, UnixNanos},
    },
    machine::{ALARMS, Machine},
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A Wednesday noon in winter: every market is open.
pub const NOON: &str = "2024-01-10T12:00:00Z";

pub fn at(text: &str) -> UnixNanos {
    UnixNanos::parse(text).expect("an instant")
}

pub fn dec(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

pub fn account_id(name: &str) -> AccountId {
    AccountId::new(name).expect("an id")
}

/// 10,000 USD at 1:100 without commission or limits.
pub fn account(name: &str) -> AccountConfig {
    AccountConfig {
        id: account_id(name),
        label: name.to_owned(),
        mode: AccountMode::Paper,
        connector: "paper".to_owned(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: dec("10000"),
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    }
}

/// The machine, the stamp of the next step, and everything that came out so far.
#[derive(Clone)]
pub struct Rig {
    pub machine: Machine,
    pub now: UnixNanos,
    pub events: Vec<Event>,
    pub ledger: Vec<LedgerEntry>,
    pub marks: Vec<Mark>,
    pub feed: Vec<FeedEvent>,
    /// To venues outside of the machine.
    pub requests: Vec<VenueRequest>,
    pub replies: Vec<Reply>,
    /// The last quote that the machine published, by instrument.
    pub quotes: BTreeMap<InstrumentId, Quote>,
    /// Sum of the postings, by account.
    pub posted: BTreeMap<AccountId, Decimal>,
    /// Executed volume, by account and order.
    pub executed: BTreeMap<(AccountId, OrderId), Decimal>,
    commands: u64,
    told: usize,
}

impl Rig {
    /// One account `main`, at noon.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same, with the configuration changed.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::starting(NOON, change)
    }

    /// The same, at another instant.
    pub fn starting(now: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::built_in();
        config.accounts.push(account("main"));
        change(&mut config);
        lockstep::core::check_config(&config).expect("a valid configuration");
        let mut rig = Self {
            machine: Machine::new(),
            now: at(now),
            events: Vec::new(),
            ledger: Vec::new(),
            marks: Vec::new(),
            feed: Vec::new(),
            requests: Vec::new(),
            replies: Vec::new(),
            quotes: BTreeMap::new(),
            posted: BTreeMap::new(),
            executed: BTreeMap::new(),
            commands: 0,
            told: 0,
        };
        rig.step(&Input::Config(Box::new(config)));
        rig
    }

    /// One step; its outputs are kept, the laws are checked.
    pub fn step(&mut self, input: &Input) -> Outputs {
        let out = self.step_alarmed(input);
        assert!(!out.marks.iter().any(|m| ALARMS.contains(m)), "alarm: {:?}", out.marks);
        out
    }

    /// The same, of a step that may raise an alarm.
    pub fn step_alarmed(&mut self, input: &Input) -> Outputs {
        let mut out = Outputs::default();
        self.machine.step(self.now, input, &mut out);
        let outside =
            |r: &VenueRequest| self.config().accounts.iter().any(|a| a.id == *r.account() && !a.is_paper());
        assert!(out.venue.iter().all(outside), "the paper venue is inside: {:?}", out.venue);
        self.requests.append(&mut out.venue.clone());
        self.replies.append(&mut out.replies.clone());
        self.events.append(&mut out.events.clone());
        self.ledger.append(&mut out.ledger.clone());
        self.marks.append(&mut out.marks.clone());
        self.feed.append(&mut out.feed.clone());
        for event in &out.feed {
            if let FeedEvent::Tick { instrument, quote, .. } = event {
                self.quotes.insert(*instrument, *quote);
            }
        }
        for entry in &out.ledger {
            let balance = self.posted.entry(entry.account_id.clone()).or_default();
            *balance += entry.amount.amount();
            assert_eq!(entry.balance_after.amount(), *balance, "AC01: {entry:?}");
        }
        for event in &out.events {
            if let Event::TradeExecuted(fill) = event {
                *self.executed.entry((fill.account_id.clone(), fill.order_id)).or_default() += fill.volume;
            }
        }
        laws::hold(self);
        out
    }

    // ---- time and market -------------------------------------------------------------------

    pub fn to(&mut self, now: &str) -> &mut Self {
        self.now = at(now);
        self
    }

    pub fn wait(&mut self, ns: i64) -> &mut Self {
        self.now = self.now.plus(ns);
        self
    }

    pub fn wake(&mut self) -> Outputs {
        self.step(&Input::Wake)
    }

    pub fn config(&self) -> &Config {
        self.machine.config().expect("configured")
    }

    /// An instrument by its symbol.
    pub fn find(&self, symbol: &str) -> InstrumentId {
        let found = self.config().instruments.iter().position(|i| i.symbol.as_str() == symbol);
        InstrumentId(found.expect("a built-in symbol") as u16)
    }

    pub fn ticks(&self, symbol: &str, price: &str) -> Price {
        let id = self.find(symbol);
        self.config().instruments[id.index()].to_price(dec(price)).expect("a price on the grid")
    }

    pub fn quote(&mut self, symbol: &str, bid: &str, ask: &str) -> &mut Self {
        let (bid, ask) = (self.ticks(symbol, bid), self.ticks(symbol, ask));
        self.step(&Input::Quote { instrument: self.find(symbol), bid, ask });
        self
    }

    /// A quote in ticks, sane or not.
    pub fn raw_quote(&mut self, symbol: &str, bid: i64, ask: i64) -> Outputs {
        self.step(&Input::Quote { instrument: self.find(symbol), bid: Price(bid), ask: Price(ask) })
    }

    /// A minute's bar that opens now: bid open, high, low, close, and a spread in ticks. Time moves to its end.
    pub fn bar(&mut self, symbol: &str, bid: [&str; 4], spread: i64) -> Outputs {
        let [open, high, low, close] = bid.map(|price| self.ticks(symbol, price));
        let side = |d: i64| Ohlc {
            open: Price(open.0 + d),
            high: Price(high.0 + d),
            low: Price(low.0 + d),
            close: Price(close.0 + d),
        };
        let bar = Bar { instrument: self.find(symbol), bid: side(0), ask: side(spread), len_ns: MINUTE_NS };
        let out = self.step(&Input::Bar(bar));
        self.wait(MINUTE_NS);
        out
    }

    // ---- commands --------------------------------------------------------------------------

    /// Sends a command; the reply, if it came in the same step.
    pub fn send(&mut self, body: CommandBody) -> Option<Result<ReplyBody, Refusal>> {
        self.send_as("tester", None, body)
    }

    pub fn send_as(
        &mut self,
        principal: &str,
        idempotency: Option<(&str, &str)>,
        body: CommandBody,
    ) -> Option<Result<ReplyBody, Refusal>> {
        self.commands += 1;
        let id = CommandId(self.commands);
        let idempotency = idempotency
            .map(|(key, print)| Idempotency { key: key.to_owned(), fingerprint: print.to_owned() });
        let principal = principal.to_owned();
        let command =
            Command { id, principal, origin: Origin::User, idempotency, prior: None, overtaken: false, body };
        let out = self.step(&Input::Command(Box::new(command)));
        let mut replies = out.replies.into_iter().filter(|r| r.command == id);
        let reply = replies.next();
        assert_eq!(replies.next(), None, "one command, one reply");
        reply.map(|r| r.result)
    }

    pub fn place(&mut self, order: impl Into<PlaceOrder>) -> Result<PlaceReply, Refusal> {
        match self.send(CommandBody::Place(order.into())).expect("paper orders are answered at once")? {
            ReplyBody::Place(reply) => Ok(reply),
            other => panic!("not the reply to an order: {other:?}"),
        }
    }

    /// Places an order that fills at once; its position.
    pub fn open(&mut self, order: impl Into<PlaceOrder>) -> PositionId {
        let reply = self.place(order).expect("an accepted order");
        reply.position_id.unwrap_or_else(|| panic!("not filled: {reply:?}"))
    }

    /// Places an order that rests.
    pub fn rest(&mut self, order: impl Into<PlaceOrder>) -> OrderId {
        let reply = self.place(order).expect("an accepted order");
        assert_eq!(reply.filled_volume, Decimal::ZERO, "{reply:?}");
        reply.order_id
    }

    /// The codes for which an order is denied; none if it is taken.
    pub fn denied(&mut self, order: impl Into<PlaceOrder>) -> Vec<String> {
        self.place(order).err().map(|refusal| codes(&refusal)).unwrap_or_default()
    }

    pub fn cancel_target(&mut self, target: CancelTarget) -> Result<CancelReply, Refusal> {
        let cancel = CancelOrders { account: account_id("main"), target };
        match self.send(CommandBody::Cancel(cancel)).expect("cancels are answered at once")? {
            ReplyBody::Cancel(reply) => Ok(reply),
            other => panic!("not the reply to a cancel: {other:?}"),
        }
    }

    pub fn cancel(&mut self, order: OrderId) -> Result<CancelReply, Refusal> {
        self.cancel_target(CancelTarget::Order(order))
    }

    /// Changes a working order; all that `change` leaves alone stays.
    pub fn modify(
        &mut self,
        order: OrderId,
        change: impl FnOnce(&mut ModifyTrade),
    ) -> Result<OrderView, Refusal> {
        let mut modify = ModifyTrade {
            account: account_id("main"),
            target: TradeTarget::Order(order),
            price: None,
            volume: None,
            stop_price: None,
            trail: None,
            lifetime: None,
            stop_loss: LevelChange::Keep,
            take_profit: LevelChange::Keep,
            expected_version: None,
        };
        change(&mut modify);
        match self.send(CommandBody::Modify(modify)).expect("paper orders are changed at once")? {
            ReplyBody::Modify(reply) => match *reply {
                ModifyReply::Order { order, .. } => Ok(order),
                other => panic!("not an order: {other:?}"),
            },
            other => panic!("not the reply to new terms: {other:?}"),
        }
    }

    /// An order's state and reason.
    pub fn status(&self, id: OrderId) -> (OrderStatus, Option<String>) {
        let order = self.order(id).order;
        (order.status, order.reason)
    }

    pub fn close_target(&mut self, target: CloseTarget, volume: Option<&str>) -> Result<CloseReply, Refusal> {
        let volume = volume.map(dec);
        let close = ClosePosition { account: account_id("main"), target, volume, reason: None };
        match self.send(CommandBody::Close(close)).expect("closes are answered at once")? {
            ReplyBody::Close(reply) => Ok(reply),
            other => panic!("not the reply to a close: {other:?}"),
        }
    }

    pub fn close(&mut self, position: PositionId) -> Result<CloseReply, Refusal> {
        self.close_target(CloseTarget::Position(position), None)
    }

    pub fn emergency_stop(&mut self, scope: StopScope, actions: &[StopAction]) -> StopReply {
        let stop = EmergencyStop { scope, actions: actions.to_vec(), reason: "test".to_owned() };
        match self.send(CommandBody::EmergencyStop(stop)).expect("a stop is answered at once") {
            Ok(ReplyBody::Stop(reply)) => reply,
            other => panic!("not the reply to a stop: {other:?}"),
        }
    }

    pub fn resume(&mut self, target: ResumeTarget) -> Result<ResumeReply, Refusal> {
        let resume = ResumeTrading { target, reason: "test".to_owned() };
        match self.send(CommandBody::Resume(resume)).expect("a resume is answered at once")? {
            ReplyBody::Resume(reply) => Ok(reply),
            other => panic!("not the reply to a resume: {other:?}"),
        }
    }

    // ---- answers ---------------------------------------------------------------------------

    pub fn view(&self) -> AccountView {
        self.view_of("main")
    }

    pub fn view_of(&self, name: &str) -> AccountView {
        match self.machine.query_at(self.now, &Query::Account(account_id(name))) {
            Ok(Answer::Account(view)) => *view,
            other => panic!("not an account: {other:?}"),
        }
    }

    pub fn order(&self, id: OrderId) -> OrderDetail {
        match self.machine.query_at(self.now, &Query::Order(account_id("main"), OrderKey::Order(id))) {
            Ok(Answer::Order(detail)) => *detail,
            other => panic!("not an order: {other:?}"),
        }
    }

    pub fn preview(&self, order: impl Into<PlaceOrder>) -> PreviewView {
        match self.machine.query_at(self.now, &Query::Preview(Box::new(order.into()))) {
            Ok(Answer::Preview(view)) => *view,
            other => panic!("not a preview: {other:?}"),
        }
    }

    pub fn risk(&self) -> RiskStatusView {
        self.risk_of("main")
    }

    pub fn risk_of(&self, name: &str) -> RiskStatusView {
        match self.machine.query_at(self.now, &Query::RiskStatus(Some(account_id(name)))) {
            Ok(Answer::RiskStatus(view)) => *view,
            other => panic!("not a risk status: {other:?}"),
        }
    }

    /// The trades since the last call, one line each: `sell 0.10 1.09900 stop_loss`.
    pub fn trades(&mut self) -> Vec<String> {
        let since = std::mem::replace(&mut self.told, self.events.len());
        self.events[since..]
            .iter()
            .filter_map(|event| match event {
                Event::TradeExecuted(fill) => {
                    let reason = wire(&fill.reason);
                    Some(format!("{} {} {} {reason}", wire(&fill.side), fill.volume, fill.price))
                }
                _ => None,
            })
            .collect()
    }

    /// Completed candles so far of one timeframe.
    pub fn candles(&self, timeframe: Timeframe) -> Vec<Candle> {
        self.feed
            .iter()
            .filter_map(|event| match event {
                FeedEvent::CandleClosed { timeframe: t, candle, .. } if *t == timeframe => Some(*candle),
                _ => None,
            })
            .collect()
    }

    pub fn count(&self, mark: Mark) -> usize {
        self.marks.iter().filter(|m| **m == mark).count()
    }
}

/// The wire's word for a unit-like value.
pub fn wire(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).expect("a value").as_str().expect("a word").to_owned()
}

/// The violation codes that a refusal lists, or its reason.
pub fn codes(refusal: &Refusal) -> Vec<String> {
    match refusal.details.get("violations").and_then(|list| list.as_array()) {
        Some(list) => {
            list.iter().map(|v| v["code"].as_str().expect("violations have codes").to_owned()).collect()
        }
        None => vec![refusal.reason().to_owned()],
    }
}

/// An order in the making, for account `main`.
#[derive(Clone)]
pub struct Ask(pub PlaceOrder);

impl From<Ask> for PlaceOrder {
    fn from(ask: Ask) -> Self {
        ask.0
    }
}

/// A market order.
pub fn ask(side: Side, symbol: &str, lots: &str) -> Ask {
    Ask(PlaceOrder::market(account_id("main"), symbol.to_owned(), side, dec(lots)))
}

pub fn buy(symbol: &str, lots: &str) -> Ask {
    ask(Side::Buy, symbol, lots)
}

pub fn sell(symbol: &str, lots: &str) -> Ask {
    ask(Side::Sell, symbol, lots)
}

impl Ask {
    pub fn limit(mut self, price: &str) -> Self {
        self.0.order_type = OrderType::Limit;
        self.0.price = Some(dec(price));
        self
    }

    pub fn stop(mut self, trigger: &str) -> Self {
        self.0.order_type = OrderType::Stop;
        self.0.stop_price = Some(dec(trigger));
        self
    }

    pub fn stop_limit(self, trigger: &str, limit: &str) -> Self {
        let mut ask = self.stop(trigger);
        ask.0.order_type = OrderType::StopLimit;
        ask.0.price = Some(dec(limit));
        ask
    }

    pub fn trailing(mut self, by: TrailBy) -> Self {
        self.0.order_type = OrderType::TrailingStop;
        self.0.trail = Some(by);
        self
    }

    pub fn filling(mut self, filling: Filling) -> Self {
        self.0.filling = Some(filling);
        self
    }

    pub fn post_only(mut self) -> Self {
        self.0.post_only = true;
        self
    }

    pub fn day(mut self) -> Self {
        self.0.tif = TimeInForce::Day;
        self
    }

    pub fn until(mut self, instant: &str) -> Self {
        self.0.tif = TimeInForce::Gtd;
        self.0.expires_at = Some(at(instant));
        self
    }

    pub fn sl(mut self, price: &str) -> Self {
        self.0.stop_loss = Some(StopLevel::Price(dec(price)));
        self
    }

    pub fn tp(mut self, price: &str) -> Self {
        self.0.take_profit = Some(StopLevel::Price(dec(price)));
        self
    }

    /// Protective levels where given.
    pub fn levels(mut self, sl: Option<&str>, tp: Option<&str>) -> Self {
        self.0.stop_loss = sl.map(|price| StopLevel::Price(dec(price)));
        self.0.take_profit = tp.map(|price| StopLevel::Price(dec(price)));
        self
    }

    pub fn reduces(mut self, position: PositionId) -> Self {
        self.0.reduce_only = true;
        self.0.position = Some(position);
        self
    }

    pub fn in_group(mut self, kind: GroupKind, id: &str) -> Self {
        self.0.group = Some(JoinGroup { kind, id: GroupId::new(id).expect("an id"), parent: None });
        self
    }

    pub fn named(mut self, id: &str) -> Self {
        self.0.client_order_id = Some(ClientOrderId::new(id).expect("an id"));
        self
    }

    pub fn on(mut self, account: &str) -> Self {
        self.0.account = account_id(account);
        self
    }

    pub fn change(mut self, change: impl FnOnce(&mut PlaceOrder)) -> Self {
        change(&mut self.0);
        self
    }
}

pub fn symbol(name: &str) -> Symbol {
    Symbol::new(name).expect("a symbol")
}
