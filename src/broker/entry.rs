//! Order entry: a frame becomes an ordinary command of the node, its answer an outcome for the clerk.

use super::books;
use crate::{
    domain::{
        group::JoinGroup,
        id::{AccountId, ClientOrderId, PositionId},
        instrument::Instrument,
        message::{
            CancelOrders, CancelTarget, CommandBody, ErrorCode, LevelChange, Lifetime, LinkReport,
            ModifyTrade, OrderView, PlaceOrder, Refusal, StopLevel, TradeTarget, TrailBy, TriggerTerms,
        },
        order::{OrderType, Origin},
    },
    node::{
        connector::wire::{Level, Modify, Submit},
        handle::{CommandRequest, Handle},
        runtime::Rt,
    },
};
use std::time::Duration;

/// Attempts to enter a request while the lane is full, and the pause between.
const LANE_ATTEMPTS: u32 = 100;
const LANE_PAUSE: Duration = Duration::from_millis(20);

/// Who enters, and where.
#[derive(Clone)]
pub(super) struct Entry {
    pub rt: Rt,
    pub handle: Handle,
    pub account: AccountId,
    pub principal: String,
}

/// What became of a request, as far as the command's answer tells.
#[derive(Debug)]
pub(super) enum Outcome {
    Submit {
        order: String,
        result: Result<(), Refusal>,
    },
    Cancel {
        order: String,
        result: Result<(), Refusal>,
    },
    /// `same`: the terms that were asked for are those that there were, so that no event tells of them.
    Modify {
        target: Target,
        result: Result<Option<LinkReport>, Refusal>,
    },
}

/// What a modification concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Order(String),
    Position(String),
}

impl Entry {
    /// Places an order.
    pub async fn submit(self, submit: Submit) -> Outcome {
        let order = submit.order.clone();
        let result = match self.place_order(submit) {
            Ok(place) => self.command(CommandBody::Place(place)).await,
            Err(refusal) => Err(refusal),
        };
        Outcome::Submit { order, result }
    }

    /// Cancels an order.
    pub async fn cancel(self, order: String) -> Outcome {
        let result = match client_id(&order) {
            Ok(id) => {
                let cancel =
                    CancelOrders { account: self.account.clone(), target: CancelTarget::ClientOrder(id) };
                self.command(CommandBody::Cancel(cancel)).await
            }
            Err(refusal) => Err(refusal),
        };
        Outcome::Cancel { order, result }
    }

    /// Gives an order or a position new terms.
    pub async fn modify(self, modify: Modify) -> Outcome {
        match (&modify.order, &modify.position) {
            (Some(order), None) => {
                let target = Target::Order(order.clone());
                let result = self.modify_order(order, &modify).await;
                Outcome::Modify { target, result }
            }
            (None, Some(position)) => {
                let target = Target::Position(position.clone());
                let result = self.modify_position(position, &modify).await;
                Outcome::Modify { target, result }
            }
            _ => Outcome::Modify {
                target: Target::Order(modify.order.clone().unwrap_or_default()),
                result: Err(invalid("NO_TARGET", "new terms of one order or of one position")),
            },
        }
    }

    async fn modify_order(&self, name: &str, modify: &Modify) -> Result<Option<LinkReport>, Refusal> {
        let known = books::order(&self.handle, &self.account, name).await?;
        let order = known.ok_or_else(|| not_found("ORDER_UNKNOWN", name))?;
        let same = is_same(&order, modify);
        let changed = |new: Option<_>, old| new.filter(|new| Some(*new) != old);
        let body = ModifyTrade {
            account: self.account.clone(),
            target: TradeTarget::Order(order.order_id),
            price: changed(modify.price, order.price),
            volume: changed(modify.volume, Some(order.volume)),
            stop_price: changed(modify.trigger.stop_price, order.stop_price)
                .filter(|_| order.order_type != OrderType::TrailingStop),
            trail: trail(&modify.trigger).filter(|_| changed_trail(&order, &modify.trigger)),
            lifetime: lifetime(&modify.trigger)
                .filter(|l| (l.tif, l.expires_at) != (order.tif, order.expires_at)),
            stop_loss: change(modify.stop_loss),
            take_profit: change(modify.take_profit),
            expected_version: None,
        };
        self.command(CommandBody::Modify(body)).await?;
        Ok(if same { super::reports::terms(&order) } else { None })
    }

    async fn modify_position(&self, name: &str, modify: &Modify) -> Result<Option<LinkReport>, Refusal> {
        let id = PositionId::parse(name).map_err(|_| not_found("POSITION_UNKNOWN", name))?;
        let (view, _) = books::account(&self.handle, &self.account).await?;
        let held = view.positions.iter().find(|position| position.position_id == id);
        let held = held.ok_or_else(|| not_found("POSITION_UNKNOWN", name))?;
        let before = super::reports::levels(held);
        let after = [modify.stop_loss, modify.take_profit].map(price_of);
        let body = ModifyTrade {
            account: self.account.clone(),
            target: TradeTarget::Position(id),
            price: None,
            volume: None,
            stop_price: None,
            trail: None,
            lifetime: None,
            stop_loss: change(modify.stop_loss),
            take_profit: change(modify.take_profit),
            expected_version: None,
        };
        self.command(CommandBody::Modify(body)).await?;
        let same = after == [before.stop_loss, before.take_profit];
        Ok(same.then(|| LinkReport::Position { position: name.to_owned(), levels: before }))
    }

