//! Commands: what a principal asks for, in the wire's units. The risk gate puts them on the grid.

use super::Lifetime;
use crate::domain::{
    account::AccountConfig,
    group::JoinGroup,
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
    Modify(ModifyTrade),
    Resolve(ResolveOrder),
    EmergencyStop(EmergencyStop),
    Resume(ResumeTrading),
    Connect(ConnectAccount),
    Disconnect(DisconnectAccount),
}

impl CommandBody {
    /// The protocol's method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Place(_) => "trades.place",
            Self::Cancel(_) => "trades.cancel",
            Self::Close(_) => "trades.closePosition",
            Self::Modify(_) => "trades.modify",
            Self::Resolve(_) => "trades.resolve",
            Self::EmergencyStop(_) => "risk.emergencyStop",
            Self::Resume(_) => "risk.resume",
            Self::Connect(_) => "accounts.connect",
            Self::Disconnect(_) => "accounts.disconnect",
        }
    }

    /// The account it concerns, if only one.
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Place(p) => Some(&p.account),
            Self::Cancel(c) => Some(&c.account),
            Self::Close(c) => Some(&c.account),
            Self::Modify(m) => Some(&m.account),
            Self::Resolve(r) => Some(&r.account),
            Self::Connect(c) => Some(&c.account),
            Self::Disconnect(d) => Some(&d.account),
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

/// How a trailing stop follows the market, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrailBy {
    /// A difference of prices.
    Distance(Decimal),
    /// Of the price that it follows.
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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail: Option<TrailBy>,
    pub stop_loss: Option<StopLevel>,
    pub take_profit: Option<StopLevel>,
    pub tif: TimeInForce,
    pub filling: Option<Filling>,
    pub expires_at: Option<UnixNanos>,
    pub post_only: bool,
    pub reduce_only: bool,
    /// The position that a reduce-only order reduces (hedging).
    pub position: Option<PositionId>,
    /// Other orders that it knows of (OR05, OR06).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<JoinGroup>,
    pub client_order_id: Option<ClientOrderId>,
    pub reason: Option<String>,
}

impl PlaceOrder {
    /// A market order, good till cancelled, without levels.
    pub const fn market(account: AccountId, symbol: String, side: Side, volume: Decimal) -> Self {
        Self {
            account,
            symbol,
            side,
            order_type: OrderType::Market,
            volume,
            price: None,
            stop_price: None,
            trail: None,
            stop_loss: None,
            take_profit: None,
            tif: TimeInForce::Gtc,
            filling: None,
            expires_at: None,
            post_only: false,
            reduce_only: false,
            position: None,
            group: None,
            client_order_id: None,
            reason: None,
        }
    }
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

/// `trades.modify`: new terms of a working order, or protective levels of a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyTrade {
    pub account: AccountId,
    pub target: TradeTarget,
    /// Of a limit or stop-limit order.
    pub price: Option<Decimal>,
    /// Of an order, in lots, what is filled included.
    pub volume: Option<Decimal>,
    /// Of a stop or stop-limit order that was not triggered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Decimal>,
    /// Of a trailing stop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail: Option<TrailBy>,
    /// Of a pending order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lifetime: Option<Lifetime>,
    pub stop_loss: LevelChange,
    pub take_profit: LevelChange,
    /// The version that the caller has seen; another one is a conflict.
    pub expected_version: Option<u32>,
}

/// An order or a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradeTarget {
    Order(OrderId),
    Position(PositionId),
}

/// What becomes of a protective level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelChange {
    #[default]
    Keep,
    Remove,
    Price(Decimal),
}

/// `trades.resolve`: an operator says what became of an order of unknown fate (LV03).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveOrder {
    pub account: AccountId,
    pub order: OrderId,
    pub outcome: ResolvedAs,
    pub reason: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedAs {
    NotExecuted,
    Filled {
        /// In lots.
        volume: Decimal,
        price: Decimal,
        /// In the account's currency, negative as a cost.
        commission: Decimal,
        /// The venue's name of the position, if it has one of its own.
        venue_position: Option<String>,
    },
}

/// `accounts.connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectAccount {
    pub account: AccountId,
    /// `None`: the account is there already, and is to be connected again.
    pub settings: Option<Box<AccountConfig>>,
}

/// `accounts.disconnect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectAccount {
    pub account: AccountId,
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
