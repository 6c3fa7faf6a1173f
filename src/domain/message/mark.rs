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
    ClockSuspect,
    AmbiguousBar,
    MarketOrderWaited,
    ConversionMissing,
}
