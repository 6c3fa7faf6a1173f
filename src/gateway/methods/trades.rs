//! `trades.*`: orders in, cancelled, positions closed, orders looked up.

use super::At;
use crate::{
    domain::{
        group::{GroupKind, JoinGroup},
        id::{AccountId, ClientOrderId, GroupId, IntentId, OrderId, PositionId},
        message::{
            Answer, CancelOrders, CancelReply, CancelTarget, ClosePosition, CloseReply, CloseTarget,
            CommandBody, LevelChange, Lifetime, ModifyReply, ModifyTrade, OrderDetail, OrderKey, PlaceOrder,
            PlaceReply, Refusal, ResolveOrder, ResolveReply, ResolvedAs, StopLevel, TradeTarget, TrailBy,
        },
        order::{Filling, OrderType, Side, TimeInForce},
    },
    gateway::{
        context::{Context, wrong_answer},
        limits::TEXT_CHARS,
        registry::Method,
        wire::{WireChange, WireDecimal, WireTime, check_text, conflict, exactly_one, invalid, missing},
    },
    node::tokens::Scope,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

pub fn methods() -> Vec<Method> {
    vec![
        Method::detached("trades.place", &[Scope::Trade], "Places an order.", place).keyed().per_account(),
        Method::detached(
            "trades.modify",
            &[Scope::Trade],
            "New terms of a working order, or protective levels of a position.",
            modify,
        )
        .keyed()
        .per_account(),
        Method::detached("trades.cancel", &[Scope::Trade, Scope::Stop], "Cancels working orders.", cancel)
            .keyed()
            .control(),
        Method::detached("trades.closePosition", &[Scope::Trade], "Closes positions.", close)
            .keyed()
            .control(),
        Method::detached("trades.get", &[Scope::Read], "An order and its fills.", get),
        Method::detached(
            "trades.resolve",
            &[Scope::Admin],
            "Says what became of an order that nobody tells of.",
            resolve,
        )
        .keyed(),
    ]
}

/// The parameters of `trades.place` and `risk.preview`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceParams {
    account_id: AccountId,
    symbol: String,
    side: Side,
    #[serde(rename = "type")]
    order_type: OrderType,
    /// In lots.
    volume: WireDecimal,
    #[serde(default)]
    price: Option<WireDecimal>,
    #[serde(default)]
    stop_price: Option<WireDecimal>,
    #[serde(default)]
    trail_distance: Option<WireDecimal>,
    #[serde(default)]
    trail_percent: Option<WireDecimal>,
    #[serde(default)]
    stop_loss: Option<WireDecimal>,
    #[serde(default)]
    take_profit: Option<WireDecimal>,
    #[serde(default)]
    tif: Option<WireTif>,
    #[serde(default)]
    filling: Option<Filling>,
    #[serde(default)]
    expires_at: Option<WireTime>,
    #[serde(default)]
    post_only: Option<bool>,
    #[serde(default)]
    reduce_only: Option<bool>,
    #[serde(default)]
    position_id: Option<PositionId>,
    #[serde(default)]
    client_order_id: Option<ClientOrderId>,
    /// Other orders that it knows of; the first of `oto` and `bracket` lets the others in when it fills.
    #[serde(default)]
    group: Option<WireGroup>,
    #[serde(default)]
    reason: Option<String>,
    // part of the protocol, and not of this build: refused, never ignored
    #[serde(default)]
    #[schemars(skip)]
    keep_stops: Option<bool>,
    #[serde(default)]
    #[schemars(skip)]
    max_slippage: Option<Box<RawValue>>,
    #[serde(default)]
    #[schemars(skip)]
    agent_id: Option<Box<RawValue>>,
}

/// A group of orders.
#[derive(Debug, Deserialize, JsonSchema)]
struct WireGroup {
    kind: GroupKind,
    id: GroupId,
}

/// A lifetime; `ioc` and `fok` are the contract's spelling of a filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WireTif {
    Gtc,
    Day,
    Gtd,
    Ioc,
    Fok,
}

