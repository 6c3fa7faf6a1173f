//! Between engine and venue: what a broker is asked for and what it reports.

use crate::domain::{
    account::LinkSettings,
    group::OrderGroup,
    id::{AccountId, FillId, IntentId, OrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    money::Money,
    order::{Filling, Order, OrderType, Side, Stop, TimeInForce, Trail},
    position::FillReason,
    time::UnixNanos,
};
use serde::{Deserialize, Serialize};

/// A request to a venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueRequest {
    Submit(VenueOrder),
    Cancel {
        account: AccountId,
        order: OrderId,
    },
    Modify(VenueModifyRequest),
    /// Only to venues behind a wire, as all that follow.
    Link {
        account: AccountId,
        request: LinkRequest,
    },
}

/// What concerns a link and not the market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkRequest {
    /// Have a session with this venue from now on.
    Open(LinkSettings),
    /// Have none.
    Close,
    /// Every report after this one of the log that is named, then the books; with them whatever became
    /// of these orders, and every fill after the one that is named.
    Sync { log: Option<String>, after: u64, fills_after: Option<String>, orders: Vec<OrderId> },
    /// The session has gone wrong: have another one, after a pause that grows with every failure.
    Reset { reason: String },
    /// What became of these orders.
    Status { orders: Vec<OrderId> },
    /// New orders and riskier terms that are not on the wire yet must never be (RK05).
    Purge,
}

impl VenueRequest {
    /// The account it concerns.
    pub const fn account(&self) -> &AccountId {
        match self {
            Self::Submit(order) => &order.account,
            Self::Modify(request) => &request.terms.account,
            Self::Cancel { account, .. } | Self::Link { account, .. } => account,
        }
    }
}

/// New terms of a working order, or of a position (FIX: OrderCancelReplaceRequest). All are given, also
/// those that stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueModify {
    pub account: AccountId,
    pub target: ModifyTarget,
    pub instrument: InstrumentId,
    /// Of an order.
    pub volume: Option<Volume>,
    pub price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail: Option<Trail>,
    /// Of an order; `None`: as it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lifetime: Option<Lifetime>,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
}

/// How long an order lives, and when that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    pub tif: TimeInForce,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<UnixNanos>,
}

/// New terms, and what is known of them besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueModifyRequest {
    pub terms: VenueModify,
    /// The intent that asked for them.
    pub intent: IntentId,
    /// Whether they can lose more than the old ones: they are taken back like a new order (RK05).
    pub adds_risk: bool,
}

/// What is modified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModifyTarget {
    Order(OrderId),
    Position {
        id: PositionId,
        /// The venue's name of it, if it has one of its own.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        venue: Option<String>,
    },
}

/// A new order (FIX: NewOrderSingle).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueOrder {
    pub account: AccountId,
    pub order: OrderId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub order_type: OrderType,
    pub volume: Volume,
    /// The limit of limit orders and of triggered stop-limits.
    pub price: Option<Price>,
    /// The trigger of stops.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail: Option<Trail>,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
    #[serde(skip_serializing_if = "is_gtc", default)]
    pub tif: TimeInForce,
    /// When it ends by its lifetime; of a day order, its account's next day roll.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<UnixNanos>,
    pub filling: Filling,
    /// It must not take liquidity (OR04).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub post_only: bool,
    /// The position to reduce; `None` opens one that bears the order's number.
    pub position: Option<PositionId>,
    /// That position's name at the venue, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<OrderGroup>,
}

impl VenueOrder {
    /// What a venue is asked for by an order; `venue_position` is its name of the position that this reduces.
    pub fn of(order: &Order, venue_position: Option<String>) -> Self {
        Self {
            account: order.account.clone(),
            order: order.id,
            instrument: order.instrument,
            side: order.side,
            order_type: order.order_type,
            volume: order.volume,
            price: order.price,
            stop_price: order.stop_price,
            trail: order.trail,
            stop_loss: order.stop_loss,
            take_profit: order.take_profit,
            tif: order.tif,
            expires_at: order.expires_at,
            filling: order.filling,
            post_only: order.post_only,
            position: order.position,
            venue_position,
            group: order.group.clone(),
        }
    }
}

fn is_gtc(tif: &TimeInForce) -> bool {
    *tif == TimeInForce::Gtc
}

/// A report of a venue (FIX: ExecutionReport, OrderCancelReject).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueReport {
    Accepted {
        account: AccountId,
        order: OrderId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        venue_order: Option<String>,
    },
    Rejected {
        account: AccountId,
        order: OrderId,
        reason: String,
        /// The venue's number for it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        code: Option<i64>,
    },
    /// It was refused in a way that proves nothing: it may have been taken (LV03).
    InDoubt {
        account: AccountId,
        order: OrderId,
    },
    Canceled {
        account: AccountId,
        order: OrderId,
        reason: Option<String>,
    },
    CancelRejected {
        account: AccountId,
        order: OrderId,
        reason: String,
    },
    Expired {
        account: AccountId,
        order: OrderId,
    },
    /// The trigger was met, at this price of it; what follows is a market or a limit order's (FIX: ExecType L).
    Triggered {
        account: AccountId,
        order: OrderId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stop_price: Option<Price>,
    },
    /// A trailing stop has followed the market: where its trigger is now.
    Trailed {
        account: AccountId,
        order: OrderId,
        stop_price: Price,
    },
    /// The terms of an order, or the levels of a position, as they are now.
    Modified(VenueModify),
    ModifyRejected {
        account: AccountId,
        target: ModifyTarget,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        code: Option<i64>,
    },
    Filled(VenueFill),
    /// The venue tells of a fill that an operator's word had booked: it is not booked again (LV03).
    Confirmed {
        account: AccountId,
        order: OrderId,
        volume: Volume,
        venue_fill: String,
        venue_position: String,
    },
}

impl VenueReport {
    /// The account it concerns.
    pub const fn account(&self) -> &AccountId {
        match self {
            Self::Filled(fill) => &fill.account,
            Self::Modified(terms) => &terms.account,
            Self::Accepted { account, .. }
            | Self::Rejected { account, .. }
            | Self::InDoubt { account, .. }
            | Self::Canceled { account, .. }
            | Self::CancelRejected { account, .. }
            | Self::Expired { account, .. }
            | Self::Triggered { account, .. }
            | Self::Trailed { account, .. }
            | Self::Confirmed { account, .. }
            | Self::ModifyRejected { account, .. } => account,
        }
    }
}

/// A fill, with everything that the broker posted for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueFill {
    pub account: AccountId,
    /// Counts an account's fills.
    pub fill: FillId,
    /// The venue's own name of it, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_fill: Option<String>,
    /// `None`: the venue closed by itself (stop loss, take profit, stop-out).
    pub order: Option<OrderId>,
    pub position: PositionId,
    /// That position's name at the venue, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_position: Option<String>,
    pub instrument: InstrumentId,
    pub side: Side,
    pub volume: Volume,
    pub price: Price,
    pub commission: Money,
    pub realized_pnl: Money,
    /// Whether it reduced the position.
    pub closes: bool,
    /// The position after the fill.
    pub position_volume: Volume,
    pub position_margin: Money,
    pub stop_loss: Option<Price>,
    pub take_profit: Option<Price>,
    pub reason: FillReason,
    pub ts: UnixNanos,
}
