//! What enters and leaves the engine. Enter: `Input` (journaled) and `Query` (not journaled, no
//! effect). Leave: `Outputs`.
//!
//! Inputs carry grid values where data come from a feed and decimals where a person speaks.
//! Events and views carry the wire's decimals and names, so that what is stored is what was seen.

mod command;
mod event;
mod input;
mod link;
mod mark;
mod outputs;
mod query;
mod refusal;
mod reply;
mod venue;
mod view;

pub use command::{
    CancelOrders, CancelTarget, ClosePosition, CloseTarget, Command, CommandBody, ConnectAccount,
    DisconnectAccount, EmergencyStop, Idempotency, LevelChange, ModifyTrade, PlaceOrder, ResolveOrder,
    ResolvedAs, ResumeTarget, ResumeTrading, StopAction, StopLevel, StopScope, TradeTarget, TrailBy,
};
pub use event::{
    AccountStatusChanged, EmergencyStopChanged, Event, GatewayState, GatewayStatusChanged, OrderUpdated,
    PositionUpdated, RiskAlert, StopPhase, TradeCanceled, TradeClosed, TradeExecuted, TradeIntent,
    TradeModified, TradeRejected,
};
pub use input::Input;
pub use link::{
    Capabilities, Levels, LinkEvent, LinkFill, LinkInput, LinkReport, LinkUp, ModifyField, NotSent,
    NumberedReport, OrderState, PositionState, TriggerTerms, VenueOrderStatus, VenueSnapshot,
};
pub use mark::Mark;
pub use outputs::{ArchivedOrder, FeedEvent, Outputs};
pub use query::{Answer, OrderKey, Query};
pub use refusal::{ErrorCode, Refusal, Violation, ViolationCode};
pub use reply::{
    AccountReply, CancelReply, CloseReply, DisconnectReply, ModifyReply, Outcome, OutcomeKind, OutcomeState,
    PlaceReply, Reply, ReplyBody, ResolveReply, ResumeReply, StopReply,
};
pub use venue::{
    Lifetime, LinkRequest, ModifyTarget, VenueFill, VenueModify, VenueModifyRequest, VenueOrder, VenueReport,
    VenueRequest,
};
pub use view::{
    AccountStatusView, AccountSummary, AccountView, Check, Computed, FillView, InstrumentView, LatchView,
    LimitView, OrderDetail, OrderView, PositionView, PreviewView, RiskStatusView, SessionHours, SwapView,
};
