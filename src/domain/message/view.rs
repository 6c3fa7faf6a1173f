//! Views: objects in the wire's shape and units (PROTOCOL section 3).

use super::{Capabilities, Violation, ViolationCode};
use crate::domain::{
    account::{AccountMode, LinkStatus, PositionMode, TradingState},
    calendar::{Calendar, WeeklySession},
    group::{GroupKind, OrderGroup},
    id::{AccountId, ClientOrderId, FillId, IntentId, OrderId, PositionId, Symbol},
    instrument::{Instrument, MarginMode, Price},
    market::Quote,
    money::{self, Currency, Money},
    order::{Filling, Order, OrderStatus, OrderType, Origin, Side, Stop, TimeInForce, Trail},
    position::{Fill, FillReason, Position},
    time::UnixNanos,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    pub order_id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_order_id: Option<ClientOrderId>,
    pub intent_id: IntentId,
    pub account_id: AccountId,
    pub symbol: Symbol,
    pub side: Side,
    #[serde(rename = "type")]
    pub order_type: OrderType,
    pub volume: Decimal,
    pub filled_volume: Decimal,
    pub leaves_volume: Decimal,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Decimal>,
    /// The trigger of a stop; of a trailing one, where it was last seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail_distance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail_percent: Option<Decimal>,
    /// Absent when it is a distance from a fill that has not happened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_loss: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub take_profit: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avg_price: Option<Decimal>,
    pub tif: TimeInForce,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<UnixNanos>,
    pub filling: Filling,
    pub post_only: bool,
    pub reduce_only: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position_id: Option<PositionId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<OrderGroup>,
    pub status: OrderStatus,
    pub version: u32,
    pub origin: Origin,
    pub created_at: UnixNanos,
    pub updated_at: UnixNanos,
    /// The venue's own name of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl OrderView {
    /// The order in the instrument's decimals.
    pub fn new(order: &Order, instrument: &Instrument) -> Self {
        let stop = |stop: Option<Stop>| match stop {
            Some(Stop::At(price)) => Some(instrument.price(price)),
            _ => None,
        };
        Self {
            order_id: order.id,
            client_order_id: order.client_order_id.clone(),
            intent_id: order.intent_id,
            account_id: order.account.clone(),
            symbol: instrument.symbol.clone(),
            side: order.side,
            order_type: order.order_type,
            volume: instrument.lots(order.volume),
            filled_volume: instrument.lots(order.filled),
            leaves_volume: instrument.lots(order.leaves()),
            price: order.price.map(|p| instrument.price(p)),
            stop_price: order.stop_price.map(|p| instrument.price(p)),
            trail_distance: match order.trail {
                Some(Trail::Ticks(ticks)) => Some(instrument.price(Price(ticks))),
                _ => None,
            },
            trail_percent: match order.trail {
                Some(Trail::Percent(percent)) => Some(percent),
                _ => None,
            },
            stop_loss: stop(order.stop_loss),
            take_profit: stop(order.take_profit),
            avg_price: average(order, instrument),
            tif: order.tif,
            expires_at: order.expires_at,
            filling: order.filling,
            post_only: order.post_only,
            reduce_only: order.position.is_some(),
            position_id: order.position,
            group: order.group.clone(),
            status: order.status,
            version: order.version,
            origin: order.origin,
            created_at: order.created_at,
            updated_at: order.updated_at,
            venue_order_id: order.venue_order.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// The average price of what is filled.
pub(crate) fn average(order: &Order, instrument: &Instrument) -> Option<Decimal> {
    (!order.filled.is_zero()).then(|| {
        money::average_price(order.filled_tick_steps, order.filled.0, instrument.tick, instrument.digits)
    })
}

/// A fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FillView {
    pub fill_id: FillId,
    pub order_id: OrderId,
    pub position_id: PositionId,
    pub account_id: AccountId,
    pub symbol: Symbol,
    pub side: Side,
    pub volume: Decimal,
    pub price: Decimal,
    pub commission: Money,
    pub realized_pnl: Money,
    pub reason: FillReason,
    pub ts: UnixNanos,
}

impl FillView {
    /// The fill in the instrument's decimals.
    pub fn new(fill: &Fill, instrument: &Instrument) -> Self {
        Self {
            fill_id: fill.id,
            order_id: fill.order,
            position_id: fill.position,
            account_id: fill.account.clone(),
            symbol: instrument.symbol.clone(),
            side: fill.side,
            volume: instrument.lots(fill.volume),
            price: instrument.price(fill.price),
            commission: fill.commission,
            realized_pnl: fill.realized_pnl,
            reason: fill.reason,
            ts: fill.ts,
        }
    }
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PositionView {
    pub position_id: PositionId,
    pub account_id: AccountId,
    pub symbol: Symbol,
    pub side: Side,
    pub volume: Decimal,
    pub open_price: Decimal,
    /// The price that would close it; the opening price before the first quote.
    pub current_price: Decimal,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_loss: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub take_profit: Option<Decimal>,
    pub floating: Money,
    pub swap: Money,
    pub commission: Money,
    pub margin: Money,
    pub opened_at: UnixNanos,
    pub version: u32,
    pub origin: Origin,
}

impl PositionView {
    /// The position in the instrument's decimals, marked at `quote`; `floating` as posted.
    pub fn new(
        position: &Position,
        account: &AccountId,
        instrument: &Instrument,
        quote: Option<Quote>,
        floating: Money,
    ) -> Self {
        let current = quote.map_or(position.open_price, |q| position.closing_price(q));
        Self {
            position_id: position.id,
            account_id: account.clone(),
            symbol: instrument.symbol.clone(),
            side: position.side,
            volume: instrument.lots(position.volume),
            open_price: position.average_open(instrument),
            current_price: instrument.price(current),
            stop_loss: position.stop_loss.map(|p| instrument.price(p)),
            take_profit: position.take_profit.map(|p| instrument.price(p)),
            floating,
            swap: Money::ZERO,
            commission: position.commission,
            margin: position.margin,
            opened_at: position.opened_at,
            version: position.version,
            origin: position.origin,
        }
    }
}

/// `accounts.status`: the account's link to its venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatusView {
    pub account_id: AccountId,
    pub status: LinkStatus,
    pub since: UnixNanos,
    /// Why it is not connected, or last was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Orders whose fate is open.
    pub unknown_orders: Vec<OrderId>,
}

/// One row of `accounts.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountSummary {
    pub account_id: AccountId,
    pub label: String,
    pub connector: String,
    pub mode: AccountMode,
    pub status: LinkStatus,
    pub trading_state: TradingState,
    pub currency: Currency,
    pub leverage: u32,
    pub position_mode: PositionMode,
    pub balance: Money,
    pub credit: Money,
    pub equity: Money,
    pub margin: Money,
    pub free_margin: Money,
    /// Equity in percent of margin; absent without margin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub margin_level: Option<Decimal>,
    pub allowed_symbols: Vec<Symbol>,
}

/// `accounts.get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    #[serde(flatten)]
    pub summary: AccountSummary,
    pub positions: Vec<PositionView>,
    /// Working orders.
    pub orders: Vec<OrderView>,
}