impl WireTif {
    const fn split(self) -> (TimeInForce, Option<Filling>) {
        match self {
            Self::Gtc => (TimeInForce::Gtc, None),
            Self::Day => (TimeInForce::Day, None),
            Self::Gtd => (TimeInForce::Gtd, None),
            Self::Ioc => (TimeInForce::Gtc, Some(Filling::Ioc)),
            Self::Fok => (TimeInForce::Gtc, Some(Filling::Fok)),
        }
    }
}

impl PlaceParams {
    /// The account that it is for.
    pub const fn account(&self) -> &AccountId {
        &self.account_id
    }

    /// The command, if the parameters make one; whether it may be is the risk gate's to say.
    pub fn order(self) -> Result<PlaceOrder, Refusal> {
        self.check_supported()?;
        self.check_prices()?;
        let (tif, asked) = self.tif.unwrap_or(WireTif::Gtc).split();
        let filling = match (asked, self.filling) {
            (Some(asked), Some(filling)) if asked != filling => {
                return Err(conflict("filling", "`tif` asks for another filling"));
            }
            (asked, filling) => filling.or(asked),
        };
        match (tif, self.expires_at) {
            (TimeInForce::Gtd, None) => return Err(missing("expiresAt")),
            (TimeInForce::Gtc | TimeInForce::Day, Some(_)) => {
                return Err(conflict("expiresAt", "only an order with tif gtd has one"));
            }
            _ => {}
        }
        let reduce_only = self.reduce_only.unwrap_or(false);
        if self.position_id.is_some() && !reduce_only {
            return Err(conflict("positionId", "only a reduceOnly order names a position"));
        }
        check_text("symbol", &self.symbol, 64)?;
        if let Some(reason) = &self.reason {
            check_text("reason", reason, TEXT_CHARS)?;
        }
        Ok(PlaceOrder {
            account: self.account_id,
            symbol: self.symbol,
            side: self.side,
            order_type: self.order_type,
            volume: self.volume.0,
            price: self.price.map(|p| p.0),
            stop_price: self.stop_price.map(|p| p.0),
            trail: trail(self.trail_distance, self.trail_percent),
            stop_loss: self.stop_loss.map(|p| StopLevel::Price(p.0)),
            take_profit: self.take_profit.map(|p| StopLevel::Price(p.0)),
            tif,
            filling,
            expires_at: self.expires_at.map(|at| at.0),
            post_only: self.post_only.unwrap_or(false),
            reduce_only,
            position: self.position_id,
            group: self.group.map(|WireGroup { kind, id }| JoinGroup { kind, id, parent: None }),
            client_order_id: self.client_order_id,
            reason: self.reason,
        })
    }

    fn check_supported(&self) -> Result<(), Refusal> {
        let unsupported = [
            ("keepStops", self.keep_stops == Some(true)),
            ("maxSlippage", self.max_slippage.is_some()),
            ("agentId", self.agent_id.is_some()),
        ];
        match unsupported.into_iter().find(|(_, given)| *given) {
            Some((path, _)) => Err(invalid("FIELD_UNSUPPORTED", path, "is not supported here; leave it out")),
            None => Ok(()),
        }
    }

    /// Which prices each order type has, and must have.
    fn check_prices(&self) -> Result<(), Refusal> {
        let (price, stop_price, trail) = match self.order_type {
            OrderType::Market => (false, false, false),
            OrderType::Limit => (true, false, false),
            OrderType::Stop => (false, true, false),
            OrderType::StopLimit => (true, true, false),
            OrderType::TrailingStop => (false, false, true),
        };
        let given = [
            ("price", price, self.price.is_some()),
            ("stopPrice", stop_price, self.stop_price.is_some()),
            ("trailDistance", trail, self.trail_distance.is_some()),
            ("trailPercent", trail, self.trail_percent.is_some()),
        ];
        if let Some((path, ..)) = given.iter().find(|(_, wanted, given)| *given && !wanted) {
            return Err(conflict(path, "an order of this type has none"));
        }
        if let Some((path, ..)) = given[..2].iter().find(|(_, wanted, given)| *wanted && !given) {
            return Err(missing(path));
        }
        match (self.trail_distance, self.trail_percent) {
            (None, None) if trail => Err(missing("trailDistance")),
            (Some(_), Some(_)) => Err(conflict("trailPercent", ONE_TRAIL)),
            _ => Ok(()),
        }
    }
}

