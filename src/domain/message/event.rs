//! Critical events: numbered, durable before anyone sees them, in the wire's shape.

use super::{FillView, OrderView, Outcome, PositionView, StopAction, Violation, ViolationCode};
use crate::domain::{
    account::LinkStatus,
    id::{AccountId, AlertId, ClientOrderId, FillId, IntentId, OrderId, PositionId, StopId, Symbol},
    money::Money,
    order::{Origin, Side},
    position::FillReason,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! events {
    ($($variant:ident($body:ident) = $wire:literal),+ $(,)?) => {
        /// A critical event; serialises to its payload.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Event { $($variant(Box<$body>),)+ }

        impl Event {
            /// The wire names, in the order of declaration.
            pub const NAMES: &'static [&'static str] = &[$($wire),+];

            /// The wire name.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $wire,)+ }
            }
        }

        $(impl From<$body> for Event {
            fn from(body: $body) -> Self { Self::$variant(Box::new(body)) }
        })+
    };
}

events! {
    TradeIntent(TradeIntent) = "event.trade.intent",
    TradeExecuted(TradeExecuted) = "event.trade.executed",
    TradeRejected(TradeRejected) = "event.trade.rejected",
    TradeModified(TradeModified) = "event.trade.modified",
    TradeCanceled(TradeCanceled) = "event.trade.canceled",
    TradeClosed(TradeClosed) = "event.trade.closed",
    OrderUpdated(OrderUpdated) = "event.order.updated",
    PositionUpdated(PositionUpdated) = "event.position.updated",
    RiskAlert(RiskAlert) = "event.risk.alert",
    EmergencyStop(EmergencyStopChanged) = "event.emergency_stop",
    AccountStatus(AccountStatusChanged) = "event.account.status",
    GatewayStatus(GatewayStatusChanged) = "event.gateway.status",
}

impl Event {
    /// The account whose readers may see it; `None` is for everybody.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::TradeIntent(e) => Some(&e.account_id),
            Self::TradeExecuted(e) => Some(&e.account_id),
            Self::TradeRejected(e) => Some(&e.account_id),
            Self::TradeModified(e) => Some(&e.account_id),
            Self::TradeCanceled(e) => Some(&e.account_id),
            Self::TradeClosed(e) => Some(&e.account_id),
            Self::OrderUpdated(e) => Some(&e.order.account_id),
            Self::PositionUpdated(e) => Some(&e.position.account_id),
            Self::AccountStatus(e) => Some(&e.account_id),
            Self::RiskAlert(e) => e.account_id.as_ref(),
            Self::EmergencyStop(e) => e.id.as_ref(),
            Self::GatewayStatus(_) => None,
        }
    }

    /// The payload's canonical bytes: what is hashed, stored and sent.
    pub fn payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("events are maps with text keys")
    }
}

/// Somebody wants to trade; comes before any decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeIntent {
    pub intent_id: IntentId,
    pub trace_id: String,
    pub origin: Origin,
    pub account_id: AccountId,
    pub symbol: String,
    /// `place`, `modify`, `cancel` or `close`.
    pub action: String,
    pub params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A fill, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeExecuted {
    pub trade_id: String,
    pub fill_id: FillId,
    pub intent_id: IntentId,
    pub order_id: OrderId,
    pub position_id: PositionId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_order_id: Option<ClientOrderId>,
    pub account_id: AccountId,
    pub symbol: Symbol,
    pub side: Side,
    pub volume: Decimal,
    pub leaves_volume: Decimal,
    pub price: Decimal,
    pub commission: Money,
    pub realized_pnl: Money,
    /// Price difference to what was decided on, adverse positive.
    pub slippage: Decimal,
    pub risk_decision_id: String,
    /// From the order's creation to its fill, by journaled stamps.
    pub timing_ms: i64,
    pub reason: FillReason,
}

/// An order that will not be, refused by us (`gateway`) or by the venue (OR11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeRejected {
    pub intent_id: IntentId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order_id: Option<OrderId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_order_id: Option<ClientOrderId>,
    pub account_id: AccountId,
    pub by: String,
    pub code: String,
    pub reason: String,
    /// The venue's number for it, if it gave one (MetaTrader's return codes).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_code: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub violations: Vec<Violation>,
}

/// An order, or a position's protective levels, have new terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeModified {
    pub account_id: AccountId,
    /// Absent when the venue changed them by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intent_id: Option<IntentId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<OrderView>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<PositionView>,
}

/// An order as it is now; at most once for each thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderUpdated {
    pub order: OrderView,
    /// It is new.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub placed: bool,
}

/// A position as it is now; at most once for each thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PositionUpdated {
    pub position: PositionView,
    /// It is no more.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub closed: bool,
}

/// A working order ended without a (further) fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeCanceled {
    pub account_id: AccountId,
    pub intent_id: IntentId,
    pub order: OrderView,
}

/// A position became smaller, or ended when `position.volume` is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradeClosed {
    pub account_id: AccountId,
    pub intent_id: IntentId,
    pub position: PositionView,
    pub fills: Vec<FillView>,
    pub reason: FillReason,
}

/// Something risky was blocked, or a limit tripped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiskAlert {
    pub alert_id: AlertId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account_id: Option<AccountId>,
    pub code: ViolationCode,
    pub message: String,
    pub violations: Vec<Violation>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub would_satisfy: Option<Decimal>,
}

/// How far an emergency stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopPhase {
    Latched,
    Progress,
    Completed,
    Resumed,
}

/// An emergency stop was latched, went on, completed, or was lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopChanged {
    pub stop_id: StopId,
    /// `global` or `account`.
    pub scope: String,
    /// The account of scope `account`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<AccountId>,
    pub actions: Vec<StopAction>,
    pub actor: String,
    pub reason: String,
    pub phase: StopPhase,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outcomes: Vec<Outcome>,
}

/// An account's link changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatusChanged {
    pub account_id: AccountId,
    pub status: LinkStatus,
    pub previous: LinkStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The gateway process's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    Ready,
    Draining,
}

/// The gateway came up or is going down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatusChanged {
    pub state: GatewayState,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<String>,
}
