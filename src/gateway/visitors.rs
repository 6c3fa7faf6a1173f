//! The WebSocket sessions that exist, so that all can be ended and waited for.

use super::session::Close;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc;

/// All sessions.
#[derive(Debug, Default)]
pub struct Visitors {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entered: u64,
    kicks: BTreeMap<u64, mpsc::Sender<Close>>,
    leaving: Option<mpsc::Sender<()>>,
    closed: bool,
}

/// One session's presence. Dropping it means that it has left.
#[derive(Debug)]
pub struct Visit {
    visitors: Arc<Visitors>,
    number: u64,
}

impl Visitors {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins. The receiver tells it to end. `None` once all are being ended.
    pub fn enter(self: &Arc<Self>) -> Option<(Visit, mpsc::Receiver<Close>)> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let (kick, kicked) = mpsc::channel(1);
        state.entered += 1;
        let number = state.entered;
        state.kicks.insert(number, kick);
        Some((Visit { visitors: Arc::clone(self), number }, kicked))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().kicks.len()
    }

    /// Ends all sessions and lets none begin. The receiver is told when the last one has left.
    pub fn end_all(&self, close: Close) -> mpsc::Receiver<()> {
        let (left, all_left) = mpsc::channel(1);
        let mut state = self.state();
        state.closed = true;
        for kick in state.kicks.values() {
            // a session that is being ended already needs no second word
            let _ = kick.try_send(close);
        }
        state.leaving = (!state.kicks.is_empty()).then_some(left);
        all_left
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.visitors.state();
        state.kicks.remove(&self.number);
        if state.kicks.is_empty() {
            // dropping the sender is the word
            state.leaving = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_all_waits_for_the_last() {
        let visitors = Arc::new(Visitors::default());
        let (first, mut kicked) = visitors.enter().expect("open");
        let (second, _kicked) = visitors.enter().expect("open");
        let mut all_left = visitors.end_all(Close::SHUTDOWN);
        assert_eq!(kicked.try_recv(), Ok(Close::SHUTDOWN));
        assert!(visitors.enter().is_none());
        drop(first);
        assert_eq!(all_left.try_recv(), Err(mpsc::error::TryRecvError::Empty));
        drop(second);
        assert_eq!(all_left.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}