const ONE_TRAIL: &str = "give only one of trailDistance, trailPercent";

fn trail(distance: Option<WireDecimal>, percent: Option<WireDecimal>) -> Option<TrailBy> {
    let by_distance = distance.map(|distance| TrailBy::Distance(distance.0));
    by_distance.or_else(|| percent.map(|percent| TrailBy::Percent(percent.0)))
}

async fn place(context: Context, params: PlaceParams) -> Result<PlaceReply, Refusal> {
    context.check_account(params.account())?;
    let order = params.order()?;
    context.command(CommandBody::Place(order)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ModifyParams {
    account_id: AccountId,
    #[serde(default)]
    order_id: Option<OrderId>,
    #[serde(default)]
    position_id: Option<PositionId>,
    #[serde(default)]
    price: Option<WireDecimal>,
    /// In lots, what is filled included.
    #[serde(default)]
    volume: Option<WireDecimal>,
    /// `null` removes it.
    #[serde(default)]
    stop_loss: WireChange,
    /// `null` removes it.
    #[serde(default)]
    take_profit: WireChange,
    /// The version that the caller has seen.
    #[serde(default)]
    expected_version: Option<u32>,
    /// The trigger of a stop that was not triggered.
    #[serde(default)]
    stop_price: Option<WireDecimal>,
    #[serde(default)]
    trail_distance: Option<WireDecimal>,
    #[serde(default)]
    trail_percent: Option<WireDecimal>,
    #[serde(default)]
    tif: Option<TimeInForce>,
    #[serde(default)]
    expires_at: Option<WireTime>,
}

impl ModifyParams {
    fn command(self) -> Result<ModifyTrade, Refusal> {
        if self.trail_distance.is_some() && self.trail_percent.is_some() {
            return Err(conflict("trailPercent", ONE_TRAIL));
        }
        let lifetime = self.lifetime()?;
        let target = exactly_one([
            ("orderId", self.order_id.map(TradeTarget::Order)),
            ("positionId", self.position_id.map(TradeTarget::Position)),
            ("", None),
        ])?;
        let trail = trail(self.trail_distance, self.trail_percent);
        let nothing = [&self.price, &self.volume, &self.stop_price].into_iter().all(Option::is_none)
            && trail.is_none()
            && lifetime.is_none()
            && (self.stop_loss, self.take_profit) == (WireChange::Keep, WireChange::Keep);
        if nothing {
            let others = vec!["price", "volume", "takeProfit", "stopPrice", "trailDistance", "tif"];
            return Err(missing("stopLoss").with("alternatives", others));
        }
        let level = |change: WireChange| match change {
            WireChange::Keep => LevelChange::Keep,
            WireChange::Remove => LevelChange::Remove,
            WireChange::Set(price) => LevelChange::Price(price),
        };
        Ok(ModifyTrade {
            account: self.account_id,
            target,
            price: self.price.map(|p| p.0),
            volume: self.volume.map(|v| v.0),
            stop_price: self.stop_price.map(|p| p.0),
            trail,
            lifetime,
            stop_loss: level(self.stop_loss),
            take_profit: level(self.take_profit),
            expected_version: self.expected_version,
        })
    }

    /// `expiresAt` alone dates an order.
    fn lifetime(&self) -> Result<Option<Lifetime>, Refusal> {
        let expires_at = self.expires_at.as_ref().map(|at| at.0);
        match (self.tif, expires_at) {
            (None, None) => Ok(None),
            (Some(TimeInForce::Gtd), None) => Err(missing("expiresAt")),
            (Some(TimeInForce::Gtc | TimeInForce::Day), Some(_)) => {
                Err(conflict("expiresAt", "only an order with tif gtd has one"))
            }
            (tif, expires_at) => Ok(Some(Lifetime { tif: tif.unwrap_or(TimeInForce::Gtd), expires_at })),
        }
    }
}

async fn modify(context: Context, params: ModifyParams) -> Result<Box<ModifyReply>, Refusal> {
    context.check_account(&params.account_id)?;
    let command = params.command()?;
    context.command(CommandBody::Modify(command)).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WireOutcome {
    Filled,
    NotExecuted,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResolveParams {
    account_id: AccountId,
    order_id: OrderId,
    outcome: WireOutcome,
    /// Of outcome `filled`.
    #[serde(default)]
    fill: Option<ResolvedFill>,
    reason: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResolvedFill {
    /// In lots.
    volume: WireDecimal,
    price: WireDecimal,
    /// In the account's currency, negative as a cost.
    #[serde(default)]
    commission: Option<WireDecimal>,
    /// What the venue calls the position.
    #[serde(default)]
    venue_position_id: Option<String>,
}

impl ResolveParams {
    fn command(self) -> Result<ResolveOrder, Refusal> {
        check_text("reason", &self.reason, TEXT_CHARS)?;
        let outcome = match (self.outcome, self.fill) {
            (WireOutcome::NotExecuted, None) => ResolvedAs::NotExecuted,
            (WireOutcome::NotExecuted, Some(_)) => {
                return Err(conflict("fill", "an order that was not executed has none"));
            }
            (WireOutcome::Filled, None) => return Err(missing("fill")),
            (WireOutcome::Filled, Some(fill)) => {
                if let Some(name) = &fill.venue_position_id {
                    check_text("fill.venuePositionId", name, 128)?;
                }
                ResolvedAs::Filled {
                    volume: fill.volume.0,
                    price: fill.price.0,
                    commission: fill.commission.map_or(rust_decimal::Decimal::ZERO, |c| c.0),
                    venue_position: fill.venue_position_id,
                }
            }
        };
        Ok(ResolveOrder { account: self.account_id, order: self.order_id, outcome, reason: self.reason })
    }
}

async fn resolve(context: Context, params: ResolveParams) -> Result<Box<ResolveReply>, Refusal> {
    context.check_account(&params.account_id)?;
    let command = params.command()?;
    context.command(CommandBody::Resolve(command)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CancelParams {
    account_id: AccountId,
    #[serde(default)]
    order_id: Option<OrderId>,
    #[serde(default)]
    client_order_id: Option<ClientOrderId>,
    /// All working orders of the account, or of `symbol`.
    #[serde(default)]
    all: Option<bool>,
    #[serde(default)]
    symbol: Option<String>,
}

impl CancelParams {
    fn command(self) -> Result<CancelOrders, Refusal> {
        if let Some(symbol) = &self.symbol {
            check_text("symbol", symbol, 64)?;
        }
        let all = self.all.filter(|all| *all);
        if all.is_none() && self.symbol.is_some() {
            return Err(conflict("symbol", "belongs to all: true"));
        }
        let symbol = self.symbol;
        let target = exactly_one([
            ("orderId", self.order_id.map(CancelTarget::Order)),
            ("clientOrderId", self.client_order_id.map(CancelTarget::ClientOrder)),
            ("all", all.map(|_| CancelTarget::All { symbol })),
        ])?;
        Ok(CancelOrders { account: self.account_id, target })
    }
}

async fn cancel(context: Context, params: CancelParams) -> Result<CancelReply, Refusal> {
    context.check_account(&params.account_id)?;
    let command = params.command()?;
    context.command(CommandBody::Cancel(command)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CloseParams {
    account_id: AccountId,
    #[serde(default)]
    position_id: Option<PositionId>,
    /// Every position on it.
    #[serde(default)]
    symbol: Option<String>,
    /// In lots; all of it unless told.
    #[serde(default)]
    volume: Option<WireDecimal>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    close_by: Option<Box<RawValue>>,
}

impl CloseParams {
    fn command(self) -> Result<ClosePosition, Refusal> {
        if self.close_by.is_some() {
            return Err(invalid("FIELD_UNSUPPORTED", "closeBy", "is not supported here; leave it out"));
        }
        if let Some(reason) = &self.reason {
            check_text("reason", reason, TEXT_CHARS)?;
        }
        if let Some(symbol) = &self.symbol {
            check_text("symbol", symbol, 64)?;
        }
        let target = exactly_one([
            ("positionId", self.position_id.map(CloseTarget::Position)),
            ("symbol", self.symbol.map(CloseTarget::Symbol)),
            ("", None),
        ])?;
        Ok(ClosePosition {
            account: self.account_id,
            target,
            volume: self.volume.map(|v| v.0),
            reason: self.reason,
        })
    }
}

async fn close(context: Context, params: CloseParams) -> Result<CloseReply, Refusal> {
    context.check_account(&params.account_id)?;
    let command = params.command()?;
    context.command(CommandBody::Close(command)).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GetParams {
    account_id: AccountId,
    #[serde(default)]
    order_id: Option<OrderId>,
    #[serde(default)]
    client_order_id: Option<ClientOrderId>,
    #[serde(default)]
    intent_id: Option<IntentId>,
}

async fn get(context: Context, params: GetParams) -> Result<At<OrderDetail>, Refusal> {
    context.check_account(&params.account_id)?;
    let key = exactly_one([
        ("orderId", params.order_id.map(OrderKey::Order)),
        ("clientOrderId", params.client_order_id.map(OrderKey::ClientOrder)),
        ("intentId", params.intent_id.map(OrderKey::Intent)),
    ])?;
    let (answer, cursor) = context.handle.order(params.account_id, key).await?;
    let Answer::Order(detail) = answer else { return Err(wrong_answer("question")) };
    Ok(At { snapshot: *detail, cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{context::fingerprint, wire::read};

    fn order(extra: &str) -> Result<PlaceOrder, Refusal> {
        let json =
            format!(r#"{{"accountId":"paper","symbol":"BTCUSD","side":"buy","volume":"0.10"{extra}}}"#);
        read::<PlaceParams>(&json)?.order()
    }

    fn refused(extra: &str, reason: &str, path: &str) {
        let refusal = order(extra).expect_err(extra);
        assert_eq!((refusal.reason(), refusal.details["path"].as_str()), (reason, Some(path)), "{extra}");
    }

    #[test]
    fn each_order_type_has_its_own_prices() {
        order(r#","type":"market""#).expect("a market order has none");
        order(r#","type":"limit","price":1"#).expect("a limit order has one");
        order(r#","type":"stop","stopPrice":1"#).expect("a stop order has one");
        order(r#","type":"stop_limit","stopPrice":1,"price":1"#).expect("a stop-limit order has both");
        order(r#","type":"trailing_stop","trailPercent":1"#).expect("a trailing stop has a distance");
        refused("", "FIELD_MISSING", "type");
        refused(r#","type":"market","price":1"#, "FIELD_CONFLICT", "price");
        refused(r#","type":"limit""#, "FIELD_MISSING", "price");
        refused(r#","type":"limit","price":1,"stopPrice":1"#, "FIELD_CONFLICT", "stopPrice");
        refused(r#","type":"stop_limit","price":1"#, "FIELD_MISSING", "stopPrice");
        refused(r#","type":"trailing_stop""#, "FIELD_MISSING", "trailDistance");
        refused(
            r#","type":"trailing_stop","trailDistance":1,"trailPercent":1"#,
            "FIELD_CONFLICT",
            "trailPercent",
        );
        refused(r#","type":"market","trailDistance":1"#, "FIELD_CONFLICT", "trailDistance");
        refused(r#","type":"iceberg""#, "WRONG_TYPE", "type");
    }

    #[test]
    fn or12_lifetime_and_filling_are_separate_and_the_contract_spelling_is_read() {
        let parts = |extra| order(extra).map(|order| (order.tif, order.filling)).expect(extra);
        assert_eq!(parts(r#","type":"market""#), (TimeInForce::Gtc, None));
        assert_eq!(parts(r#","type":"market","tif":"ioc""#), (TimeInForce::Gtc, Some(Filling::Ioc)));
        assert_eq!(
            parts(r#","type":"market","tif":"fok","filling":"fok""#),
            (TimeInForce::Gtc, Some(Filling::Fok))
        );
        assert_eq!(
            parts(r#","type":"market","tif":"day","filling":"ioc""#),
            (TimeInForce::Day, Some(Filling::Ioc))
        );
        refused(r#","type":"market","tif":"fok","filling":"ioc""#, "FIELD_CONFLICT", "filling");
        refused(r#","type":"market","tif":"gtd""#, "FIELD_MISSING", "expiresAt");
        refused(r#","type":"market","expiresAt":1771296900000"#, "FIELD_CONFLICT", "expiresAt");
        let gtd = order(r#","type":"market","tif":"gtd","expiresAt":1771296900000"#).expect("gtd");
        assert_eq!(gtd.expires_at.expect("given").to_string(), "2026-02-17T02:55:00Z");
    }

    #[test]
    fn or13_what_this_build_lacks_is_refused_not_ignored() {
        for (extra, path) in [
            (r#","maxSlippage":"1""#, "maxSlippage"),
            (r#","keepStops":true"#, "keepStops"),
            (r#","agentId":"a""#, "agentId"),
        ] {
            refused(&format!(r#","type":"market"{extra}"#), "FIELD_UNSUPPORTED", path);
        }
        order(r#","type":"market","keepStops":false,"somethingNew":[1]"#)
            .expect("unknown fields are ignored");
        refused(r#","type":"market","positionId":"p1""#, "FIELD_CONFLICT", "positionId");
        refused(r#","type":"market","positionId":"o1""#, "WRONG_TYPE", "positionId");
    }

    #[test]
    fn gw03_a_fingerprint_is_of_the_meaning_not_the_spelling() {
        let of = |json: &str| {
            fingerprint(&CommandBody::Place(read::<PlaceParams>(json).expect(json).order().expect(json)))
        };
        let base =
            of(r#"{"accountId":"paper","symbol":"BTCUSD","side":"buy","type":"market","volume":"0.10"}"#);
        for same in [
            r#"{"volume":0.1,"type":"market","side":"buy","symbol":"BTCUSD","accountId":"paper","tif":"gtc"}"#,
            r#"{"volume":1e-1,"type":"market","side":"buy","symbol":"BTCUSD","accountId":"paper","idempotencyKey":"k"}"#,
        ] {
            assert_eq!(of(same), base, "{same}");
        }
        let other = r#"{"volume":0.1000000000000000000000001,"type":"market","side":"buy","symbol":"BTCUSD","accountId":"paper"}"#;
        assert_ne!(of(other), base, "no float on the way");
        assert_eq!(base.len(), 64);
    }

    #[test]
    fn cancel_and_close_name_exactly_one_target() {
        let cancel = |extra: &str| {
            read::<CancelParams>(&format!(r#"{{"accountId":"paper"{extra}}}"#))
                .and_then(CancelParams::command)
        };
        assert_eq!(cancel(r#","orderId":"o7""#).expect("one").target, CancelTarget::Order(OrderId(7)));
        let all = cancel(r#","all":true,"symbol":"BTCUSD""#).expect("all").target;
        assert_eq!(all, CancelTarget::All { symbol: Some("BTCUSD".into()) });
        for (extra, reason, path) in [
            ("", "FIELD_MISSING", "orderId"),
            (r#","all":false"#, "FIELD_MISSING", "orderId"),
            (r#","orderId":"o7","all":true"#, "FIELD_CONFLICT", "all"),
            (r#","orderId":"o7","symbol":"BTCUSD""#, "FIELD_CONFLICT", "symbol"),
        ] {
            let refusal = cancel(extra).expect_err(extra);
            assert_eq!((refusal.reason(), refusal.details["path"].as_str()), (reason, Some(path)), "{extra}");
        }
        let close = |extra: &str| {
            read::<CloseParams>(&format!(r#"{{"accountId":"paper"{extra}}}"#)).and_then(CloseParams::command)
        };
        assert_eq!(close(r#","symbol":"BTCUSD""#).expect("one").target, CloseTarget::Symbol("BTCUSD".into()));
        assert_eq!(close("").expect_err("none").reason(), "FIELD_MISSING");
        assert_eq!(
            close(r#","positionId":"p1","closeBy":"p2""#).expect_err("close by").details["path"],
            "closeBy"
        );
    }
}
