//! Replies: the final answer to a command.

use super::{AccountView, FillView, OrderView, PositionView, Refusal};
use crate::domain::{
    account::LinkStatus,
    id::{AccountId, ClientOrderId, CommandId, IntentId, OrderId, PositionId, StopId},
    order::OrderStatus,
};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub command: CommandId,
    pub result: Result<ReplyBody, Refusal>,
}

/// What a successful command answers; serialises to the response's payload. Reading one back takes the
/// first variant whose fields are there: one whose fields are a part of another's comes after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReplyBody {
    Place(PlaceReply),
    Close(CloseReply),
    Stop(StopReply),
    Resume(ResumeReply),
    Account(Box<AccountReply>),
    Disconnect(DisconnectReply),
    Cancel(CancelReply),
    Resolve(Box<ResolveReply>),
    Modify(Box<ModifyReply>),
}

/// `trades.place`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceReply {
    pub intent_id: IntentId,
    pub order_id: OrderId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_order_id: Option<ClientOrderId>,
    pub status: OrderStatus,
    pub filled_volume: Decimal,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avg_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position_id: Option<PositionId>,
    /// Why the venue did not fill it, when it ended without.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    pub risk_decision: String,
    /// Where the command stands in the journal.
    pub journal_offset: u64,
}

/// `trades.cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelReply {
    pub outcomes: Vec<Outcome>,
    pub journal_offset: u64,
}

/// `trades.closePosition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloseReply {
    pub fills: Vec<FillView>,
    /// What is left, after closing a part of one position.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<PositionView>,
    pub intent_id: IntentId,
    /// Each position's outcome; `pending` where the fill waits for a quote.
    pub outcomes: Vec<Outcome>,
    pub journal_offset: u64,
}

/// `risk.emergencyStop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopReply {
    pub stop_id: StopId,
    pub latched: bool,
    pub outcomes: Vec<Outcome>,
    pub journal_offset: u64,
}

/// `risk.resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumeReply {
    /// The latches that are gone, by id.
    pub cleared: Vec<String>,
    pub journal_offset: u64,
}

/// `trades.modify`: what was modified, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ModifyReply {
    #[serde(rename_all = "camelCase")]
    Order { order: OrderView, journal_offset: u64 },
    #[serde(rename_all = "camelCase")]
    Position { position: PositionView, journal_offset: u64 },
}

/// `trades.resolve`: the order as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolveReply {
    pub order: OrderView,
    pub fills: Vec<FillView>,
    pub journal_offset: u64,
}

/// `accounts.connect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountReply {
    #[serde(flatten)]
    pub account: AccountView,
    pub journal_offset: u64,
}

/// `accounts.disconnect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisconnectReply {
    pub account_id: AccountId,
    pub status: LinkStatus,
    pub journal_offset: u64,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub kind: OutcomeKind,
    pub id: String,
    pub account_id: String,
    pub state: OutcomeState,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// What an outcome is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Order,
    Position,
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    Done,
    Pending,
    NotSent,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lv05_a_stored_reply_is_read_back_as_itself() {
        let place = PlaceReply {
            intent_id: IntentId(1),
            order_id: OrderId(2),
            client_order_id: None,
            status: OrderStatus::Filled,
            filled_volume: Decimal::ONE,
            avg_price: None,
            position_id: Some(PositionId(2)),
            reason: None,
            risk_decision: "approved".into(),
            journal_offset: 3,
        };
        let outcome = Outcome {
            kind: OutcomeKind::Order,
            id: "o2".into(),
            account_id: "paper-1".into(),
            state: OutcomeState::Done,
            reason: None,
        };
        let outcomes = vec![outcome];
        let close = CloseReply {
            fills: Vec::new(),
            position: None,
            intent_id: IntentId(1),
            outcomes: outcomes.clone(),
            journal_offset: 3,
        };
        let stop =
            StopReply { stop_id: StopId(1), latched: true, outcomes: outcomes.clone(), journal_offset: 3 };
        for reply in [
            ReplyBody::Place(place),
            ReplyBody::Close(close),
            ReplyBody::Stop(stop),
            ReplyBody::Resume(ResumeReply { cleared: vec!["s1".into()], journal_offset: 3 }),
            ReplyBody::Cancel(CancelReply { outcomes, journal_offset: 3 }),
        ] {
            let stored = serde_json::to_string(&reply).expect("plain data");
            assert_eq!(serde_json::from_str::<ReplyBody>(&stored).expect("the same"), reply);
        }
    }
}
