//! A market to trade in live.

use super::SyntheticFeed;
use crate::domain::{instrument::InstrumentId, market::Quote, time::UnixNanos};

/// Endless quotes of several instruments, in order of time.
pub trait LiveMarket: Send {
    /// The first quote of any instrument strictly later than `after`, which never goes back between
    /// calls. `None` if no market will ever open again.
    fn next(&mut self, after: UnixNanos) -> Option<(UnixNanos, InstrumentId, Quote)>;
}

impl LiveMarket for SyntheticFeed {
    fn next(&mut self, after: UnixNanos) -> Option<(UnixNanos, InstrumentId, Quote)> {
        Self::next(self, after)
    }
}