/// `trades.get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderDetail {
    pub order: OrderView,
    pub fills: Vec<FillView>,
}

/// One check of a preview; `passed` is null where it could not be evaluated (RK02).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    pub code: ViolationCode,
    pub passed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actual: Option<Decimal>,
}

/// What a preview computed on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Computed {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub margin_required: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub free_margin_after: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notional: Option<Money>,
    /// Loss at the stop loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub risk_amount: Option<Money>,
    /// Distance to the take profit over distance to the stop loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub risk_reward: Option<Decimal>,
}

/// `risk.preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewView {
    pub allowed: bool,
    pub violations: Vec<Violation>,
    pub checks: Vec<Check>,
    pub computed: Computed,
    /// The number of critical events that the decision is based on.
    pub state_version: u64,
}

/// One latch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatchView {
    /// A stop's id, or `daily_loss:<account>`.
    pub id: String,
    /// `global` or `account`.
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account_id: Option<AccountId>,
    /// `emergency_stop` or `daily_loss`.
    pub cause: String,
    pub reason: String,
    pub actor: String,
    pub since: UnixNanos,
    /// Whether its actions are all done.
    pub complete: bool,
}

/// One configured limit and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitView {
    pub code: ViolationCode,
    pub account_id: AccountId,
    pub limit: Decimal,
    pub actual: Decimal,
    pub remaining: Decimal,
}

