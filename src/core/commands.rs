//! Commands: admitted once, decided by the gate, sent by execution.

use super::answers::{ANSWER_WITHIN_NS, Awaiting, Pending};
use super::engine::Engine;
use super::execution::{Giver, closing_side};
use super::idempotency::Admission;
use super::risk::{self, Circumstances, Facts, RiskApproved, Ticket};
use super::timers::Timer;
use crate::domain::config::Setup;
use crate::domain::id::{IntentId, OrderId, PositionId};
use crate::domain::instrument::InstrumentId;
use crate::domain::message::{
    CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, ErrorCode, Mark, Outputs,
    PlaceOrder, Refusal, Reply, ReplyBody, RiskAlert, StopLevel, TradeIntent, TradeRejected, TrailBy,
    Violation, ViolationCode,
};
use crate::domain::order::{Order, OrderType, Origin, TimeInForce};
use crate::domain::time::{MILLI_NS, UnixNanos};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How far a command got with its own step.
enum Started {
    Waiting(Pending),
    Done(ReplyBody),
}

/// Who acts.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub principal: String,
    pub origin: Origin,
    /// The strategy, by its slot.
    pub strategy: Option<usize>,
    pub trace: Option<String>,
}

/// What somebody wants, as the intent's event tells it.
pub(super) struct Request<'a> {
    pub symbol: &'a str,
    pub action: &'static str,
    pub params: Map<String, Value>,
    pub reason: Option<String>,
}

