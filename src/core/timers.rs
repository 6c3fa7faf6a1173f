//! Deadlines: fired at their own instant, in the order of (instant, timer).

use crate::domain::{id::CommandId, instrument::InstrumentId, market::Timeframe, time::UnixNanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is due. At equal instants they fire in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// A market opens or closes.
    Session(InstrumentId),
    /// A candle is complete (EX08).
    Candle(InstrumentId, Timeframe),
    /// An account's day rolls (RK04).
    DayRoll(usize),
    /// Forget what is older than a day.
    Prune,
    /// A venue behind a wire should have confirmed what the account asked of it.
    LinkAnswers(usize),
    /// Whoever gave the command waits no longer.
    Answer(CommandId),
}

/// All deadlines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timers {
    due: BTreeSet<(UnixNanos, Timer)>,
}

impl Timers {
    /// Sets a deadline. The same timer may be set for several instants.
    pub(crate) fn set(&mut self, at: UnixNanos, timer: Timer) {
        if at < UnixNanos::MAX {
            self.due.insert((at, timer));
        }
    }

    /// Removes all deadlines that a predicate names.
    pub(crate) fn drop_where(&mut self, drop: impl Fn(&Timer) -> bool) {
        self.due.retain(|(_, timer)| !drop(timer));
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<UnixNanos> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the next deadline if it is at or before `now`.
    pub(crate) fn pop(&mut self, now: UnixNanos) -> Option<(UnixNanos, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first()
    }
}
