//! What a broker behind a wire says, in its decimals and its names (docs/VENUE_LINK.md). The engine puts
//! it on the grid and judges it: what cannot be true takes the account to `error`, never the process down.
//!
//! Orders are named as the engine names them (`o17`): the connector takes the epoch off on the way in.
//! A name that is not ours comes as it is, behind a question mark.

use crate::domain::{
    group::GroupKind,
    id::{AccountId, IntentId, OrderId},
    order::{Filling, OrderType, Side, TimeInForce},
    position::FillReason,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// News of one account's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInput {
    pub account: AccountId,
    pub event: LinkEvent,
}

/// What happened on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkEvent {
    /// The venue let us in. It is asked for everything since the last report, and for a snapshot.
    Up(LinkUp),
    /// There is no session any more, or none could be had.
    Down { reason: String },
    /// The venue broke the protocol: no session until an operator connects the account again.
    Fault { reason: String },
    /// A report of the venue's numbered log.
    Report(Box<NumberedReport>),
    /// The venue's books, as the engine asked for them.
    Snapshot(Box<VenueSnapshot>),
    /// What became of orders that the engine asked about.
    Status(Vec<OrderState>),
    /// The number of the newest report; the venue says so while it is quiet.
    Heartbeat { last: u64 },
    /// Requests that were never written to the wire and never will be.
    NotSent(NotSent),
}

/// What was asked for, and never reached the venue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotSent {
    pub orders: Vec<OrderId>,
    /// New terms, by the intents that asked for them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub terms: Vec<IntentId>,
}

impl NotSent {
    /// Whether everything was sent.
    pub const fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.terms.is_empty()
    }
}

/// A session began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkUp {
    /// Names the venue's log of reports; another name means that it forgot what it had.
    pub log: String,
    pub capabilities: Capabilities,
}

/// What a venue can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    /// A new session voids whatever an older one sent and the venue had not taken: that an order is
    /// not known to it proves that it never will be (LV03).
    pub fencing: bool,
    /// A client order id is taken at most once, for ever.
    pub dedupe: bool,
    /// It keeps its reports and repeats them on request.
    pub resend: bool,
    pub order_types: Vec<OrderType>,
    pub fillings: Vec<Filling>,
    /// Lifetimes beside `gtc`, which every venue has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tifs: Vec<TimeInForce>,
    /// Orders that are refused where they would take liquidity.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub post_only: bool,
    /// What orders can be to each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupKind>,
    /// Which fields of a working order can be changed: `price`, `volume`, `stops`.
    pub modify: Vec<ModifyField>,
}

impl Capabilities {
    /// What this build's own venue can do, inside the machine and behind a wire.
    pub fn of_this_build() -> Self {
        use {Filling as F, ModifyField as M, OrderType as T};
        Self {
            fencing: true,
            dedupe: true,
            resend: true,
            order_types: vec![T::Market, T::Limit, T::Stop, T::StopLimit, T::TrailingStop],
            fillings: vec![F::Fok, F::Ioc, F::Return],
            tifs: vec![TimeInForce::Day, TimeInForce::Gtd],
            post_only: true,
            groups: vec![GroupKind::Oco, GroupKind::Oto, GroupKind::Bracket],
            modify: vec![M::Price, M::Volume, M::Stops, M::Trigger, M::Lifetime],
        }
    }

    /// The lifetimes that an order may have.
    pub fn lifetimes(&self) -> Vec<TimeInForce> {
        let beside = self.tifs.iter().copied().filter(|tif| *tif != TimeInForce::Gtc);
        std::iter::once(TimeInForce::Gtc).chain(beside).collect()
    }
}

/// A field of an order or a position that a venue can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModifyField {
    Price,
    Volume,
    /// Stop loss and take profit, of orders and of positions.
    Stops,
    /// The trigger of a stop, the distance of a trailing one.
    Trigger,
    /// How long an order lives.
    Lifetime,
}

