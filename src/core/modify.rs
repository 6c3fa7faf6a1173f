//! `trades.modify`: new terms of working orders, protective levels of positions.

use super::account::Account;
use super::answers::Pending;
use super::commands::{Actor, Request, trail_param};
use super::engine::Engine;
use super::risk::{self, Terms};
use crate::domain::config::Setup;
use crate::domain::id::{OrderId, PositionId};
use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::message::{
    ErrorCode, LevelChange, ModifyField, ModifyTrade, Outputs, PlaceOrder, Refusal, StopLevel, TradeTarget,
};
use crate::domain::order::{Order, OrderEvent, OrderType};
use crate::domain::position::Position;
use crate::domain::time::UnixNanos;
use serde_json::{Map, Value};

impl Engine {
    /// Asks the venue for new terms, if the gate lets them through. Terms that are as asked for already
    /// are answered at once.
    pub(super) fn modify(
        &mut self,
        now: UnixNanos,
        index: usize,
        actor: &Actor,
        modify: &ModifyTrade,
        out: &mut Outputs,
    ) -> Result<Pending, Box<Refusal>> {
        let setup = self.setup();
        let mut terms = match modify.target {
            TradeTarget::Order(id) => self.order_terms(index, &setup, id, modify)?,
            TradeTarget::Position(id) => self.position_terms(index, &setup, id, modify)?,
        };
        let before = terms.order.clone();
        change(&mut terms.order, modify);
        self.check_capabilities(index, &before, &terms.order)?;
        let (before, order) = (before, terms.order.clone());
        if before == order {
            return Ok(Pending::Modify { account: index, target: modify.target, intent: None });
        }
        let params = change_params(modify);
        let request = Request { symbol: &order.symbol, action: "modify", params, reason: None };
        let intent = self.accounts[index].coming_intent();
        let assessment = risk::assess_modify(self.circumstances(now, index, &setup), &terms, intent);
        let intent = self.intend(index, actor, request, out);
        match assessment {
            Ok(approved) => {
                self.desk(index, &setup, now, out).request_modify(approved);
                self.watch_answers(now, index);
                Ok(Pending::Modify { account: index, target: modify.target, intent: Some(intent) })
            }
            Err(violations) => Err(Box::new(self.deny(index, intent, &order, "modify", violations, out))),
        }
    }

    fn order_terms(
        &self,
        index: usize,
        setup: &Setup,
        id: OrderId,
        modify: &ModifyTrade,
    ) -> Result<Terms<'_>, Box<Refusal>> {
        let account = &self.accounts[index];
        let record = account.orders.get(&id).ok_or_else(|| {
            Box::new(Refusal::new(
                ErrorCode::NotFound,
                "ORDER_UNKNOWN",
                format!("there is no order `{id}` on this account"),
            ))
        })?;
        let order = &record.order;
        check_version(order.version, modify)?;
        let conflict = |reason, message: String| Box::new(Refusal::new(ErrorCode::Conflict, reason, message));
        if order.status.is_terminal() {
            return Err(conflict("ORDER_TERMINAL", format!("order {id} has ended")));
        }
        if order.status.next(OrderEvent::RequestModify).is_none() || order.modified_by.is_some() {
            let message = format!("order {id} is waiting for its venue: try again when it rests");
            return Err(Box::new(
                Refusal::new(ErrorCode::Conflict, "ORDER_BUSY", message)
                    .retryable()
                    .with("outcome", "not_started")
                    .with("status", serde_json::to_value(order.status).unwrap_or_default()),
            ));
        }
        let instrument = setup.instrument(order.instrument);
        check_fields(order, modify)?;
        if let Some(volume) = modify.volume {
            check_volume(account, order, instrument, volume)?;
        }
        let reserved = account.reserved_around(order, setup, &self.market);
        Ok(Terms::of_order(order, instrument, reserved))
    }

    fn position_terms(
        &self,
        index: usize,
        setup: &Setup,
        id: PositionId,
        modify: &ModifyTrade,
    ) -> Result<Terms<'_>, Box<Refusal>> {
        let account = &self.accounts[index];
        let position: &Position = account.positions.get(&id).ok_or_else(|| {
            let message = "there is no such open position: accounts.get lists them";
            Box::new(Refusal::new(ErrorCode::NotFound, "POSITION_UNKNOWN", message))
        })?;
        check_version(position.version, modify)?;
        for (path, given) in [
            ("price", modify.price.is_some()),
            ("volume", modify.volume.is_some()),
            ("stopPrice", modify.stop_price.is_some()),
            ("trailDistance", modify.trail.is_some()),
            ("tif", modify.lifetime.is_some()),
        ] {
            if given {
                return Err(invalid("FIELD_CONFLICT", path, "a position has protective levels only"));
            }
        }
        if position.modified_by.is_some() {
            let message = format!("position {id} is waiting for its venue: try again in a moment");
            let busy = Refusal::new(ErrorCode::Conflict, "POSITION_BUSY", message).retryable();
            return Err(Box::new(busy.with("outcome", "not_started")));
        }
        let instrument: InstrumentId = position.instrument;
        Ok(Terms::of_position(position, setup.instrument(instrument), account.id().clone()))
    }

    /// What a venue cannot change is an error and not a silence (OR13).
    fn check_capabilities(
        &self,
        index: usize,
        before: &PlaceOrder,
        after: &PlaceOrder,
    ) -> Result<(), Box<Refusal>> {
        let account = &self.accounts[index];
        if account.config.is_paper() {
            return Ok(());
        }
        let stops = (before.stop_loss, before.take_profit) != (after.stop_loss, after.take_profit);
        let changed = [
            (ModifyField::Price, "price", before.price != after.price),
            (ModifyField::Volume, "volume", before.volume != after.volume),
            (ModifyField::Stops, "stopLoss", stops),
            (ModifyField::Trigger, "stopPrice", before.stop_price != after.stop_price),
            (ModifyField::Trigger, "trailDistance", before.trail != after.trail),
            (ModifyField::Lifetime, "tif", (before.tif, before.expires_at) != (after.tif, after.expires_at)),
        ];
        let lacks = |field: &ModifyField| !account.session.capabilities.modify.contains(field);
        match changed.into_iter().find(|(field, _, changed)| *changed && lacks(field)) {
            None => Ok(()),
            Some((_, path, _)) => Err(Box::new(
                Refusal::new(
                    ErrorCode::ConnectorError,
                    "CAPABILITY_MISSING",
                    format!("this venue cannot change `{path}`: cancel the order and place another"),
                )
                .with("path", path)
                .with("outcome", "not_started"),
            )),
        }
    }
}

