//! Commands: admitted once, decided by the gate, sent by execution.

use super::answers::{Awaiting, Pending};
use super::engine::Engine;
use super::execution::{Giver, closing_side};
use super::idempotency::Admission;
use super::risk::{self, Circumstances, Facts};
use crate::domain::config::Setup;
use crate::domain::id::{IntentId, OrderId, PositionId};
use crate::domain::instrument::InstrumentId;
use crate::domain::message::{
    CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, ErrorCode, Mark, Outputs,
    PlaceOrder, Refusal, Reply, RiskAlert, StopLevel, TradeIntent, TradeRejected, Violation, ViolationCode,
};
use crate::domain::order::{OrderType, Origin, TimeInForce};
use crate::domain::time::UnixNanos;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

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
    symbol: &'a str,
    action: &'static str,
    params: Map<String, Value>,
    reason: Option<String>,
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
            CommandBody::Place(order) if command.overtaken => {
                Err(Box::new(self.refuse_overtaken(account, &actor, order, out)))
            }
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
                Ok(self.desk(index, &setup, now, out).submit(approved, giver))
            }
            None => Err(Box::new(self.deny(index, intent, order, assessment.violations, out))),
        }
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
                Ok(self.desk(index, &setup, now, out).submit(approved, giver))
            }
            None => Err(Box::new(self.deny(index, intent, &order, assessment.violations, out))),
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
    set("stopLoss", level(order.stop_loss));
    set("takeProfit", level(order.take_profit));
    set("positionId", order.position.map(|id| Value::String(id.to_string())));
    set("clientOrderId", order.client_order_id.as_ref().map(|id| Value::String(id.to_string())));
    params
}