impl Engine {
    pub(super) fn command(&mut self, now: UnixNanos, command: &Command, out: &mut Outputs) {
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
            Admission::TimedOut(waiting) => {
                out.marks.push(Mark::IdempotentReplay);
                return self.answer_timed_out(command, &waiting, out);
            }
        }
        let actor = Actor {
            principal: command.principal.clone(),
            origin: command.origin,
            strategy: None,
            trace: Some(command.id.to_string()),
        };
        let known = command.body.account().map(|id| (id, self.index.get(id).copied()));
        let account = match (known, &command.body) {
            (Some((_, None)), CommandBody::Connect(_)) | (None, _) => usize::MAX, // it looks at no account
            (Some((id, None)), _) => {
                let message = format!("there is no account `{id}`: accounts.list names them");
                let refusal = Refusal::new(ErrorCode::NotFound, "ACCOUNT_UNKNOWN", message);
                self.answer(command.id, Err(refusal), out);
                return;
            }
            (Some((_, Some(index))), _) => index,
        };
        match self.start(now, account, &actor, command, out) {
            Ok(Started::Waiting(what)) => self.wait_for(now, account, command, what),
            Ok(Started::Done(reply)) => self.answer(command.id, Ok(reply), out),
            Err(refusal) => self.answer(command.id, Err(*refusal), out),
        }
    }

    fn start(
        &mut self,
        now: UnixNanos,
        account: usize,
        actor: &Actor,
        command: &Command,
        out: &mut Outputs,
    ) -> Result<Started, Box<Refusal>> {
        self.check_rate(now, account, &command.body, out)?;
        let offset = command.id.0;
        Ok(match &command.body {
            CommandBody::Place(order) if command.overtaken => {
                return Err(Box::new(self.refuse_overtaken(account, actor, order, out)));
            }
            CommandBody::Place(order) => {
                let used = command.prior.is_some();
                let order = self.place(now, account, actor, order, used, out)?;
                Started::Waiting(Pending::Place { account, order })
            }
            CommandBody::Cancel(cancel) => Started::Waiting(self.cancel(now, account, actor, cancel, out)?),
            CommandBody::Close(close) => Started::Waiting(self.close(now, account, actor, close, out)?),
            CommandBody::Modify(modify) => Started::Waiting(self.modify(now, account, actor, modify, out)?),
            CommandBody::Resolve(resolve) => Started::Done(self.resolve(now, account, resolve, offset, out)?),
            CommandBody::EmergencyStop(stop) => Started::Waiting(self.emergency_stop(now, actor, stop, out)),
            CommandBody::Resume(resume) => Started::Done(self.resume(offset, actor, resume, out)?),
            CommandBody::Connect(connect) => Started::Waiting(self.connect(now, connect, out)?),
            CommandBody::Disconnect(_) => Started::Done(self.disconnect(now, account, offset, out)),
        })
    }

    /// Keeps a command until its orders have got far enough, or until whoever gave it waits no longer.
    fn wait_for(&mut self, now: UnixNanos, account: usize, command: &Command, what: Pending) {
        let links = match (&what, self.accounts.get(account)) {
            (Pending::Stop { .. }, _) => false, // answered at once
            (Pending::Connect { .. }, _) => true,
            (_, Some(account)) => !account.config.is_paper(),
            (_, None) => false,
        };
        if links {
            self.timers.set(now.plus(ANSWER_WITHIN_NS), Timer::Answer(command.id));
        }
        self.awaiting.push(Awaiting { command: command.id, what });
    }

    /// Trade requests come no faster than the account's rate. What lowers risk is never slowed.
    fn check_rate(
        &mut self,
        now: UnixNanos,
        index: usize,
        body: &CommandBody,
        out: &mut Outputs,
    ) -> Result<(), Box<Refusal>> {
        let adds_risk = match body {
            CommandBody::Place(order) => !order.reduce_only && order.position.is_none(),
            CommandBody::Modify(_) => true,
            _ => false,
        };
        let Some(rate) = self.setup().config.trade_rate.filter(|_| adds_risk) else { return Ok(()) };
        let Err(wait_ns) = self.accounts[index].trade_rate.take(now, rate) else { return Ok(()) };
        out.marks.push(Mark::TradeRateExceeded);
        let message =
            format!("this account takes {} trade requests a second: try again later", rate.per_second);
        let wait_ms = (wait_ns + MILLI_NS - 1) / MILLI_NS;
        Err(Box::new(
            Refusal::new(ErrorCode::RateLimited, "TRADE_RATE", message)
                .retryable()
                .with("retryAfterMs", wait_ms)
                .with("outcome", "not_started"),
        ))
    }

    /// Decides on an order and sends it.
    pub(super) fn place(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        order: &PlaceOrder,
        id_used: bool,
        out: &mut Outputs,
    ) -> Result<OrderId, Box<Refusal>> {
        let setup = self.setup();
        let (params, reason) = (place_params(order), order.reason.clone());
        let request = Request { symbol: &order.symbol, action: "place", params, reason };
        let intent = self.intend(index, actor, request, out);
        let assessment = {
            let known = |id| self.accounts[index].client_ids.contains_key(id);
            let duplicate = id_used || order.client_order_id.as_ref().is_some_and(known);
            let around = Circumstances { duplicate, ..self.circumstances(now, index, &setup) };
            risk::assess(&Facts::new(around, order))
        };
        match assessment.approved {
            Some(approved) => {
                let giver = Giver { intent, origin: actor.origin, strategy: actor.strategy };
                Ok(self.submit(now, index, approved, giver, out))
            }
            None => Err(Box::new(self.deny(index, intent, order, "place", assessment.violations, out))),
        }
    }

    /// Sends an approved order to the account's venue.
    pub(super) fn submit(
        &mut self,
        now: UnixNanos,
        index: usize,
        approved: RiskApproved<Ticket>,
        giver: Giver,
        out: &mut Outputs,
    ) -> OrderId {
        let setup = self.setup();
        let order = self.desk(index, &setup, now, out).submit(approved, giver);
        self.watch_answers(now, index);
        order
    }

    /// Whoever sent a cancel after this order does not want it started (RK05).
    fn refuse_overtaken(
        &mut self,
        index: usize,
        actor: &Actor,
        order: &PlaceOrder,
        out: &mut Outputs,
    ) -> Refusal {
        const REASON: &str = "CANCELED_BEFORE_START";
        let message = "a cancel that was sent after this order went before it: the order was not started";
        let (params, reason) = (place_params(order), order.reason.clone());
        let request = Request { symbol: &order.symbol, action: "place", params, reason };
        let intent_id = self.intend(index, actor, request, out);
        out.marks.push(Mark::OrderOvertaken);
        out.events.push(
            TradeRejected {
                intent_id,
                order_id: None,
                client_order_id: order.client_order_id.clone(),
                account_id: order.account.clone(),
                by: "gateway".to_owned(),
                code: REASON.to_owned(),
                reason: message.to_owned(),
                venue_code: None,
                violations: Vec::new(),
            }
            .into(),
        );
        Refusal::new(ErrorCode::Conflict, REASON, message).with("intentId", intent_id.to_string())
    }

    pub(super) fn intend(
        &mut self,
        index: usize,
        actor: &Actor,
        request: Request<'_>,
        out: &mut Outputs,
    ) -> IntentId {
        let Request { symbol, action, params, reason } = request;
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
    pub(super) fn deny(
        &mut self,
        index: usize,
        intent_id: IntentId,
        order: &PlaceOrder,
        action: &str,
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
                venue_code: None,
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
                    blocked_action: Some(action.to_owned()),
                    would_satisfy: first.would_satisfy,
                }
                .into(),
            );
        }
        refusal
    }

    pub(super) fn cancel(
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
        if !account.is_reachable() {
            return Err(Box::new(unreachable_account(account)));
        }
        if let [only] = orders.as_slice() {
            let order = &account.orders[only].order;
            // no price reaches what another order holds back
            let held = account.holder_of(order).is_some();
            let quote = self.market.last_quote(order.instrument).filter(|_| !held);
            if let Some(frozen) = risk::frozen_order(order, setup.instrument(order.instrument), quote) {
                return Err(Box::new(Refusal::from_violations(&[frozen])));
            }
        }
        let symbol = orders.first().map_or_else(String::new, |id| {
            setup.instrument(account.orders[id].order.instrument).symbol.to_string()
        });
        let named: Vec<String> = orders.iter().map(ToString::to_string).collect();
        let mut params = Map::new();
        params.insert("orderIds".into(), json!(named));
        let request = Request { symbol: &symbol, action: "cancel", params, reason: None };
        let intent = self.intend(index, actor, request, out);
        let mut desk = self.desk(index, &setup, now, out);
        for order in &orders {
            desk.request_cancel(*order, Some(intent));
        }
        self.watch_answers(now, index);
        Ok(Pending::Cancel { account: index, orders })
    }

    pub(super) fn cancel_targets(
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
                let working = account.working().map(|r| &r.order);
                return Ok(working.filter(|o| wanted(o.instrument)).map(|o| o.id).collect());
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

    pub(super) fn close(
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
        if let Some(under_way) = self.closes_under_way(index, &positions, close.volume) {
            return Ok(under_way);
        }
        let reason = close.reason.as_deref();
        let intent = self.intend_close(index, actor, &positions, reason, out);
        let mut orders = Vec::new();
        let mut refused = BTreeMap::new();
        let mut first_refusal = None;
        for position in &positions {
            match self.reduce(now, index, actor, intent, *position, close.volume, reason, out) {
                Ok(order) => orders.push(order),
                Err(refusal) => {
                    refused.insert(*position, refusal.reason().to_owned());
                    first_refusal = first_refusal.or(Some(refusal));
                }
            }
        }
        match first_refusal {
            Some(refusal) if orders.is_empty() => Err(refusal),
            _ => Ok(Pending::Close { account: index, intent, orders, positions, refused }),
        }
    }

    /// The closes that are asked for once more while they are under way: repeats join (GW03).
    fn closes_under_way(
        &self,
        index: usize,
        positions: &[PositionId],
        volume: Option<Decimal>,
    ) -> Option<Pending> {
        let account = &self.accounts[index];
        let closing = |id: &PositionId| {
            let held = account.positions.get(id)?;
            let whole = |o: &Order| o.order_type == OrderType::Market && o.leaves() == held.volume;
            account.working().map(|r| &r.order).find(|o| o.position == Some(*id) && whole(o))
        };
        let orders: Vec<&Order> = positions.iter().map(closing).collect::<Option<_>>()?;
        let intent = orders.first().filter(|_| volume.is_none())?.intent_id;
        Some(Pending::Close {
            account: index,
            intent,
            orders: orders.iter().map(|order| order.id).collect(),
            positions: positions.to_vec(),
            refused: BTreeMap::new(),
        })
    }

    pub(super) fn intend_close(
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
        let reason = reason.map(str::to_owned);
        self.intend(index, actor, Request { symbol: &symbol, action: "close", params, reason }, out)
    }

    /// Sends a reduction of one position through the gate.
    #[allow(clippy::too_many_arguments)] // who, what, how much and why: each is its own fact
    pub(super) fn reduce(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        intent: IntentId,
        position: PositionId,
        volume: Option<Decimal>,
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
                Ok(self.submit(now, index, approved, giver, out))
            }
            None => Err(Box::new(self.deny(index, intent, &order, "close", assessment.violations, out))),
        }
    }

    /// The order that reduces a position; all of it unless a volume is given.
    pub(super) fn reduction(
        &self,
        index: usize,
        setup: &Setup,
        id: PositionId,
        volume: Option<Decimal>,
        reason: Option<&str>,
    ) -> Option<PlaceOrder> {
        let account = &self.accounts[index];
        let position = account.positions.get(&id)?;
        let instrument = setup.instrument(position.instrument);
        let volume = volume.unwrap_or_else(|| instrument.lots(position.volume));
        let (account, symbol) = (account.id().clone(), instrument.symbol.to_string());
        Some(PlaceOrder {
            reduce_only: true,
            position: Some(id),
            reason: reason.map(str::to_owned),
            ..PlaceOrder::market(account, symbol, closing_side(position), volume)
        })
    }
}

