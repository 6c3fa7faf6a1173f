//! Orders and the one table of what may happen to them (OR01).

use super::{
    group::{Exit, OrderGroup},
    id::{AccountId, ClientOrderId, IntentId, OrderId, PositionId},
    instrument::{InstrumentId, Price, Volume},
    money,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Buy or sell (FIX tag 54).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    /// The other side: the one that closes a position of this side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// +1 for buy, -1 for sell.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}

/// How an order meets the market (FIX tag 40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    Market,
    Limit,
    Stop,
    StopLimit,
    TrailingStop,
}

impl OrderType {
    /// Whether it waits for a trigger before it is a market or a limit order.
    pub const fn has_trigger(self) -> bool {
        matches!(self, Self::Stop | Self::StopLimit | Self::TrailingStop)
    }

    /// Which exit of a bracket an order of this type is; a market order waits for nothing.
    pub const fn as_exit(self) -> Option<Exit> {
        match self {
            Self::Market => None,
            Self::Limit => Some(Exit::Target),
            Self::Stop | Self::StopLimit | Self::TrailingStop => Some(Exit::Protection),
        }
    }
}

/// How long an order lives (FIX tag 59).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    #[default]
    Gtc,
    Day,
    Gtd,
}

/// What becomes of volume that cannot be filled at once (MT5: type of filling).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filling {
    /// All or nothing.
    Fok,
    /// The remainder is cancelled.
    Ioc,
    /// The remainder rests.
    Return,
}

/// How far a trailing stop follows the market: its trigger is never further from the best price seen (EX09).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    Ticks(i64),
    /// Of the price that it follows, rounded away from the market.
    Percent(Decimal),
}

impl Trail {
    /// Where the trigger of an order of this side belongs when its trigger side is quoted at `price`: a buy's
    /// above, a sell's below. At least a tick away.
    #[must_use]
    pub fn trigger(self, side: Side, price: Price) -> Price {
        let distance = match self {
            Self::Ticks(ticks) => ticks,
            Self::Percent(percent) => money::percent_of_ticks(price.0, percent),
        };
        let distance = distance.max(1);
        match side {
            Side::Buy => Price(price.0.saturating_add(distance)),
            Side::Sell => Price(price.0.saturating_sub(distance)),
        }
    }

    /// The closer of a trigger and where it belongs by a new price: it never loosens.
    #[must_use]
    pub fn follow(self, side: Side, trigger: Price, price: Price) -> Price {
        let by_price = self.trigger(side, price);
        match side {
            Side::Buy => trigger.min(by_price),
            Side::Sell => trigger.max(by_price),
        }
    }
}

/// A protective level: a price, or a distance from the fill (DM03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    At(Price),
    Ticks(i64),
    Percent(Decimal),
}

/// Where an order came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    User,
    /// A strategy that runs inside the machine, or an agent.
    Agent,
    Hook,
    Copytrade,
    /// The risk layer itself: an emergency stop that closes.
    Risk,
}

/// An order's state (FIX tag 39, with the names of the field's common trading systems).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Known to the engine, not sent.
    Initialized,
    /// Refused by us.
    Denied,
    /// Sent, not yet acknowledged.
    Submitted,
    /// Rests at the venue.
    Accepted,
    /// A stop that was triggered.
    Triggered,
    PartiallyFilled,
    Filled,
    PendingModify,
    PendingCancel,
    Canceled,
    Expired,
    /// Refused by the venue.
    Rejected,
    /// Sent, and its fate is not known (LV03).
    Unknown,
}

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderEvent {
    Deny,
    Submit,
    Accept,
    Reject,
    Trigger,
    /// A fill that leaves volume open.
    FillPart,
    /// A fill that leaves none.
    FillRest,
    RequestModify,
    RequestCancel,
    /// The venue took new terms.
    Modify,
    /// The venue refused to modify or cancel; the order rests on.
    KeepResting,
    Cancel,
    Expire,
    /// The link broke while its fate was open.
    LoseTrack,
}

