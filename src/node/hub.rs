//! Fan-out of what the writer releases.

use super::journal::StoredEvent;
use crate::domain::{instrument::InstrumentId, market::Candle, message::FeedEvent};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;

/// The open candle of each timeframe, shortest first.
pub type OpenCandles = [Option<Candle>; 8];

/// What became durable with one commit, for everybody.
#[derive(Debug)]
pub struct Release {
    /// The last journal record it comprises.
    pub journal_offset: u64,
    /// Critical events, ascending and dense.
    pub events: Vec<StoredEvent>,
    pub feed: Vec<FeedEvent>,
    /// The open candles of the instruments that ticked.
    pub partials: Vec<(InstrumentId, OpenCandles)>,
}

/// The subscribers.
#[derive(Debug, Default)]
pub(super) struct Hub {
    subscribers: Mutex<Vec<mpsc::Sender<Arc<Release>>>>,
    tick_interest: Arc<AtomicUsize>,
}

impl Hub {
    /// Adds a subscriber that may fall `capacity` releases behind.
    pub fn subscribe(&self, capacity: usize) -> mpsc::Receiver<Arc<Release>> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    /// Hands a release to every subscriber and closes those that are full: nobody waits for them.
    pub fn broadcast(&self, release: Release) {
        let release = Arc::new(release);
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|subscriber| subscriber.try_send(Arc::clone(&release)).is_ok());
    }

    /// Counts one more reader of ticks, until the guard is dropped.
    pub fn tick_interest(&self) -> TickInterest {
        self.tick_interest.fetch_add(1, Ordering::Relaxed);
        TickInterest(Arc::clone(&self.tick_interest))
    }

    /// Whether anybody reads ticks.
    pub fn wants_ticks(&self) -> bool {
        self.tick_interest.load(Ordering::Relaxed) > 0
    }
}

/// Somebody reads ticks; dropping it ends that.
#[derive(Debug)]
pub struct TickInterest(Arc<AtomicUsize>);

impl Drop for TickInterest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(journal_offset: u64) -> Release {
        Release { journal_offset, events: Vec::new(), feed: Vec::new(), partials: Vec::new() }
    }

    #[test]
    fn gw07_a_full_subscriber_is_closed_and_the_others_go_on() {
        let hub = Hub::default();
        let mut slow = hub.subscribe(1);
        let mut quick = hub.subscribe(8);
        for offset in 1..=3 {
            hub.broadcast(release(offset));
        }
        assert_eq!(slow.try_recv().expect("the first fits").journal_offset, 1);
        assert_eq!(slow.try_recv().expect_err("then it is closed"), mpsc::error::TryRecvError::Disconnected);
        for offset in 1..=3 {
            assert_eq!(quick.try_recv().expect("all arrive").journal_offset, offset);
        }
    }

    #[test]
    fn tick_interest_ends_with_its_guard() {
        let hub = Hub::default();
        let guard = hub.tick_interest();
        assert!(hub.wants_ticks());
        drop(guard);
        assert!(!hub.wants_ticks());
    }
}
