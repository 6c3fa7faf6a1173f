//! Replies: the final answer to a command.

use super::{FillView, PositionView, Refusal};
use crate::domain::{
    id::{ClientOrderId, CommandId, IntentId, OrderId, PositionId, StopId},
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

/// What a successful command answers; serialises to the response's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ReplyBody {
    Place(PlaceReply),
    Cancel(CancelReply),
    Close(CloseReply),
    Stop(StopReply),
    Resume(ResumeReply),
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