fn change(order: &mut PlaceOrder, modify: &ModifyTrade) {
    let level = |was: Option<StopLevel>, change: LevelChange| match change {
        LevelChange::Keep => was,
        LevelChange::Remove => None,
        LevelChange::Price(price) => Some(StopLevel::Price(price)),
    };
    order.price = modify.price.or(order.price);
    order.volume = modify.volume.unwrap_or(order.volume);
    order.stop_price = modify.stop_price.or(order.stop_price);
    order.trail = modify.trail.or(order.trail);
    if let Some(lifetime) = modify.lifetime {
        (order.tif, order.expires_at) = (lifetime.tif, lifetime.expires_at);
    }
    order.stop_loss = level(order.stop_loss, modify.stop_loss);
    order.take_profit = level(order.take_profit, modify.take_profit);
}

/// An order has the prices of its type, and none besides; what was triggered has no trigger any more.
fn check_fields(order: &Order, modify: &ModifyTrade) -> Result<(), Box<Refusal>> {
    use OrderType::{Limit, Stop, StopLimit, TrailingStop};
    let waits = |types: &[OrderType]| !order.triggered && types.contains(&order.order_type);
    let pending = order.order_type != OrderType::Market;
    for (path, given, fits) in [
        ("price", modify.price.is_some(), matches!(order.order_type, Limit | StopLimit)),
        ("stopPrice", modify.stop_price.is_some(), waits(&[Stop, StopLimit])),
        ("trailDistance", modify.trail.is_some(), waits(&[TrailingStop])),
        ("tif", modify.lifetime.is_some(), pending),
    ] {
        if given && !fits {
            let why = if order.triggered { "it was triggered" } else { "an order of this type has none" };
            return Err(invalid("FIELD_CONFLICT", path, why));
        }
    }
    Ok(())
}

fn check_version(version: u32, modify: &ModifyTrade) -> Result<(), Box<Refusal>> {
    match modify.expected_version {
        Some(expected) if expected != version => {
            let message = format!("it is at version {version}, not {expected}: look at it again");
            Err(Box::new(
                Refusal::new(ErrorCode::Conflict, "VERSION_STALE", message).with("version", version),
            ))
        }
        _ => Ok(()),
    }
}

/// OR02: an order cannot become smaller than what is filled, nor a reduction larger than its position.
fn check_volume(
    account: &Account,
    order: &Order,
    instrument: &Instrument,
    volume: rust_decimal::Decimal,
) -> Result<(), Box<Refusal>> {
    let filled = instrument.lots(order.filled);
    if volume <= filled {
        let why = format!("{filled} lots are filled already: cancel what is left instead");
        return Err(invalid("VOLUME_BELOW_FILLED", "volume", &why));
    }
    let held = order.position.and_then(|id| account.positions.get(&id)).map(|p| instrument.lots(p.volume));
    match held {
        Some(held) if volume - filled > held => {
            Err(invalid("REDUCE_ONLY", "volume", &format!("the position that it reduces has {held} lots")))
        }
        _ => Ok(()),
    }
}

fn invalid(reason: &str, path: &str, why: &str) -> Box<Refusal> {
    let refusal = Refusal::new(ErrorCode::InvalidParams, reason, format!("`{path}`: {why}"));
    Box::new(refusal.with("path", path))
}

/// What an intent to modify says of itself.
fn change_params(modify: &ModifyTrade) -> Map<String, Value> {
    let mut params = Map::new();
    match modify.target {
        TradeTarget::Order(id) => params.insert("orderId".into(), id.to_string().into()),
        TradeTarget::Position(id) => params.insert("positionId".into(), id.to_string().into()),
    };
    for (key, value) in [("price", modify.price), ("volume", modify.volume), ("stopPrice", modify.stop_price)]
    {
        if let Some(value) = value {
            params.insert(key.into(), value.to_string().into());
        }
    }
    if let Some(trail) = modify.trail {
        let (key, value) = trail_param(trail);
        params.insert(key.into(), value.into());
    }
    if let Some(lifetime) = modify.lifetime {
        params.insert("tif".into(), serde_json::to_value(lifetime.tif).unwrap_or_default());
        if let Some(at) = lifetime.expires_at {
            params.insert("expiresAt".into(), at.to_string().into());
        }
    }
    for (key, change) in [("stopLoss", modify.stop_loss), ("takeProfit", modify.take_profit)] {
        match change {
            LevelChange::Keep => None,
            LevelChange::Remove => params.insert(key.into(), Value::Null),
            LevelChange::Price(price) => params.insert(key.into(), price.to_string().into()),
        };
    }
    params
}
