//! The WebSocket sessions that exist, so that all can be ended and waited for.

use super::session::Close;
use crate::node::tokens::TokenDigest;
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
    present: BTreeMap<u64, Visitor>,
    leaving: Option<mpsc::Sender<()>>,
    closed: bool,
}

#[derive(Debug)]
struct Visitor {
    kick: mpsc::Sender<Close>,
    /// The token that proved whose session it is, once it has.
    token: Option<TokenDigest>,
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
        state.present.insert(number, Visitor { kick, token: None });
        Some((Visit { visitors: Arc::clone(self), number }, kicked))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().present.len()
    }

    /// Ends all sessions and lets none begin. The receiver is told when the last one has left.
    pub fn end_all(&self, close: Close) -> mpsc::Receiver<()> {
        let (left, all_left) = mpsc::channel(1);
        let mut state = self.state();
        state.closed = true;
        for visitor in state.present.values() {
            // a session that is being ended already needs no second word
            let _ = visitor.kick.try_send(close);
        }
        state.leaving = (!state.present.is_empty()).then_some(left);
        all_left
    }

    /// Ends the sessions of tokens that are nobody's any more.
    pub fn end_strangers(&self, close: Close, is_known: impl Fn(TokenDigest) -> bool) {
        for visitor in self.state().present.values() {
            if visitor.token.is_some_and(|token| !is_known(token)) {
                let _ = visitor.kick.try_send(close);
            }
        }
    }
}

impl Visit {
    /// Says by which token it is known whose session it is.
    pub fn identify(&self, token: TokenDigest) {
        if let Some(visitor) = self.visitors.state().present.get_mut(&self.number) {
            visitor.token = Some(token);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.visitors.state();
        state.present.remove(&self.number);
        if state.present.is_empty() {
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

    #[test]
    fn gw05_whoever_lost_their_rights_is_ended_and_nobody_else() {
        let visitors = Arc::new(Visitors::default());
        let [kept, lost] = ["gw_kept", "gw_lost"].map(TokenDigest::of);
        let mut enter = |token: Option<TokenDigest>| {
            let (visit, kicked) = visitors.enter().expect("open");
            if let Some(token) = token {
                visit.identify(token);
            }
            (visit, kicked)
        };
        let mut sessions = [Some(kept), Some(lost), Some(lost), None].map(&mut enter);
        visitors.end_strangers(Close::REVOKED, |token| token != lost);
        let ended = sessions.each_mut().map(|(_, kicked)| kicked.try_recv().ok());
        assert_eq!(ended, [None, Some(Close::REVOKED), Some(Close::REVOKED), None]);
    }
}
