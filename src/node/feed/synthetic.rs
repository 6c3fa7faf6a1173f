//! The synthetic market, live: its quotes come when the wall clock says so.

use super::{FeedContext, live::send};
use crate::{
    domain::time::{SECOND_NS, UnixNanos},
    quotes::LiveMarket,
};
use std::{collections::BTreeMap, time::Duration};

/// Quotes further behind than this are not made up for, as after a suspended machine. Those of the
/// last seconds are: at the start every open market has a quote as soon as somebody connects.
const BEHIND_MAX_NS: i64 = 5 * SECOND_NS;

/// A synthetic market.
pub(crate) struct Synthetic {
    market: Box<dyn LiveMarket>,
}

impl Synthetic {
    /// The feed of a market.
    pub const fn new(market: Box<dyn LiveMarket>) -> Self {
        Self { market }
    }

    /// Quotes until the writer is gone or no market ever opens again.
    pub async fn run(mut self, context: &FeedContext) {
        let mut after = context.clock.read().now.plus(-BEHIND_MAX_NS);
        let mut waiting = BTreeMap::new();
        while let Some((at, id, quote)) = self.market.next(after) {
            let ahead = until(context.clock.read().now, at);
            // even a sleep of nothing takes a tick of the timer, and those that are due come in a row
            if !ahead.is_zero() {
                context.rt.sleep(ahead).await;
            }
            if waiting.insert(id, quote).is_some() {
                context.board.lock().conflated += 1;
            }
            if send(context, &mut waiting).is_err() {
                return;
            }
            let now = context.clock.read().now;
            after = at.max(now.plus(-BEHIND_MAX_NS));
        }
    }
}

fn until(now: UnixNanos, at: UnixNanos) -> Duration {
    Duration::from_nanos(u64::try_from(at.since(now)).unwrap_or(0))
}
