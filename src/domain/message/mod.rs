//! What enters and leaves the engine. Enter: `Input` (journaled) and `Query` (not journaled, no
//! effect). Leave: `Outputs`.
//!
//! Inputs carry grid values where data come from a feed and decimals where a person speaks.
//! Events and views carry the wire's decimals and names, so that what is stored is what was seen.

mod command;
mod event;
mod input;
mod mark;
mod outputs;
mod query;
mod refusal;
mod reply;
mod venue;
mod view;

pub use command::{
    CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, EmergencyStop, Idempotency,
    PlaceOrder, ResumeTarget, ResumeTrading, StopAction, StopLevel, StopScope,
};
pub use event::{
    AccountStatusChanged, EmergencyStopChanged, Event, GatewayState, GatewayStatusChanged, RiskAlert,
    StopPhase, TradeCanceled, TradeClosed, TradeExecuted, TradeIntent, TradeRejected,
};
pub use input::Input;
pub use mark::Mark;
pub use outputs::{ArchivedOrder, FeedEvent, Outputs};
pub use query::{Answer, OrderKey, Query};
pub use refusal::{ErrorCode, Refusal, Violation, ViolationCode};
pub use reply::{
    CancelReply, CloseReply, Outcome, OutcomeKind, OutcomeState, PlaceReply, Reply, ReplyBody, ResumeReply,
    StopReply,
};
pub use venue::{VenueFill, VenueOrder, VenueReport, VenueRequest};
pub use view::{
    AccountSummary, AccountView, Check, Computed, FillView, LatchView, LimitView, OrderDetail, OrderView,
    PositionView, PreviewView, RiskStatusView,
};
