//! The request ids of one connection: none may be used twice while it is in flight or recent.

use super::limits::RECENT_IDS;
use std::collections::{BTreeSet, VecDeque};

/// Ids in flight and the last ones that are not.
#[derive(Debug, Default)]
pub struct RequestIds {
    known: BTreeSet<String>,
    /// In the order in which they were answered.
    answered: VecDeque<String>,
    in_flight: usize,
}

impl RequestIds {
    /// Takes a new id into flight; false if it may not be used.
    pub fn begin(&mut self, id: &str) -> bool {
        let fresh = self.known.insert(id.to_owned());
        self.in_flight += usize::from(fresh);
        fresh
    }

    /// The request was answered; its id counts as recent.
    pub fn end(&mut self, id: String) {
        assert!(self.in_flight > 0, "only requests in flight are answered");
        self.in_flight -= 1;
        self.answered.push_back(id);
        if self.answered.len() > RECENT_IDS
            && let Some(oldest) = self.answered.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Requests that wait for their answer.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_free_again_after_1024_others() {
        let mut ids = RequestIds::default();
        assert!(ids.begin("first"));
        assert!(!ids.begin("first"), "in flight");
        ids.end("first".into());
        for n in 0..RECENT_IDS - 1 {
            assert!(ids.begin(&n.to_string()));
            ids.end(n.to_string());
        }
        assert!(!ids.begin("first"), "still among the last 1,024");
        assert!(ids.begin("one more"));
        ids.end("one more".into());
        assert!(ids.begin("first"));
        assert_eq!(ids.in_flight(), 1);
    }
}