/// Nothing can be asked of the account's venue now.
pub(super) fn unreachable_account(account: &super::account::Account) -> Refusal {
    let why = account.session.last_error.as_deref();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    let message = format!("the account is not connected to its venue{why}: try again when it is");
    Refusal::new(ErrorCode::ConnectorUnavailable, "ACCOUNT_NOT_CONNECTED", message)
        .retryable()
        .with("outcome", "not_started")
}

/// How an order trails, as the wire names it.
pub(super) fn trail_param(trail: TrailBy) -> (&'static str, String) {
    match trail {
        TrailBy::Distance(distance) => ("trailDistance", distance.to_string()),
        TrailBy::Percent(percent) => ("trailPercent", percent.to_string()),
    }
}

/// What an intent to place says of itself.
fn place_params(order: &PlaceOrder) -> Map<String, Value> {
    let text = |value: Option<Decimal>| value.map(|v| Value::String(v.to_string()));
    let level = |level: Option<StopLevel>| match level? {
        StopLevel::Price(price) => Some(Value::String(price.to_string())),
        StopLevel::Ticks(ticks) => Some(Value::String(format!("{ticks} ticks"))),
        StopLevel::Percent(percent) => Some(Value::String(format!("{percent}%"))),
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
    set("stopPrice", text(order.stop_price));
    if let Some((key, value)) = order.trail.map(trail_param) {
        set(key, Some(Value::String(value)));
    }
    set("stopLoss", level(order.stop_loss));
    set("takeProfit", level(order.take_profit));
    set("tif", (order.tif != TimeInForce::Gtc).then(|| serde_json::to_value(order.tif).ok()).flatten());
    set("expiresAt", order.expires_at.map(|at| Value::String(at.to_string())));
    set("postOnly", order.post_only.then_some(Value::Bool(true)));
    set("positionId", order.position.map(|id| Value::String(id.to_string())));
    set("group", order.group.as_ref().map(|group| json!({ "kind": group.kind, "id": group.id })));
    set("clientOrderId", order.client_order_id.as_ref().map(|id| Value::String(id.to_string())));
    params
}
