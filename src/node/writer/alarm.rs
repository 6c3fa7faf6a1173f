//! One pending sleep. It is polled only when it is due, not whenever the writer wakes.

use crate::node::runtime::{BoxFuture, Rt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::time::Duration;

/// Rings once the latest deadline that was set has come; may ring early.
pub(super) struct Alarm {
    rt: Rt,
    /// At most one. The set polls it only when its own waker was called.
    sleeping: FuturesUnordered<BoxFuture<()>>,
    /// When it ends, in monotonic nanoseconds.
    due_ns: u64,
}

impl Alarm {
    /// An alarm that is not set.
    pub fn new(rt: Rt) -> Self {
        Self { rt, sleeping: FuturesUnordered::new(), due_ns: 0 }
    }

    /// Lets it ring after `delay` at the latest.
    pub fn set(&mut self, delay: Duration) {
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let due_ns = self.rt.mono().saturating_add(delay_ns);
        if self.sleeping.is_empty() || due_ns < self.due_ns {
            self.sleeping = FuturesUnordered::new();
            self.sleeping.push(self.rt.sleep(delay));
            self.due_ns = due_ns;
        }
    }

    /// Waits until it rings; for ever if it is not set.
    pub async fn ring(&mut self) {
        if self.sleeping.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
