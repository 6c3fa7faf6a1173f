//! What a broker does at an instant of its own accord, without a quote or a request.

use crate::domain::{id::OrderId, time::UnixNanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is due. At equal instants: by account, then by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueDeadline {
    /// An order's lifetime ends.
    Expiry { account: usize, order: OrderId },
}

/// All of them, in the order in which they come due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Deadlines {
    due: BTreeSet<(UnixNanos, VenueDeadline)>,
}

impl Deadlines {
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Sets a deadline; the end of time is none.
    pub(super) fn set(&mut self, at: UnixNanos, deadline: VenueDeadline) {
        if at < UnixNanos::MAX {
            self.due.insert((at, deadline));
        }
    }

    pub(super) fn drop(&mut self, at: UnixNanos, deadline: VenueDeadline) {
        self.due.remove(&(at, deadline));
    }

    pub(super) fn next(&self) -> Option<UnixNanos> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the next deadline if it is at or before `now`.
    pub(super) fn pop(&mut self, now: UnixNanos) -> Option<(UnixNanos, VenueDeadline)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first()
    }
}
