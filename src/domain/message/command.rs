//! Commands: what a principal asks for, in the wire's units. The risk gate puts them on the grid.

use crate::domain::{
    id::{AccountId, ClientOrderId, CommandId, OrderId, PositionId, StopId},
    order::{Filling, OrderType, Origin, Side, TimeInForce},
    time::UnixNanos,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A command, with who gives it and how it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The journal offset at which it entered.
    pub id: CommandId,
    /// Who asks; stable across token rotation.
    pub principal: String,
    pub origin: Origin,
    pub idempotency: Option<Idempotency>,
    /// The order that already bears this client order id and is older than the engine remembers.
    pub prior: Option<OrderId>,
    /// Places only: a cancel that was sent later, and concerns this order, went before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overtaken: bool,
    pub body: CommandBody,
}

/// A promise of the client: same key, same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// 1 to 64 characters.
    pub key: String,
    /// Hash of method and parameters; another fingerprint under the same key is a conflict.
    pub fingerprint: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandBody {
    Place(PlaceOrder),
    Cancel(CancelOrders),
    Close(ClosePosition),
    EmergencyStop(EmergencyStop),
    Resume(ResumeTrading),
}

impl CommandBody {
    /// The protocol's method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Place(_) => "trades.place",
            Self::Cancel(_) => "trades.cancel",
            Self::Close(_) => "trades.closePosition",
            Self::EmergencyStop(_) => "risk.emergencyStop",
            Self::Resume(_) => "risk.resume",
        }
    }

    /// The account it concerns, if only one.
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Place(p) => Some(&p.account),
            Self::Cancel(c) => Some(&c.account),
            Self::Close(c) => Some(&c.account),
            Self::EmergencyStop(EmergencyStop { scope, .. }) => match scope {
                StopScope::Account(id) => Some(id),
                StopScope::Global => None,
            },
            Self::Resume(ResumeTrading { target, .. }) => match target {
                ResumeTarget::Scope(StopScope::Account(id)) => Some(id),
                ResumeTarget::Scope(StopScope::Global) | ResumeTarget::Stop(_) => None,
            },
        }
    }
}

/// A protective level as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopLevel {
    Price(Decimal),
    /// Ticks from the fill price.
    Ticks(i64),
    /// Percent of the fill price.
    Percent(Decimal),
}

/// `trades.place`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    pub account: AccountId,
    /// As the client wrote it; an unknown one is denied, not a malformed request.
    pub symbol: String,
    pub side: Side,
    pub order_type: OrderType,
    /// In lots.
    pub volume: Decimal,
    pub price: Option<Decimal>,
    pub stop_price: Option<Decimal>,
    pub stop_loss: Option<StopLevel>,
    pub take_profit: Option<StopLevel>,
    pub tif: TimeInForce,
    pub filling: Option<Filling>,
    pub expires_at: Option<UnixNanos>,
    pub post_only: bool,
    pub reduce_only: bool,
    /// The position that a reduce-only order reduces (hedging).
    pub position: Option<PositionId>,
    pub client_order_id: Option<ClientOrderId>,
    pub reason: Option<String>,
}

/// `trades.cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOrders {
    pub account: AccountId,
    pub target: CancelTarget,
}

/// Which orders are cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelTarget {
    Order(OrderId),
    ClientOrder(ClientOrderId),
    /// All of the account, or all of one symbol.
    All {
        symbol: Option<String>,
    },
}

/// `trades.closePosition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosePosition {
    pub account: AccountId,
    pub target: CloseTarget,
    /// In lots; `None` is all of it.
    pub volume: Option<Decimal>,
    pub reason: Option<String>,
}

/// What is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseTarget {
    Position(PositionId),
    /// Every position on the symbol.
    Symbol(String),
}

/// What an emergency stop or a resume concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopScope {
    Global,
    Account(AccountId),
}

/// What an emergency stop does besides denying new risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopAction {
    Pause,
    CancelAll,
    CloseAll,
    DisableLive,
}

/// `risk.emergencyStop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyStop {
    pub scope: StopScope,
    pub actions: Vec<StopAction>,
    pub reason: String,
}

/// `risk.resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeTrading {
    pub target: ResumeTarget,
    pub reason: String,
}

/// Which latches a resume clears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeTarget {
    Stop(StopId),
    /// All latches of exactly this scope, loss latches included.
    Scope(StopScope),
}