/// A report and its place in the venue's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedReport {
    /// Ascending; not necessarily without holes. 0: an answer to a request that left no trace, outside of
    /// the log.
    pub seq: u64,
    /// The number of the report before it, 0 before the first: how a lost one is noticed.
    pub prev: u64,
    pub report: LinkReport,
}

/// Something that the venue did (FIX: ExecutionReport, OrderCancelReject).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum LinkReport {
    Accepted {
        order: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        venue_order: Option<String>,
    },
    Rejected {
        order: String,
        #[serde(default)]
        reason: String,
        /// MetaTrader's number for it, beside the reason or in its place.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        retcode: Option<i64>,
    },
    Canceled {
        order: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    Expired {
        order: String,
    },
    /// Its trigger was met, at this price of it.
    Triggered {
        order: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stop_price: Option<Decimal>,
    },
    /// The order's terms as they are now.
    Modified {
        order: String,
        volume: Decimal,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        price: Option<Decimal>,
        #[serde(flatten)]
        trigger: Box<TriggerTerms>,
        #[serde(flatten)]
        levels: Levels,
    },
    CancelRejected {
        order: String,
        #[serde(default)]
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        retcode: Option<i64>,
    },
    ModifyRejected {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        order: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        position: Option<String>,
        #[serde(default)]
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        retcode: Option<i64>,
    },
    Fill(LinkFill),
    /// A position's protective levels as they are now.
    Position {
        position: String,
        #[serde(flatten)]
        levels: Levels,
    },
}

/// What a stop waits for and how long an order lives, on the wire. What is absent is as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerTerms {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Decimal>,
    /// A difference of prices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail_distance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail_percent: Option<Decimal>,
    /// Absent in a new order: good till cancelled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tif: Option<TimeInForce>,
    /// Of `day` and `gtd`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<UnixNanos>,
}

/// Protective levels as prices; absent is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Levels {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_loss: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub take_profit: Option<Decimal>,
}

/// A fill, with everything that the broker posted for it in the account's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkFill {
    /// The venue's own name of it; the same fill always has the same.
    pub fill: String,
    /// Absent: the venue closed by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<String>,
    /// The venue's name of the position that it opened or reduced.
    pub position: String,
    pub symbol: String,
    pub side: Side,
    /// In lots.
    pub volume: Decimal,
    pub price: Decimal,
    /// Negative as a cost.
    pub commission: Decimal,
    pub realized_pnl: Decimal,
    /// Whether it reduced the position.
    pub closes: bool,
    /// The position after the fill, in lots.
    pub position_volume: Decimal,
    #[serde(flatten)]
    pub levels: Levels,
    pub reason: FillReason,
    pub ts: UnixNanos,
}

/// The venue's books of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VenueSnapshot {
    /// The newest report that the books include.
    pub seq: u64,
    pub balance: Decimal,
    pub currency: String,
    /// Every working order, and each that was asked about.
    pub orders: Vec<OrderState>,
    pub positions: Vec<PositionState>,
    /// Every fill after the one that was named, oldest first. Absent: the venue keeps none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fills: Option<Vec<LinkFill>>,
}

/// What a venue knows of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    pub order: String,
    pub status: VenueOrderStatus,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_order: Option<String>,
    /// In lots; with `filled`, of every order that the venue knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub volume: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filled: Option<Decimal>,
    /// Average price of what is filled; of every order with a fill that `fills` does not list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avg_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Decimal>,
    #[serde(flatten)]
    pub trigger: TriggerTerms,
    /// Its trigger was met.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub triggered: bool,
    #[serde(flatten)]
    pub levels: Levels,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// How far an order got at the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueOrderStatus {
    /// The venue has no such order.
    Unknown,
    Working,
    Filled,
    Canceled,
    Expired,
    Rejected,
}

/// A position in the venue's books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PositionState {
    /// The venue's name of it.
    pub position: String,
    /// The order that opened it, if the venue knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub order: Option<String>,
    pub symbol: String,
    pub side: Side,
    pub volume: Decimal,
    pub open_price: Decimal,
    #[serde(flatten)]
    pub levels: Levels,
}