    /// Gives the command; waits while the lane is full, and keeps its place before what is sent meanwhile.
    async fn command(&self, body: CommandBody) -> Result<(), Refusal> {
        let request = CommandRequest {
            principal: self.principal.clone(),
            origin: Origin::User,
            // a client order id is taken once, for ever
            idempotency: None,
            body,
        };
        let (arrival, mut attempt) = (self.handle.arrival(), 1);
        loop {
            match self.handle.command_arrived(arrival, request.clone()).await {
                Ok(_) => return Ok(()),
                Err(refusal) if refusal.reason() == "LANE_FULL" && attempt < LANE_ATTEMPTS => {
                    attempt += 1;
                    self.rt.sleep(LANE_PAUSE).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    fn place_order(&self, submit: Submit) -> Result<PlaceOrder, Refusal> {
        let instruments = self.handle.instruments();
        let instrument = instruments.iter().find(|i| i.symbol.as_str() == submit.symbol);
        let level = |level: Option<Level>| level.map(|level| stop_level(level, instrument)).transpose();
        let position = match &submit.position {
            Some(name) => Some(PositionId::parse(name).map_err(|_| not_found("POSITION_UNKNOWN", name))?),
            None => None,
        };
        let group = submit.group.map(|group| {
            let parent = group.parent.as_deref().map(client_id).transpose()?;
            Ok::<_, Refusal>(JoinGroup { kind: group.kind, id: group.id, parent })
        });
        Ok(PlaceOrder {
            account: self.account.clone(),
            side: submit.side,
            order_type: submit.order_type,
            volume: submit.volume,
            price: submit.price,
            stop_price: submit.trigger.stop_price,
            trail: trail(&submit.trigger),
            stop_loss: level(submit.stop_loss)?,
            take_profit: level(submit.take_profit)?,
            tif: submit.trigger.tif.unwrap_or_default(),
            filling: Some(submit.filling),
            expires_at: submit.trigger.expires_at,
            post_only: submit.post_only,
            reduce_only: position.is_some(),
            position,
            group: group.transpose()?,
            client_order_id: Some(client_id(&submit.order)?),
            reason: None,
            symbol: submit.symbol,
        })
    }
}

fn client_id(name: &str) -> Result<ClientOrderId, Refusal> {
    ClientOrderId::new(name).map_err(|error| invalid("ORDER_NAME", &error.to_string()))
}

/// The level as the gate takes it. Of a symbol that there is not it does not matter.
fn stop_level(level: Level, instrument: Option<&Instrument>) -> Result<StopLevel, Refusal> {
    Ok(match (level, instrument) {
        (Level::Price(price), _) => StopLevel::Price(price),
        (Level::Percent(percent), _) => StopLevel::Percent(percent),
        (Level::Distance(distance), None) => StopLevel::Price(distance),
        (Level::Distance(distance), Some(instrument)) => {
            let ticks = instrument.to_price(distance);
            let off_grid = || invalid("STOPS_INVALID", "a distance is a positive number of ticks");
            StopLevel::Ticks(ticks.ok_or_else(off_grid)?.0)
        }
    })
}

/// What is to become of a level. A distance from a fill that has not been is as it was: nobody changes it.
fn change(level: Option<Level>) -> LevelChange {
    match level {
        None => LevelChange::Remove,
        Some(Level::Price(price)) => LevelChange::Price(price),
        Some(Level::Distance(_) | Level::Percent(_)) => LevelChange::Keep,
    }
}

fn price_of(level: Option<Level>) -> Option<rust_decimal::Decimal> {
    match level {
        Some(Level::Price(price)) => Some(price),
        _ => None,
    }
}

fn trail(terms: &TriggerTerms) -> Option<TrailBy> {
    let by_distance = terms.trail_distance.map(TrailBy::Distance);
    by_distance.or_else(|| terms.trail_percent.map(TrailBy::Percent))
}

fn changed_trail(order: &OrderView, terms: &TriggerTerms) -> bool {
    (terms.trail_distance, terms.trail_percent) != (order.trail_distance, order.trail_percent)
}

fn lifetime(terms: &TriggerTerms) -> Option<Lifetime> {
    terms.tif.map(|tif| Lifetime { tif, expires_at: terms.expires_at })
}

fn is_same(order: &OrderView, modify: &Modify) -> bool {
    let level = |was, wanted| match wanted {
        Some(Level::Distance(_) | Level::Percent(_)) => true,
        wanted => was == price_of(wanted),
    };
    modify.price.is_none_or(|price| Some(price) == order.price)
        && modify.volume.is_none_or(|volume| volume == order.volume)
        && (order.order_type == OrderType::TrailingStop
            || modify.trigger.stop_price.is_none_or(|price| Some(price) == order.stop_price))
        && (trail(&modify.trigger).is_none() || !changed_trail(order, &modify.trigger))
        && lifetime(&modify.trigger).is_none_or(|l| (l.tif, l.expires_at) == (order.tif, order.expires_at))
        && level(order.stop_loss, modify.stop_loss)
        && level(order.take_profit, modify.take_profit)
}

fn not_found(reason: &str, name: &str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, reason, format!("`{name}` is not known here"))
}

fn invalid(reason: &str, why: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidParams, reason, why)
}