/// `risk.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiskStatusView {
    /// The worst of the accounts asked about.
    pub trading_state: TradingState,
    pub latches: Vec<LatchView>,
    pub limits: Vec<LimitView>,
    /// Loss since the day roll, per account; negative is a gain.
    pub daily_loss: std::collections::BTreeMap<AccountId, Money>,
}

/// One row of `accounts.instruments`. Prices and distances are in the price's unit, volumes in lots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstrumentView {
    pub symbol: Symbol,
    pub digits: u32,
    pub point: Decimal,
    pub tick: Decimal,
    pub pip: Decimal,
    /// Units of a lot.
    pub contract_size: Decimal,
    pub volume_min: Decimal,
    pub volume_max: Decimal,
    pub volume_step: Decimal,
    pub quote_currency: Currency,
    pub margin_currency: Currency,
    /// The weekly trading sessions, in local time of `session_zone`.
    pub sessions: Vec<SessionHours>,
    pub session_zone: String,
    /// Least distance of protective levels and pending prices, in points.
    pub stops_level: i64,
    /// Distance within which nothing can be changed, in points.
    pub freeze_level: i64,
    pub fillings: Vec<Filling>,
    pub tifs: Vec<TimeInForce>,
    pub order_types: Vec<OrderType>,
    /// What orders can be to each other there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<GroupKind>,
    /// In points a night.
    pub swap: SwapView,
    /// `full`: buys and sells, opening and closing.
    pub trade_mode: String,
}

/// A weekly session, such as `Sun 17:00` to `Fri 17:00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionHours {
    pub open: String,
    pub close: String,
}

/// What holding a position over night costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwapView {
    pub long: Decimal,
    pub short: Decimal,
}

impl InstrumentView {
    /// The instrument as an account may trade it whose venue offers these types and fillings.
    pub fn new(instrument: &Instrument, calendar: &Calendar, offered: &Capabilities) -> Self {
        let hours = WeeklySession::minute_text;
        let sessions = calendar.weekly.iter();
        Self {
            symbol: instrument.symbol.clone(),
            digits: instrument.digits,
            point: instrument.point,
            tick: instrument.tick,
            pip: instrument.pip,
            contract_size: instrument.contract_size,
            volume_min: instrument.lots(instrument.volume_min),
            volume_max: instrument.lots(instrument.volume_max),
            volume_step: instrument.volume_step,
            quote_currency: instrument.quote_currency,
            margin_currency: match instrument.margin_mode {
                MarginMode::Forex => instrument.base_currency,
                MarginMode::CfdLeverage => instrument.quote_currency,
            },
            sessions: sessions
                .map(|s| SessionHours { open: hours(s.open_minute), close: hours(s.close_minute) })
                .collect(),
            session_zone: calendar.zone.name.clone(),
            stops_level: instrument.stops_level_points,
            freeze_level: instrument.freeze_level_points,
            fillings: offered.fillings.clone(),
            tifs: offered.lifetimes(),
            order_types: offered.order_types.clone(),
            groups: offered.groups.clone(),
            swap: SwapView { long: Decimal::ZERO, short: Decimal::ZERO },
            trade_mode: "full".to_owned(),
        }
    }
}