impl OrderStatus {
    /// The transition table, on one screen. `None` is an event that must not happen here: it is
    /// counted and alarmed, and changes nothing. A fill after a cancel request is legal (OR01).
    #[rustfmt::skip]
    pub const fn next(self, event: OrderEvent) -> Option<Self> {
        use OrderEvent as E;
        use OrderStatus as S;
        Some(match (self, event) {
            (S::Initialized, E::Deny) => S::Denied,
            (S::Initialized, E::Submit) => S::Submitted,
            (S::Initialized, E::Cancel) => S::Canceled,

            (S::Submitted | S::Unknown, E::Accept) => S::Accepted,
            // whoever cancels at once hears of the order's beginning afterwards
            (S::Submitted | S::PendingCancel | S::Unknown, E::Reject) => S::Rejected,
            (S::PendingCancel, E::Accept) => S::PendingCancel,
            (S::Submitted | S::Accepted | S::PartiallyFilled | S::Unknown, E::Trigger) => S::Triggered,
            (S::PendingModify, E::Trigger) => S::PendingModify,
            (S::PendingCancel, E::Trigger) => S::PendingCancel,

            (S::Submitted | S::Accepted | S::Triggered | S::PartiallyFilled | S::PendingModify | S::Unknown,
                E::FillPart) => S::PartiallyFilled,
            (S::PendingCancel, E::FillPart) => S::PendingCancel,
            (S::Submitted | S::Accepted | S::Triggered | S::PartiallyFilled | S::PendingModify
                | S::PendingCancel | S::Unknown, E::FillRest) => S::Filled,

            (S::Accepted | S::Triggered | S::PartiallyFilled, E::RequestModify) => S::PendingModify,
            (S::Submitted | S::Accepted | S::Triggered | S::PartiallyFilled | S::PendingModify,
                E::RequestCancel) => S::PendingCancel,
            (S::PendingModify | S::PendingCancel, E::KeepResting) => S::Accepted,
            // new terms prove that an order of unknown fate rests
            (S::Accepted | S::Triggered | S::PendingModify | S::Unknown, E::Modify) => S::Accepted,
            (S::PartiallyFilled, E::Modify) => S::PartiallyFilled,
            (S::PendingCancel, E::Modify) => S::PendingCancel,

            (S::Submitted | S::Accepted | S::Triggered | S::PartiallyFilled | S::PendingModify
                | S::PendingCancel | S::Unknown, E::Cancel) => S::Canceled,
            (S::Submitted | S::Accepted | S::Triggered | S::PartiallyFilled | S::PendingModify
                | S::PendingCancel | S::Unknown, E::Expire) => S::Expired,
            (S::Submitted | S::PendingModify | S::PendingCancel, E::LoseTrack) => S::Unknown,
            _ => return None,
        })
    }

    /// Whether nothing can happen to it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Denied | Self::Filled | Self::Canceled | Self::Expired | Self::Rejected)
    }
}

/// What was asked for in place of an order's volume and price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedTerms {
    pub volume: Volume,
    /// At which it would enter: its limit, or its trigger.
    pub price: Option<Price>,
}

/// An order of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub client_order_id: Option<ClientOrderId>,
    pub intent_id: IntentId,
    pub account: AccountId,
    pub instrument: InstrumentId,
    pub side: Side,
    pub order_type: OrderType,
    pub volume: Volume,
    /// Filled so far (FIX: CumQty); `filled + leaves = volume` while open (OR02).
    pub filled: Volume,
    pub price: Option<Price>,
    /// The trigger of a stop; of a trailing one, where it is by the last that was heard of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop_price: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trail: Option<Trail>,
    /// The price that was decided on: the limit, the trigger, or the quote's side at the decision.
    pub reference_price: Option<Price>,
    pub stop_loss: Option<Stop>,
    pub take_profit: Option<Stop>,
    /// Sum of ticks x steps over the fills; the average price is this over `filled`.
    pub filled_tick_steps: i128,
    pub tif: TimeInForce,
    /// When it ends by its lifetime (OR08).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<UnixNanos>,
    pub filling: Filling,
    /// It must not take liquidity (OR04).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub post_only: bool,
    /// Its trigger has been met.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub triggered: bool,
    /// The position that this order reduces; `None` opens a new one (hedging). An exit of a bracket names the one
    /// that its parent opens.
    pub position: Option<PositionId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<OrderGroup>,
    pub status: OrderStatus,
    /// Counts changes.
    pub version: u32,
    pub origin: Origin,
    pub created_at: UnixNanos,
    pub updated_at: UnixNanos,
    /// Why it was rejected, cancelled, or exited.
    pub reason: Option<String>,
    /// The venue's number for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_code: Option<i64>,
    /// The intent that asked for its end, if one did.
    pub ended_by: Option<IntentId>,
    /// The intent that asked for new terms which the venue has not confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified_by: Option<IntentId>,
    /// Those terms: until the venue has answered, the worse of both count (LV03).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked: Option<AskedTerms>,
    /// The venue's own name of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_order: Option<String>,
}

