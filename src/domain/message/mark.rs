//! Marks: "this rare thing happened". Not hashed, not journaled; a metric live, coverage in simulation.

use serde::{Deserialize, Serialize};

/// A rare thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    OrderDenied,
    /// A cancel that was sent later went before an order.
    OrderOvertaken,
    OrderRejected,
    /// An event that the order's transition table does not allow (OR01); an alarm.
    IllegalTransition,
    /// A report about an order that the engine does not know; an alarm.
    OrphanReport,
    DuplicateFill,
    StopLossHit,
    TakeProfitHit,
    StoppedOut,
    GapThroughStop,
    /// A stop, stop-limit or trailing stop met its trigger.
    StopTriggered,
    /// A trailing stop followed the market.
    StopTrailed,
    /// An order ended by its lifetime.
    OrderExpired,
    /// An order that must not take liquidity would have.
    PostOnlyRefused,
    MarketClosedDenied,
    HaltedDenied,
    DailyLossTripped,
    EmergencyStopLatched,
    EmergencyStopRepeated,
    EmergencyStopCompleted,
    Resumed,
    IdempotentReplay,
    IdempotencyMismatch,
    QuoteQuarantined,
    /// A quote came at a time at which its market is not quoted; it marks like any other.
    QuoteOutOfSession,
    ClockSuspect,
    AmbiguousBar,
    MarketOrderWaited,
    ConversionMissing,
    OrderModified,
    ModifyRejected,
    /// Trades of one account came faster than its rate.
    TradeRateExceeded,
    LinkUp,
    LinkDown,
    /// A venue said what cannot be true; an alarm of that account.
    LinkFault,
    /// Reports were missing and were asked for again.
    ReportGap,
    /// A report came a second time.
    DuplicateReport,
    /// A link broke while an order's fate was open.
    OrderUnknown,
    /// An order of unknown fate turned out to rest at the venue, or to have ended there.
    UnknownFound,
    /// An order of unknown fate turned out never to have reached the venue.
    UnknownNotReceived,
    /// A fill that happened while the link was down.
    MissedFill,
    /// An order that was never written to the wire.
    OrderNotSent,
    /// New terms that were never written to the wire.
    TermsNotSent,
    /// The venue's books were compared and agree.
    Reconciled,
    /// The venue's balance is not the sum of what it told.
    BalanceAdjusted,
    OrderResolved,
    /// A report contradicts what an operator resolved; an alarm.
    ResolvedContradicted,
}