impl Order {
    /// New terms were answered, or can not be any more; the intent that asked for them, if any were open.
    pub const fn end_terms(&mut self) -> Option<IntentId> {
        self.asked = None;
        self.modified_by.take()
    }

    /// The price at which it would enter: its limit, or its trigger. A market order has none.
    pub const fn entry_price(&self) -> Option<Price> {
        match self.order_type {
            OrderType::Market => None,
            OrderType::Limit | OrderType::StopLimit => self.price,
            OrderType::Stop | OrderType::TrailingStop => self.stop_price,
        }
    }

    /// Volume that may still be filled (FIX tag 151).
    pub const fn leaves(&self) -> Volume {
        if self.status.is_terminal() { Volume::ZERO } else { self.volume.less(self.filled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [OrderStatus; 13] = [
        OrderStatus::Initialized,
        OrderStatus::Denied,
        OrderStatus::Submitted,
        OrderStatus::Accepted,
        OrderStatus::Triggered,
        OrderStatus::PartiallyFilled,
        OrderStatus::Filled,
        OrderStatus::PendingModify,
        OrderStatus::PendingCancel,
        OrderStatus::Canceled,
        OrderStatus::Expired,
        OrderStatus::Rejected,
        OrderStatus::Unknown,
    ];
    const EVENTS: [OrderEvent; 14] = [
        OrderEvent::Deny,
        OrderEvent::Submit,
        OrderEvent::Accept,
        OrderEvent::Reject,
        OrderEvent::Trigger,
        OrderEvent::FillPart,
        OrderEvent::FillRest,
        OrderEvent::RequestModify,
        OrderEvent::RequestCancel,
        OrderEvent::Modify,
        OrderEvent::KeepResting,
        OrderEvent::Cancel,
        OrderEvent::Expire,
        OrderEvent::LoseTrack,
    ];

    #[test]
    fn or01_terminal_states_accept_nothing() {
        for state in STATES.into_iter().filter(|s| s.is_terminal()) {
            for event in EVENTS {
                assert_eq!(state.next(event), None, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn or01_every_open_state_can_end() {
        for state in STATES.into_iter().filter(|s| !s.is_terminal()) {
            assert!(EVENTS.iter().any(|e| state.next(*e).is_some_and(OrderStatus::is_terminal)), "{state:?}");
        }
    }

    #[test]
    fn or01_fill_after_cancel_request_is_legal() {
        assert_eq!(OrderStatus::PendingCancel.next(OrderEvent::FillRest), Some(OrderStatus::Filled));
        assert_eq!(OrderStatus::PendingCancel.next(OrderEvent::FillPart), Some(OrderStatus::PendingCancel));
    }

    #[test]
    fn or01_an_order_may_be_taken_or_refused_after_its_cancel_was_asked_for() {
        assert_eq!(OrderStatus::PendingCancel.next(OrderEvent::Accept), Some(OrderStatus::PendingCancel));
        assert_eq!(OrderStatus::PendingCancel.next(OrderEvent::Reject), Some(OrderStatus::Rejected));
        assert_eq!(OrderStatus::Accepted.next(OrderEvent::Reject), None);
    }

    #[test]
    fn or11_denied_and_rejected_are_reached_from_different_states() {
        assert_eq!(OrderStatus::Initialized.next(OrderEvent::Deny), Some(OrderStatus::Denied));
        assert_eq!(OrderStatus::Initialized.next(OrderEvent::Reject), None);
        assert_eq!(OrderStatus::Submitted.next(OrderEvent::Deny), None);
        assert_eq!(OrderStatus::Submitted.next(OrderEvent::Reject), Some(OrderStatus::Rejected));
    }
}
